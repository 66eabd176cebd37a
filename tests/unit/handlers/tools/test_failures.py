"""Every fault that was recorded or that Everest's source names, and what it means: golden cases."""

import json

import pytest

from contracts.codes import CODES, Nature
from handlers.commands.running import Completed
from handlers.tools.failures import TABLE, classify, explain, find_reason
from tests.transcripts import FILES, Transcript, read_transcripts

DEPRECATED = "Flag --operator.xtradb-cluster has been deprecated, please use --operator.mysql instead\n"

# Of every recorded failure whose stderr says why, by its case.
RECORDED = {
    "account-singular": "unsupported_version",
    "accounts-create-no-password": "command_failed",
    "accounts-create-again": "conflict",
    "accounts-create-json-again": "conflict",
    "accounts-create-admin": "conflict",
    "accounts-create-bad-name": "invalid_request",
    "accounts-create-short-name": "invalid_request",
    "accounts-create-bad-password": "invalid_request",
    "accounts-create-extra-word": "unsupported_version",
    "accounts-set-password-unknown": "conflict",
    "accounts-delete-unknown": "conflict",
    "accounts-create-concurrent": "conflict",
    "accounts-create-same-name-concurrent": "conflict",
    "ns-add-no-operators": "invalid_request",
    "ns-add-no-operators-json": "invalid_request",
    "ns-after-refusal": "conflict",
    "ns-add-again": "conflict",
    "ns-add-again-take-ownership": "conflict",
    "ns-add-again-json": "conflict",
    "ns-update-no-operators": "invalid_request",
    "ns-add-foreign": "conflict",
    "ns-update-foreign": "conflict",
    "ns-add-foreign-no-operators-take-ownership": "invalid_request",
    "ns-add-labelled-plain": "conflict",
    "ns-add-reserved": "invalid_request",
    "ns-add-long": "invalid_request",
    "ns-add-too-long": "invalid_request",
    "ns-add-upper": "invalid_request",
    "ns-add-underscore": "invalid_request",
    "ns-add-empty": "invalid_request",
    "ns-update-absent": "conflict",
    "ns-remove-absent": "conflict",
    "ns-get-removed": "conflict",
    "ns-termed-add-again": "conflict",
    "ns-termed-update": "operation_in_progress",
    "ns-add-sigint": "killed",
    "ns-add-job-fails": "operators_install_failed",
    "ns-add-job-fails-json": "operators_install_failed",
    "ns-add-same-concurrent": "operation_in_progress",
    "accounts-list-missing": "kubeconfig_missing",
    "accounts-create-missing": "kubeconfig_missing",
    "ns-add-missing": "kubeconfig_missing",
    "version-missing": "kubeconfig_missing",
    "kubectl-get-missing": "kubeconfig_missing",
    "kubectl-apply-missing": "kubeconfig_missing",
    "accounts-list-empty": "kubeconfig_invalid",
    "accounts-create-empty": "kubeconfig_invalid",
    "ns-add-empty-kubeconfig": "kubeconfig_invalid",
    "version-empty": "kubeconfig_invalid",
    "kubectl-get-empty": "kubeconfig_missing",  # kubectl cannot tell the two, and its hint names both
    "kubectl-apply-empty": "kubeconfig_missing",
    "accounts-list-unreachable": "cluster_unreachable",
    "accounts-create-unreachable": "cluster_unreachable",
    "ns-add-unreachable": "cluster_unreachable",
    "version-unreachable": "cluster_unreachable",
    "kubectl-get-unreachable": "cluster_unreachable",
    "kubectl-apply-unreachable": "cluster_unreachable",
    "accounts-list-badtoken": "cluster_unauthorized",
    "accounts-create-badtoken": "cluster_unauthorized",
    "ns-add-badtoken": "cluster_unauthorized",
    "version-badtoken": "cluster_unauthorized",
    "kubectl-get-badtoken": "cluster_unauthorized",
    "kubectl-apply-badtoken": "cluster_unauthorized",
    "accounts-list-tls": "tls_untrusted",
    "accounts-create-tls": "tls_untrusted",
    "ns-add-tls": "tls_untrusted",
    "version-tls": "tls_untrusted",
    "kubectl-get-tls": "tls_untrusted",
    "kubectl-apply-tls": "tls_untrusted",
    "accounts-list-forbidden": "forbidden",
    "accounts-create-forbidden": "forbidden",
    "ns-add-forbidden": "forbidden",
    "version-forbidden": "forbidden",
    "kubectl-get-forbidden": "forbidden",
    "kubectl-apply-forbidden": "forbidden",
    "no-home": "chart_unavailable",
    "no-chart-no-network": "chart_unavailable",
    "no-chart-no-network-json": "chart_unavailable",
    "ns-nochart-state": "conflict",
    "rbac-can-bad-action": "command_failed",
    "kubectl-apply-quota-no-namespace": "conflict",
    "kubectl-apply-bad-quantity": "quota_rejected",
    "kubectl-apply-limits-default-over-max": "quota_rejected",
    "kubectl-replace-rbac-conflict": "conflict",
    "kubectl-get-absent-configmap": "command_failed",
    "kubectl-get-absent-ns": "conflict",
    "kubectl-create-ns-again": "conflict",
    "kubectl-annotate-ns-conflict": "conflict",
    "kubectl-create-secret-again": "conflict",
    "kubectl-apply-terminating": "namespace_terminating",
    "ns-add-terminating": "namespace_terminating",
    "least-can-i": "command_failed",
}


