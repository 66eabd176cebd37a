"""Every failure that a caller can meet: one table of stable codes, with what each means and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Nature(StrEnum):
    """Who meets the code, and what the handler does about a step that fails with it."""

    HTTP = "http"  # an answer of the gateway
    PERMANENT = "permanent"  # the step failed for good
    TRANSIENT = "transient"  # retried, up to MAX_ATTEMPTS step failures
    INFRASTRUCTURE = "infrastructure"  # retried until RETRY_FOR seconds of outage have added up
    JOB = "job"  # how a job ended, or why it waits


class Code(NamedTuple):
    """`status` is the HTTP status of a problem document, where the gateway answers with the code."""

    name: str
    nature: Nature
    title: str
    hint: str
    status: int | None = None
    retryable: bool = False


def _http(name: str, status: int, title: str, hint: str, *, retryable: bool = False) -> Code:
    return Code(name, Nature.HTTP, title, hint, status, retryable)


def _permanent(name: str, title: str, hint: str, status: int | None = None) -> Code:
    """With a status the gateway answers with it where it is known at once."""
    return Code(name, Nature.PERMANENT, title, hint, status)


def _transient(name: str, title: str, hint: str) -> Code:
    return Code(name, Nature.TRANSIENT, title, hint, retryable=True)


def _infrastructure(name: str, title: str, hint: str) -> Code:
    return Code(name, Nature.INFRASTRUCTURE, title, hint, 503, retryable=True)


def _job(name: str, title: str, hint: str, *, retryable: bool = False) -> Code:
    return Code(name, Nature.JOB, title, hint, retryable=retryable)


_ALL = (
    _http("unauthorized", 401, "The key is missing or wrong", "Send a valid key in the X-Admin-Key header."),
    _http(
        "scope_missing",
        403,
        "The key is not good for this",
        "Use a key with the scope that the answer names; python -m gateway new-key NAME --scopes makes one.",
    ),
    _http("job_not_found", 404, "No such job", "Check the id; records of finished jobs are kept for JOB_RETENTION."),
    _http(
        "batch_not_found", 404, "No such batch", "Check the id; records of finished jobs are kept for JOB_RETENTION."
    ),
    _http("tenant_not_found", 404, "No such tenant", "Check the name; POST /bootstrap/users makes one."),
    _http("not_found", 404, "No such route", "See /docs for the routes."),
    _http("method_not_allowed", 405, "The route has no such method", "See the Allow header."),
    _http(
        "not_http",
        400,
        "What was sent is no HTTP request",
        "Send HTTP/1.1 with a method of its standard; see /docs for those of each route.",
    ),
    _http("not_json", 400, "The body is not JSON", "Send a JSON object encoded as UTF-8."),
    _http("bad_parameter", 400, "A parameter has a value that cannot be used", "See the detail for what is accepted."),
    _http(
        "unsupported_media_type",
        415,
        "The body is not plain JSON",
        "Send Content-Type: application/json, in UTF-8, without Content-Encoding.",
    ),
    _http("body_too_large", 413, "The body is too large", "A request has at most 64 KB, a bulk 8 MB."),
    _http(
        "headers_too_large", 431, "The header section is too large", "A request's line and headers have at most 32 KB."
    ),
    _http(
        "too_many_connections",
        503,
        "The gateway has as many connections as it may",
        "Try again after Retry-After seconds; close connections that are not needed.",
        retryable=True,
    ),
    _http("validation_failed", 422, "The request is not valid", "Mend the named fields and send it again."),
    _http(
        "idempotency_conflict",
        422,
        "The Idempotency-Key was used for another request",
        "Use a new key for a new request; the same key only for the same request.",
    ),
    _http(
        "job_not_finished",
        409,
        "The job has not finished",
        "Poll the status_url until the status is succeeded or failed.",
        retryable=True,
    ),
    _http("job_finished", 409, "The job has finished", "A finished job stays as it is; a failed one can be retried."),
    _http("rate_limited", 429, "Too many requests", "Wait for the Retry-After seconds.", retryable=True),
    _http("queue_full", 503, "The queue is full", "Nothing was accepted. Try again later.", retryable=True),
    _http(
        "queue_unavailable",
        503,
        "NATS does not answer",
        "Try again after Retry-After seconds; if it stays, check NATS and the gateway's /readyz.",
        retryable=True,
    ),
    _http(
        "not_provisioned",
        503,
        "NATS lacks what this service needs",
        "Run python -m gateway provision, once for each NATS.",
        retryable=True,
    ),
    _http(
        "outcome_unknown",
        503,
        "Whether the job was accepted is not known",
        "Ask for the job id in this answer, or send the same request with the same Idempotency-Key.",
        retryable=True,
    ),
    _http("everestctl_failed", 502, "everestctl failed", "See the detail for what everestctl said."),
    _http("internal_error", 500, "The gateway failed", "See the gateway's log for the request id; the fault is ours."),
    _http(
        "record_unreadable",
        500,
        "The job's record cannot be read",
        "Somebody else wrote to the bucket, or a later version did; look at the key with the nats CLI.",
    ),
    _http("result_too_large", 502, "The result does not fit a record", "Ask everestctl directly."),
    _http(
        "no_handler",
        504,
        "No handler answered in time",
        "Check that a handler runs and is ready (python -m handlers --check).",
        retryable=True,
    ),
    _permanent("invalid_request", "The request is not valid", "Mend the request and submit a new job."),
    _permanent(
        "namespace_owned_by_another",
        "The namespace belongs to another user of this service",
        "Choose another namespace; take_ownership does not take one tenant's namespace for another.",
        409,
    ),
    _permanent(
        "namespace_exists",
        "The namespace exists and is nobody's here",
        "Submit a new job with another namespace, or with take_ownership set to true to adopt it.",
    ),
    _permanent(
        "role_taken",
        "The tenant's role is somebody's already",
        "Choose another username, or set take_ownership to true to adopt the role with its members and rights.",
    ),
    _permanent(
        "tenant_managed_by_another",
        "The tenant is managed by another caller",
        "Only who manages a tenant may change it; an administrator can, and can hand it over.",
        403,
    ),
    _permanent(
        "kind_unsupported",
        "The handler cannot do jobs of this kind",
        "Bring all handlers to the gateway's version, then retry the job.",
    ),
    _permanent(
        "generation_conflict",
        "The claim is at another generation",
        "Somebody changed what is wanted: GET /tenants/{username}/namespaces/{namespace} and decide anew.",
        412,
    ),
    _permanent(
        "databases_left",
        "The namespace holds what would be lost",
        "Move it elsewhere; or send delete_databases=true and what is taken away as confirm: it goes, for good.",
        409,
    ),
    _permanent(
        "namespace_kept",
        "The namespace is marked to be kept",
        "Take the mark off first: kubectl annotate namespace NAME everest-bootstrap/keep-",
        409,
    ),
    _permanent(
        "database_stuck",
        "A database does not go",
        "See what holds it (its finalizers, its operator's log); when it is gone, retry the job.",
    ),
    _permanent(
        "namespace_stuck",
        "The namespace does not go",
        "See what holds it (kubectl get namespace NAME -o yaml: status.conditions); when it is gone, retry the job.",
    ),
    _permanent("tenant_suspended", "The tenant is suspended", "Resume the tenant, then submit the request again.", 409),
    _permanent(
        "offboarding_unfinished",
        "An offboarding has begun and has not ended",
        "Retry that job. Who wants the tenant back submits what is wanted there: POST /bootstrap/users.",
        409,
    ),
    _permanent(
        "account_not_found",
        "The tenant has no account",
        "Who logs in by SSO has no password here; else repair the tenant, which makes the account.",
        404,
    ),
    _permanent(
        "withdraw_unsupported",
        "The RBAC command cannot take lines away",
        "Let EVEREST_RBAC_APPLY_CMD run everest-rbac-import, or give your command {withdraw}: the file of the lines.",
    ),
    _permanent(
        "forbidden", "The handler lacks a right in the cluster", "Grant it: python -m handlers --check names it."
    ),
    _permanent(
        "everest_not_installed", "Everest is not installed in the cluster", "Install Everest, then retry the job."
    ),
    _permanent(
        "unsupported_version",
        "This version of everestctl or Everest cannot be used",
        "Build the handlers' image with the server's version as EVERESTCTL_VERSION; only 1.x is supported.",
    ),
    _permanent("quota_rejected", "The cluster rejected the quota", "Mend the resources in the request."),
    _permanent(
        "stored_policy_invalid",
        "The stored RBAC policy is invalid already",
        "Mend the named line of the ConfigMap everest-rbac first; nothing was written.",
    ),
    _permanent("policy_invalid", "The RBAC policy is invalid", "Nothing was written. See the detail for the line."),
    _permanent(
        "policy_too_large",
        "The RBAC policy would not fit the ConfigMap",
        "A ConfigMap holds 1,048,576 bytes; remove the lines of tenants that are gone.",
    ),
    _permanent(
        "rbac_command_failed",
        "EVEREST_RBAC_APPLY_CMD failed",
        "Run it by hand with the handler's kubeconfig, then retry the job.",
    ),
    _permanent(
        "foreign_object",
        "An object that is there already stands in Helm's way",
        "Delete the named object, or label and annotate it as a part of Everest's release, then retry the job.",
    ),
    _permanent(
        "command_failed",
        "A command failed",
        "See what the message says; run the command by hand with the handler's kubeconfig to see more.",
    ),
    _transient(
        "conflict",
        "Somebody else changed the object at the same time",
        "See who else changes it; retry the job when they have finished.",
    ),
    _transient(
        "operation_in_progress",
        "Another Helm operation holds the namespace",
        "See who else works on the namespace (helm list --all); retry the job when that has ended.",
    ),
    _transient(
        "operators_install_failed",
        "The operators could not be installed",
        "See the installer's Job everest-operators-installer and its pods in the tenant's namespace.",
    ),
    _transient(
        "removal_failed",
        "Everest could not be taken off the namespace",
        "See its Job everest-helm-pre-delete-hook and the Job's pods, in the tenant's namespace.",
    ),
    _transient(
        "namespace_terminating",
        "The namespace is being deleted",
        "See what keeps it (kubectl describe namespace); retry the job when it is gone.",
    ),
    _transient(
        "chart_unavailable",
        "The Helm chart cannot be had",
        "Allow the handler to reach the chart repository, or seed its chart cache.",
    ),
    _transient(
        "timed_out",
        "A command took longer than its limit",
        "See what the cluster waits for; SUBPROCESS_TIMEOUT and EVEREST_NAMESPACE_TIMEOUT are the limits.",
    ),
    _transient(
        "killed",
        "Somebody else ended a command",
        "Signal 9 is the memory limit's: give the handler more memory, or lower HANDLER_CONCURRENCY.",
    ),
    _transient(
        "not_usable",
        "The tenant cannot create a database yet",
        "See the message for what is missing. EVEREST_REQUIRE_USABLE makes a job wait for it.",
    ),
    _infrastructure(
        "cluster_unreachable",
        "The Kubernetes API cannot be reached",
        "Check the cluster and the kubeconfig's server address.",
    ),
    _infrastructure(
        "cluster_unauthorized",
        "The cluster does not accept the handler's credentials",
        "Renew the kubeconfig's token or certificate.",
    ),
    _infrastructure(
        "tls_untrusted", "The cluster's certificate is not trusted", "Put the cluster's CA into the kubeconfig."
    ),
    _infrastructure(
        "everestctl_missing", "everestctl is not installed in the handler", "Put everestctl on the handler's PATH."
    ),
    _infrastructure("kubectl_missing", "kubectl is not installed in the handler", "Put kubectl on the handler's PATH."),
    _infrastructure("kubeconfig_missing", "The handler has no kubeconfig", "Mount one and set KUBECONFIG to its path."),
    _infrastructure(
        "kubeconfig_unreadable",
        "The handler may not read its kubeconfig",
        "Make the file readable for the handler's user.",
    ),
    _infrastructure(
        "kubeconfig_invalid",
        "The kubeconfig cannot be used",
        "Check it with kubectl config view; it needs a current context.",
    ),
    _infrastructure(
        "credentials_namespace_missing",
        "The namespace for the tenants' credentials is not there",
        "Make the namespace that EVEREST_CREDENTIALS_NAMESPACE names.",
    ),
    _infrastructure(
        "no_scratch_space",
        "The handler cannot write a temporary file",
        "Make room in the handler's temporary folder (TMPDIR, else /tmp), or give it a larger one.",
    ),
    _job("cancelled", "The job was cancelled", "Submit a new job, or retry this one."),
    _job("lost", "The job's message was lost", "Storage of NATS was lost or damaged. Retry the job."),
    _job(
        "too_many_losses",
        "The job's handler died too often",
        "Look for handlers that are killed while they run it (memory limit), then retry the job.",
    ),
    _job("job_id_taken", "The job id belongs to another request", "Publish under a new id."),
    _job("tenant_busy", "Another job works for the same user", "It waits and runs by itself.", retryable=True),
)

CODES: dict[str, Code] = {code.name: code for code in _ALL}


def find_code(name: str) -> Code:
    """The row of a code. One of a later version, in a record that it wrote, is shown as it is."""
    return CODES.get(name) or Code(name, Nature.PERMANENT, "A failure of a later version", "See the message.")


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong in a step or with a job: a code of this table and what happened this time."""

    code: str
    message: str
    hint: str = ""

    def __post_init__(self) -> None:
        if not self.hint:
            object.__setattr__(self, "hint", find_code(self.code).hint)

    @property
    def nature(self) -> Nature:
        return find_code(self.code).nature

    @property
    def retryable(self) -> bool:
        return find_code(self.code).retryable
