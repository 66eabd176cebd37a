"""What a command's failure means: one table from the words of everestctl and kubectl to a code.

Exit codes tell nothing (every failure is 1), and stdout holds spinner frames: stderr alone is judged. The words are
those of everestctl 1.5 to 1.16 (pkg/cli, pkg/accounts, the errors of Helm and client-go) and kubectl 1.32 to 1.37.
"""

import json
import re
from typing import NamedTuple

from contracts.codes import CODES, Failure, Nature
from handlers.commands.outputs import clean, shorten
from handlers.commands.running import Completed
from handlers.commands.secret import mask, mask_bytes

LONGEST_REASON_CHARS = 600

_DEPRECATION = r"^Flag --\S+ has been deprecated, .*\n?"  # opens every namespaces add and update, good ones too
# Lines that accompany a failure and are seldom its reason: client-go's log, the API's warnings, everestctl's own log.
_ASIDE = r"^(?:[EWIF]\d{4} \d\d:\d\d:\d\d\.\d+ |Warning: |\S+\t(?:debug|info|warn|error|DEBUG|INFO|WARN|ERROR)\t).*\n?"
_USAGE = r"\n(?:Usage:|Did you mean this\?|Run '[^']+' for usage).*"
_LOGGED_ERROR = '{"level":"error"'


class Row(NamedTuple):
    """The first row whose pattern is found decides. `hint` may name groups of the pattern; by default it is the code's.

    The pattern is a text: compiled only when something failed, because a handler should start fast.
    """

    pattern: str
    code: str
    hint: str = ""


