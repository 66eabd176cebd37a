"""The requests of queries, which only read the cluster."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from contracts.requests.members import Namespace, Username
from contracts.requests.model import Request


class AccountsListQuery(Request):
    """List the Everest accounts."""


class NamespacesListQuery(Request):
    """List the namespaces that Everest knows."""


class TenantQuery(Request):
    """What the cluster holds for one tenant. `namespace` and `last` come from the tenant's last finished job."""

    username: Username
    namespace: Namespace | None = None
    last: dict[str, Any] | None = None

    first: ClassVar[Mapping[str, Any]] = {"username": None, "namespace": None, "last": None}


class TenantsQuery(Request):
    """List the tenants by name, behind `after`. With `differs` only those whose cluster is not as they want it."""

    username: Username | None = None
    differs: bool = False
    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    first: ClassVar[Mapping[str, Any]] = {"username": None, "differs": False, "after": None, "limit": 50}


class PlanQuery(Request):
    """What a job would do. `kind` and `request` are the job's; plans of one `batch` share what they see."""

    kind: str
    request: dict[str, Any]
    batch: str | None = None

    first: ClassVar[Mapping[str, Any]] = {"kind": None, "request": None}