def read_failures() -> list[Transcript]:
    """Those with a reason on stderr: of a killed one, and of `rbac validate`, nothing or only an aside is there."""
    found: dict[str, Transcript] = {}
    for name in FILES:
        for one in read_transcripts(name):
            if one.answer.code > 0 and one.answer.stderr:
                # The empty name and the empty kubeconfig were recorded under one case.
                case = "ns-add-empty-kubeconfig" if one.case == "ns-add-empty" and one.variables else one.case
                found.setdefault(case, one)
    return [*found.values()]


def named(one: Transcript) -> str:
    return "ns-add-empty-kubeconfig" if one.case == "ns-add-empty" and one.variables else one.case


def completed(stderr: str, *, stdout: str = "", code: int | None = 1, timed_out: bool = False) -> Completed:
    moment = "2026-01-01T00:00:00Z"
    streams = (stdout.encode(), stderr.encode())
    return Completed("tool do it", code, *streams, timed_out, False, moment, moment, 61.4)


def test_every_recorded_failure_is_a_golden_case() -> None:
    assert {named(one) for one in read_failures()} == set(RECORDED)


@pytest.mark.parametrize("one", read_failures(), ids=named)
def test_a_recorded_failure_is_understood(one: Transcript) -> None:
    """With its own words as the message, and never the line that opens the good ones too."""
    failure = explain(completed(one.answer.stderr, stdout=one.answer.stdout, code=one.answer.code))
    assert failure.code == RECORDED[named(one)]
    assert "deprecated" not in failure.message
    assert "\n" not in failure.message
    assert "Usage:" not in failure.message
    assert not failure.message.startswith("❌")
    assert failure.hint