TABLE = (
    # The kubeconfig comes first: nothing else can be said without it.
    Row(r"permission denied.*could not read kubeconfig", "kubeconfig_unreadable"),
    Row(r"error loading config file.*permission denied", "kubeconfig_unreadable"),
    Row(r"could not read kubeconfig file|stat \S*: no such file", "kubeconfig_missing"),
    Row(r"localhost:8080", "kubeconfig_missing", "kubectl found no kubeconfig, or none with a current context."),
    Row(
        r"(the (?P<provider>gcp|azure) auth plugin has been removed|no Auth Provider found for name)",
        "kubeconfig_invalid",
        "Its user has an auth-provider that nobody knows any more. Make it anew: gcloud container clusters "
        "get-credentials CLUSTER, or kubelogin convert-kubeconfig.",
    ),
    Row(
        r"unable to read (client-cert|client-key|certificate-authority)|^error: open \S+: no such file",
        "kubeconfig_invalid",
        "It names files of another machine. Where it works, this prints one that carries them: "
        "kubectl config view --flatten --minify --raw",
    ),
    Row(
        r"executable .* not found|getting credentials:|exec plugin|exec authentication plugin",
        "kubeconfig_invalid",
        "Its exec plugin does not work in the handler. Where it works, give its user a token: kubectl config "
        "set-credentials $(kubectl config view --minify -o jsonpath='{{.contexts[0].context.user}}') "
        "--token=$(kubectl create token handler -n everest-bootstrap --duration=8760h)",
    ),
    Row(r"context was not found for|error in configuration", "kubeconfig_invalid"),
    Row(r"no configuration has been provided|invalid configuration|error loading config file", "kubeconfig_invalid"),
    # The chart repository has connection errors of its own.
    Row(r"neither \$XDG_CACHE_HOME nor \$HOME", "chart_unavailable", "Set HOME or XDG_CACHE_HOME for the handler."),
    Row(
        r"chart \"(?P<chart>[^\"]+)\" version \"(?P<version>[^\"]+)\" not found",
        "unsupported_version",
        "Its repository does not hold {chart} {version}: build the handlers' image with EVERESTCTL_VERSION={version}.",
    ),
    Row(
        r"chart requires kubeVersion: (?P<wanted>.+?) which is incompatible with Kubernetes (?P<found>\S+)",
        "unsupported_version",
        "Everest's charts need Kubernetes {wanted}, and the cluster is {found}: upgrade the cluster.",
    ),
    Row(
        r"failed to resolve Helm chart: .*(gzip|tar header|unexpected EOF)",
        "chart_unavailable",
        "The cached chart is damaged: delete everestctl/everest-db-namespace-*.tgz in the handler's cache folder.",
    ),
    Row(r"failed to resolve Helm chart|is not a valid chart repository", "chart_unavailable"),
    # How the cluster is reached.
    Row(
        r"failed calling webhook \"(?P<webhook>[^\"]+)\"",
        "cluster_unreachable",
        "The cluster's admission webhook {webhook} does not answer: see the service behind it.",
    ),
    Row(
        r"certificate has expired or is not yet valid",
        "tls_untrusted",
        "The cluster's certificate has expired, or the clock of the handler's machine is wrong.",
    ),
    Row(
        r"certificate is (valid for|not valid for)|doesn't contain any (IP )?SANs",
        "tls_untrusted",
        "The cluster's certificate does not name the kubeconfig's server address: use one that it names.",
    ),
    Row(r"x509:|tls: failed to verify|certificate signed by unknown authority", "tls_untrusted"),
    Row(r"provide credentials|must be logged in|\bUnauthorized\b|remote error: tls:", "cluster_unauthorized"),
    Row(
        r"^error: EOF\s*$|error reading input for Password",
        "cluster_unauthorized",
        "kubectl asked for a name and a password: the kubeconfig's user has no credentials.",
    ),
    Row(
        r"server gave HTTP response to HTTPS client",
        "cluster_unreachable",
        "The kubeconfig's server address begins with https, and what answers there speaks plain HTTP.",
    ),
    Row(
        r"connection refused|was refused - did you|no route to host|network is unreachable|i/o timeout|no such host"
        r"|Unable to connect to the server|TLS handshake timeout|cluster unreachable|connection reset|broken pipe"
        r"|unexpected EOF|: EOF\b|request canceled|Client\.Timeout exceeded",
        "cluster_unreachable",
    ),
    Row(
        r"server is currently unable|etcdserver:|\(ServiceUnavailable\)|\(InternalError\)|Internal error occurred"
        r"|too many requests|\(Timeout\)|allotted",
        "cluster_unreachable",
        "The Kubernetes API answers and cannot serve: see the health of its API server and etcd.",
    ),
    # Who else works on it.
    Row(r"because it is being terminated", "namespace_terminating"),
    Row(r"another operation \(install/upgrade/rollback\) is in progress", "operation_in_progress"),
    Row(r"has no deployed releases|cannot re-use a name that is still in use", "operation_in_progress"),
    Row(r"release: already exists|sh\.helm\.release\.v1\.[^\"]*\" already exists", "operation_in_progress"),
    Row(r"cannot list installed operators", "operation_in_progress", "An installation runs; the list works after it."),
    Row(r"the object has been modified|\(Conflict\)", "conflict"),
    # What is not allowed.
    Row(
        r"admission webhook \"(?P<webhook>[^\"]+)\" denied the request",
        "forbidden",
        "The cluster's admission webhook {webhook} refuses it; the message says why. Settle it with its owner.",
    ),
    Row(
        r"ValidatingAdmissionPolicy '(?P<policy>[^']+)' with binding '(?P<binding>[^']+)' denied request",
        "forbidden",
        "The cluster's ValidatingAdmissionPolicy {policy} (binding {binding}) refuses it; the message says why. "
        "Ask for what it allows, or settle it with its owner.",
    ),
    Row(
        r"attempting to grant RBAC permissions not currently held",
        "forbidden",
        "The handler must hold every right that the Role of Everest's installer grants: those of our chart's roles.",
    ),
    Row(
        r"cannot (?P<verb>\S+) resource \"(?P<resource>[^\"]+)\" in API group \"(?P<group>[^\"]*)\" (?P<where>[^\n;]+)",
        "forbidden",
        "Grant the handler {verb} on {resource} in API group '{group}', {where}.",
    ),
    Row(
        r"exceeded quota",
        "quota_rejected",
        "A quota of the namespace itself is used up: see kubectl describe resourcequota.",
    ),
    Row(r"quantities must match|(ResourceQuota|LimitRange) \"[^\"]*\" is invalid|request is invalid", "quota_rejected"),
    Row(r"is forbidden:|\(Forbidden\)", "forbidden"),
    # Everest itself.
    Row(
        r"(?P<kind>\w+) \"(?P<name>[^\"]+)\" in namespace \"(?P<namespace>[^\"]*)\" exists and cannot be imported into "
        r"the current release: invalid ownership metadata",
        "foreign_object",
        "If nobody needs it: kubectl delete {kind} {name} -n {namespace}. Else give it to Everest's release: kubectl "
        "label {kind} {name} -n {namespace} --overwrite app.kubernetes.io/managed-by=Helm, and kubectl annotate {kind} "
        "{name} -n {namespace} --overwrite meta.helm.sh/release-name={namespace} "
        "meta.helm.sh/release-namespace={namespace}.",
    ),
    Row(r"invalid ownership metadata", "foreign_object"),
    Row(r"everest is not installed|\"everest-(accounts|rbac|server|system)\" not found", "everest_not_installed"),
    Row(
        r"doesn't have a resource type|no matches for kind",
        "everest_not_installed",
        "The cluster lacks the custom resources that Everest brings (OLM's subscriptions among them).",
    ),
    Row(r"BackoffLimitExceeded|failed post-install|post-upgrade hooks failed", "operators_install_failed"),
    Row(
        r"cannot overwrite existing release with a different chart version",
        "unsupported_version",
        "The namespace was made by another version: run everestctl upgrade, or use its everestctl.",
    ),
    Row(r"not supported for this version of Everest|Malformed version", "unsupported_version"),
    Row(r"could not discover OpenEverest namespace", "unsupported_version"),  # everestctl 2 beside Everest 1
    Row(r"unknown (flag|command|shorthand)|accepts \d+ arg\(s\)|invalid number of arguments", "unsupported_version"),
    # The request.
    Row(r"no operators selected|RFC 1035|is reserved for Everest|Release name is invalid", "invalid_request"),
    Row(r"namespace list is empty|(username|password) (may|must) contain", "invalid_request"),
    # The state moved between a look and an act: look again.
    Row(r"namespace already exists|is not managed by Everest|namespace does not exist", "conflict"),
    Row(r"user already exists|account not found", "conflict", "The account was made or deleted meanwhile."),
    Row(r"--overwrite is false but found|\(AlreadyExists\)", "conflict"),
    Row(
        r"namespaces \"(?P<name>[^\"]+)\" not found",
        "conflict",
        "There is no namespace {name}: somebody deleted it meanwhile, or it was never made.",
    ),
    Row(r"context deadline exceeded", "timed_out"),
    Row(r"program was (killed|interrupted)", "killed", "Somebody interrupted everestctl; the job can be retried."),
    Row(
        r"could not open a new TTY",
        "command_failed",
        "everestctl asked a question that nobody can answer: its version needs another flag.",
    ),
)


