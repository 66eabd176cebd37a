"""The kinds of jobs: one row each. Names on the wire, documents and both sides look them up here.

What a handler does for a kind is bound in `handlers.kinds`.
"""

from typing import Any, NamedTuple

from contracts.requests import (
    AccountsListQuery,
    BootstrapRequest,
    HandoverRequest,
    InvalidRequest,
    NamespacesListQuery,
    OffboardRequest,
    PasswordRequest,
    PlanQuery,
    RepairRequest,
    Request,
    ResumeRequest,
    SuspendRequest,
    TenantQuery,
    TenantsQuery,
    parse_request,
    validate_request,
)

QUERY_RETENTION_SECONDS = 600


class Kind(NamedTuple):
    """`subject` is what jobs are published to, before their id.

    `steps` are the names of what a job does, in order; a query shows none. `tenant_key` names the member of the request
    whose value at most one job works for at a time. `is_query`: it only reads the cluster for a caller who waits.
    `retention_seconds` is how long a finished record is kept; None: JOB_RETENTION.
    """

    name: str
    request: type[Request]
    subject: str
    steps: tuple[str, ...] = ()
    tenant_key: str | None = None
    is_query: bool = False
    retention_seconds: float | None = None

    def tenant_of(self, request: Request) -> str | None:
        return getattr(request, self.tenant_key) if self.tenant_key else None


def _job(name: str, request: type[Request], *steps: str) -> Kind:
    return Kind(name, request, f"everest.v1.jobs.{name}", steps, tenant_key="username")


def _query(name: str, request: type[Request]) -> Kind:
    return Kind(name, request, f"everest.v1.queries.{name}", is_query=True, retention_seconds=QUERY_RETENTION_SECONDS)


_OF_BOOTSTRAP = ("create_account", "add_namespace", "apply_resource_quota", "apply_rbac_policy", "verify_tenant")
_OF_OFFBOARD = ("check_tenant", "revoke_access", "remove_namespace", "delete_account", "delete_credentials")

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _job("bootstrap", BootstrapRequest, *_OF_BOOTSTRAP),
        _job("offboard", OffboardRequest, *_OF_OFFBOARD),
        _job("password", PasswordRequest, "set_password"),
        _job("suspend", SuspendRequest, "revoke_access", "pause_databases"),
        _job("resume", ResumeRequest, "restore_access", "resume_databases"),
        _job("repair", RepairRequest, *_OF_BOOTSTRAP),
        _job("handover", HandoverRequest, "hand_over"),
        _query("accounts-list", AccountsListQuery),
        _query("namespaces-list", NamespacesListQuery),
        _query("tenant", TenantQuery),
        _query("tenants", TenantsQuery),
        _query("plan", PlanQuery),
    )
}


def read_request(kind: str, body: bytes) -> Request:
    """The request in a body.

    Raises NotJson, or InvalidRequest with every problem that was found. KeyError for an unknown kind.
    """
    return parse_request(KINDS[kind].request, body)


def repeat_request(kind: str, members: dict[str, Any] | None) -> Request:
    """A request as a record keeps it. Raises InvalidRequest; KeyError for an unknown kind."""
    return validate_request(KINDS[kind].request, members)


def resolve(kind: str, members: dict[str, Any] | None) -> dict[str, Any]:
    """A request as published, with its defaults filled in; as it is where this version cannot read it."""
    try:
        return repeat_request(kind, members).model_dump()
    except (KeyError, InvalidRequest):
        return members or {}