# The rows of Everest's source that no recording shows, and what clusters are known to say.
KNOWN = [
    # accounts
    ('❌ secrets "everest-accounts" not found\nfailed to check if account already exists\n', "everest_not_installed"),
    (
        '❌ namespaces "everest-system" is forbidden: User "u" cannot get resource "namespaces" in API group "" in the '
        'namespace "everest-system"\nfailed to get salt\nfailed to compute hash\n',
        "forbidden",
    ),
    ("❌ cannot retrieve admin password after it has been updated\n", "command_failed"),
    # namespaces
    (
        "Error: accepts 1 arg(s), received 0\nUsage:\n  everestctl\n\naccepts 1 arg(s), received 0\n",
        "unsupported_version",
    ),
    ("× invalid number of arguments: expected 1, got 2\n", "unsupported_version"),
    ("Error: unknown flag: --operator.mysql\nUsage:\n", "unsupported_version"),
    ("Error: unknown shorthand flag: 'x' in -x\n", "unsupported_version"),
    (
        "× invalid namespace (ns1): namespace already exists and is managed by Everest. HINT: use 'everestctl "
        "namespaces update' to update the namespace\n",
        "conflict",
    ),
    ("× invalid namespace (ns1): namespace does not exist\n", "conflict"),
    (
        '❌ cannot check if namesapce exists: Get "https://h:6443/api": dial tcp 10.0.0.1:6443: i/o timeout\n',
        "cluster_unreachable",
    ),
    ("❌ everest is not installed in the cluster\n", "everest_not_installed"),
    ("❌ operation not supported for this version of Everest\n", "unsupported_version"),
    ("❌ Malformed version: sha256:abc\nfailed to get Everest version\n", "unsupported_version"),
    (
        "❌ failed to detect Kubernetes environment: failed to detect cluster type: storageclasses.storage.k8s.io "
        'is forbidden: User "u" cannot list resource "storageclasses" in API group "storage.k8s.io" at the '
        "cluster scope\n",
        "forbidden",
    ),
    (
        '❌ could not initialize Helm installer: failed to resolve Helm chart: chart "everest-db-namespace" version '
        '"1.15.1" not found in https://percona.github.io/percona-helm-charts/ repository\n',
        "unsupported_version",
    ),
    (
        "❌ could not initialize Helm installer: failed to resolve Helm chart: gzip: invalid header\n",
        "chart_unavailable",
    ),
    ('❌ Kubernetes cluster unreachable: Get "https://h:6443/version": EOF\n', "cluster_unreachable"),
    ("❌ cannot re-use a name that is still in use\n", "operation_in_progress"),
    ('❌ create: failed to create: secrets "sh.helm.release.v1.ns1.v1" already exists\n', "operation_in_progress"),
    ('❌ "ns1" has no deployed releases\n', "operation_in_progress"),
    (
        "❌ chart requires kubeVersion: >= 1.27.0-0 which is incompatible with Kubernetes v1.25.16\n",
        "unsupported_version",
    ),
    ("❌ could not discover OpenEverest namespace\n", "unsupported_version"),
    (
        '❌ Unable to continue with update: OperatorGroup "everest-databases" in namespace "ns1" exists and cannot be '
        "imported into the current release: invalid ownership metadata; annotation validation error: missing key "
        '"meta.helm.sh/release-name": must be set to "ns1"\n',
        "foreign_object",
    ),
    (
        "❌ cannot overwrite existing release with a different chart version. Expected 1.9.0, got 1.11.0\n",
        "unsupported_version",
    ),
    (
        "❌ post-upgrade hooks failed: 1 error occurred:\n    * job x failed: BackoffLimitExceeded\n",
        "operators_install_failed",
    ),
    (
        '❌ roles.rbac.authorization.k8s.io "everest-operators-installer" is forbidden: user "u" (groups=["g"]) is '
        'attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["namespaces"]}\n',
        "forbidden",
    ),
    ("❌ can't ask user for operators to install: interactive mode is disabled\n", "command_failed"),
    ("❌ context deadline exceeded\n", "timed_out"),
    (
        "❌ cannot get namespace subscriptions: cannot list installed operators in namespace='ns1': resource name may "
        "not be empty\n",
        "operation_in_progress",
    ),
    # connections
    ("❌ open /kube/config: permission denied\ncould not read kubeconfig file\n", "kubeconfig_unreadable"),
    (
        'error: error loading config file "/kube/config": open /kube/config: permission denied\n',
        "kubeconfig_unreadable",
    ),
    (
        'error: error loading config file "/kube/config": yaml: line 3: did not find expected key\n',
        "kubeconfig_invalid",
    ),
    ("error: stat /kube/config: no such file or directory\n", "kubeconfig_missing"),
    ("Unable to connect to the server: getting credentials: exec: executable aws not found\n", "kubeconfig_invalid"),
    (
        'error: The gcp auth plugin has been removed.\nPlease use the "gke-gcloud-auth-plugin" kubectl/client-go '
        "credential plugin instead.\nSee https://cloud.google.com/blog for further details\n",
        "kubeconfig_invalid",
    ),
    (
        "❌ The azure auth plugin has been removed.\nPlease use the https://github.com/Azure/kubelogin kubectl/"
        "client-go credential plugin instead.\n",
        "kubeconfig_invalid",
    ),
    ('error: exec plugin: invalid apiVersion "client.authentication.k8s.io/v1alpha1"\n', "kubeconfig_invalid"),
    (
        "Unable to connect to the server: getting credentials: decoding stdout: couldn't get version/kind; json parse "
        "error: json: cannot unmarshal string into Go value of type struct { APIVersion string }\n",
        "kubeconfig_invalid",
    ),
    (
        '❌ failed to get server groups: Get "https://h/api": getting credentials: exec plugin is configured to use '
        "API version client.authentication.k8s.io/v1beta1, plugin returned version client.authentication.k8s.io/"
        "v1alpha1\n",
        "kubeconfig_invalid",
    ),
    (
        "Unable to connect to the server: getting credentials: exec: executable aws failed with exit code 255\n",
        "kubeconfig_invalid",
    ),
    ("error: interactiveMode must be specified for u to use exec authentication plugin\n", "kubeconfig_invalid"),
    (
        "error: unable to read certificate-authority /home/x/ca.crt for k due to open /home/x/ca.crt: no such file or "
        "directory\n",
        "kubeconfig_invalid",
    ),
    (
        "Error in configuration: \n* unable to read client-cert /home/x/.minikube/client.crt for u due to open "
        "/home/x/.minikube/client.crt: no such file or directory\n",
        "kubeconfig_invalid",
    ),
    ("error: open /home/x/token: no such file or directory\n", "kubeconfig_invalid"),
    ("Error in configuration: context was not found for specified context: d\n", "kubeconfig_invalid"),
    ("❌ failed to get server groups: Unauthorized\n", "cluster_unauthorized"),
    ("Unable to connect to the server: remote error: tls: expired certificate\n", "cluster_unauthorized"),
    ("error: EOF\n", "cluster_unauthorized"),
    ("error: error reading input for Password\n", "cluster_unauthorized"),
    (
        "Unable to connect to the server: dial tcp: lookup kube.example on 10.0.0.2:53: no such host\n",
        "cluster_unreachable",
    ),
    ("Unable to connect to the server: net/http: TLS handshake timeout\n", "cluster_unreachable"),
    ("Unable to connect to the server: http: server gave HTTP response to HTTPS client\n", "cluster_unreachable"),
    (
        "Unable to connect to the server: tls: failed to verify certificate: x509: certificate has expired or is not "
        "yet valid: current time 2026-01-02T00:00:00Z is after 2026-01-01T00:00:00Z\n",
        "tls_untrusted",
    ),
    (
        "Unable to connect to the server: tls: failed to verify certificate: x509: certificate is valid for 10.0.0.1, "
        "not 10.0.0.2\n",
        "tls_untrusted",
    ),
    # the API
    ("Error from server: etcdserver: request timed out\n", "cluster_unreachable"),
    (
        "Error from server (ServiceUnavailable): the server is currently unable to handle the request\n",
        "cluster_unreachable",
    ),
    ("Error from server (TooManyRequests): the server has received too many requests\n", "cluster_unreachable"),
    (
        "Error from server (Timeout): the server was unable to return a response in the time allotted\n",
        "cluster_unreachable",
    ),
    (
        "Error from server (InternalError): Internal error occurred: failed calling webhook "
        '"check.example": failed to call webhook: Post "https://check": connect: connection refused\n',
        "cluster_unreachable",
    ),
    (
        'Error from server (Forbidden): admission webhook "check.example" denied the request: no team label\n',
        "forbidden",
    ),
    (
        'Error from server: error when creating "STDIN": namespaces "a" is forbidden: ValidatingAdmissionPolicy '
        "'team-labels.example' with binding 'everywhere' denied request: a namespace needs a team label\n",
        "forbidden",
    ),
    (
        'Error from server (Forbidden): secrets "s" is forbidden: exceeded quota: objects, '
        "requested: count/secrets=1, used: count/secrets=9, limited: count/secrets=9\n",
        "quota_rejected",
    ),
    ('error: the server doesn\'t have a resource type "subscriptions"\n', "everest_not_installed"),
    ('error: no matches for kind "Subscription" in version "operators.coreos.com/v1alpha1"\n', "everest_not_installed"),
]