def explain(completed: Completed) -> Failure:
    """Why a command that did not do its work failed. A time-out says nothing about the effect."""
    # Masked before and after it is cleaned, as what is shown: the message goes into the record and the log.
    stderr = mask(clean(mask_bytes(completed.stderr, completed.secrets)), completed.secrets)
    known = classify(stderr)
    if completed.timed_out:
        if known is not None and known.nature is Nature.INFRASTRUCTURE:
            return known  # kubectl says why it waits
        seconds = round(completed.duration_seconds)
        return Failure("timed_out", f"`{completed.command}` took longer than {seconds} s and was ended.")
    if known is not None:
        return known
    if completed.exit_code is not None and completed.exit_code < 0:
        return _explain_signal(completed.command, -completed.exit_code)
    reason = find_reason(stderr) or f"exit code {completed.exit_code}, and nothing on stderr"
    return Failure("command_failed", f"`{completed.command}` failed: {reason}")


def classify(stderr: str) -> Failure | None:
    """The failure that the words mean; None where no row knows them."""
    for words in (strip_asides(stderr), stderr):
        for row in TABLE:
            if match := re.search(row.pattern, words, re.IGNORECASE | re.DOTALL):
                hint = row.hint.format(**match.groupdict()) if row.hint else CODES[row.code].hint
                return Failure(row.code, find_reason(stderr), hint)
    return None


def find_reason(stderr: str) -> str:
    """The tool's own words in one line, not too long."""
    lines = (line.strip() for line in strip_asides(stderr).split("\n"))
    reason = "; ".join(dict.fromkeys(line for line in lines if line))
    return " ".join(shorten(reason, LONGEST_REASON_CHARS).split("\n"))


def strip_asides(stderr: str) -> str:
    """The error as the tool words it: without what accompanies it, unless there is nothing else."""
    text = re.sub(_DEPRECATION, "", stderr, flags=re.MULTILINE)
    words = _last_logged_error(text) or re.sub(_ASIDE, "", text, flags=re.MULTILINE).strip() or text
    words = words.strip().removeprefix("❌").strip()
    return re.sub(_USAGE, "", words, flags=re.DOTALL)


def _last_logged_error(stderr: str) -> str | None:
    """The message of the last error line in JSON mode."""
    found = None
    for line in stderr.split("\n"):
        if line.startswith(_LOGGED_ERROR):
            try:
                found = str(json.loads(line)["msg"])
            except (ValueError, KeyError):
                continue  # cut, or another program's
    return found


def _explain_signal(command: str, number: int) -> Failure:
    """Somebody else's: what we end ourselves has timed out, or its job is not ours any more."""
    return Failure("killed", f"`{command}` was ended by signal {number}.")