@pytest.mark.parametrize(("stderr", "code"), KNOWN)
def test_a_known_failure_is_understood(stderr: str, code: str) -> None:
    """Also behind the deprecation line, a warning of the API, and a line of client-go's log."""
    noise = f"{DEPRECATED}Warning: v1 ComponentStatus is deprecated in v1.19+\n"
    noise += 'E1122 08:08:19.212603    2346 memcache.go:265] "Unhandled Error" err="something"\n'
    for text in (stderr, noise + stderr):
        failure = explain(completed(text))
        assert failure.code == code
        assert "deprecated" not in failure.message


@pytest.mark.parametrize(
    ("stderr", "hint"),
    [
        (
            'Error from server (Forbidden): secrets is forbidden: User "h" cannot list resource "secrets" in API group '
            '"" at the cluster scope\n',
            "Grant the handler list on secrets in API group '', at the cluster scope.",
        ),
        (
            '❌ chart "everest-db-namespace" version "1.15.1" not found in https://charts.example/ repository\n',
            "Its repository does not hold everest-db-namespace 1.15.1: build the handlers' image with "
            "EVERESTCTL_VERSION=1.15.1.",
        ),
        (
            "❌ chart requires kubeVersion: >= 1.27.0-0 which is incompatible with Kubernetes v1.25.16\n",
            "Everest's charts need Kubernetes >= 1.27.0-0, and the cluster is v1.25.16: upgrade the cluster.",
        ),
        (
            '❌ Unable to continue with update: OperatorGroup "everest-databases" in namespace "ns1" exists and cannot '
            "be imported into the current release: invalid ownership metadata; label validation error\n",
            "If nobody needs it: kubectl delete OperatorGroup everest-databases -n ns1. Else give it to Everest's",
        ),
        (
            "namespaces \"a\" is forbidden: ValidatingAdmissionPolicy 'team-labels.example' with binding 'everywhere' "
            "denied request: no team label\n",
            "The cluster's ValidatingAdmissionPolicy team-labels.example (binding everywhere) refuses it",
        ),
        ('Error from server (NotFound): namespaces "a" not found\n', "There is no namespace a: somebody deleted it "),
        ("x509: certificate has expired or is not yet valid\n", "The cluster's certificate has expired, or the clock "),
        ('failed calling webhook "w.example": timeout\n', "The cluster's admission webhook w.example does not answer"),
        ("connection refused\n", CODES["cluster_unreachable"].hint),
    ],
)
def test_a_hint_says_what_to_do_and_names_what_is_missing(stderr: str, hint: str) -> None:
    failure = classify(stderr)
    assert failure is not None
    assert failure.hint.startswith(hint)


def test_what_stdout_says_is_no_reason() -> None:
    """It holds spinner frames and lists of names, and a name may be any word."""
    stdout = "connection refused\nuser already exists\nError from server (Forbidden)\n"
    failure = explain(completed("something new\n", stdout=stdout))
    assert (failure.code, failure.message) == ("command_failed", "`tool do it` failed: something new")


def test_the_deprecation_line_alone_is_no_reason() -> None:
    failure = explain(completed(DEPRECATED, code=3))
    assert failure.message == "`tool do it` failed: exit code 3, and nothing on stderr"
    assert find_reason(DEPRECATED) == ""


def test_an_aside_is_the_reason_where_there_is_nothing_else() -> None:
    assert find_reason("Warning: it is late\n") == "Warning: it is late"
    assert find_reason("Warning: it is late\nerror: no\n") == "error: no"


def test_of_lines_in_json_the_last_error_is_the_reason() -> None:
    lines = [
        {"level": "error", "T": "<TIME>", "msg": "Error occurred during step execution", "error": "no"},
        {"level": "error", "T": "<TIME>", "msg": "release: already exists"},
        {"level": "info", "T": "<TIME>", "msg": "bye"},
    ]
    text = "\n".join(json.dumps(line, separators=(",", ":")) for line in lines)
    assert find_reason(text) == "release: already exists"
    assert find_reason(text + '\n{"level":"error","T":"cut') == "release: already exists"


def test_a_time_out_says_nothing_of_the_effect() -> None:
    """Unless the tool has said what it waits for."""
    failure = explain(completed("❌ 'a': namespace already exists\n", code=None, timed_out=True))
    assert (failure.code, failure.message) == ("timed_out", "`tool do it` took longer than 61 s and was ended.")
    assert explain(completed("connect: connection refused\n", code=None, timed_out=True)).code == "cluster_unreachable"


def test_somebody_elses_signal_is_told_from_our_own() -> None:
    failure = explain(completed("", code=-9))
    assert (failure.code, failure.message) == ("killed", "`tool do it` was ended by signal 9.")
    assert "memory" in failure.hint


@pytest.mark.thorough
def test_binary_and_huge_output_is_no_obstacle() -> None:
    raw = Completed("tool", 1, b"", bytes(range(256)) * 8192 + b"\nrelease: already exists\n", False, True, "", "", 1)
    failure = explain(raw)
    assert failure.code == "operation_in_progress"
    assert len(failure.message) <= 700


def test_every_row_has_a_code_that_a_step_can_have() -> None:
    natures = {CODES[row.code].nature for row in TABLE}
    assert natures == {Nature.PERMANENT, Nature.TRANSIENT, Nature.INFRASTRUCTURE}


def test_no_hint_promises_a_retry_or_names_what_is_not_there() -> None:
    """The failure that ends a job is not retried, a check has no step, and a placeholder is no namespace."""
    for hint in [*(row.hint for row in TABLE), *(code.hint for code in CODES.values())]:
        assert "by itself" not in hint or hint == CODES["tenant_busy"].hint
        assert "step's stderr" not in hint
        assert "<" not in hint
