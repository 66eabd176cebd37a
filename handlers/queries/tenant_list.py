"""The tenants that the cluster's claims name, page by page, and which of them differ from what they want."""

from dataclasses import dataclass, field
from typing import Any

from contracts.requests import TenantQuery, TenantsQuery
from handlers.queries.tenant_report import describe_tenant
from handlers.results import StepFailed
from handlers.settings import HandlerSettings
from handlers.tenants.claims import Namespace, find_all_claims
from handlers.tenants.spec import Spec
from handlers.tools.everestctl import Everestctl
from handlers.tools.kubectl import Kubectl

_MOST_COMPARED = 20  # tenants of one page: each takes several commands, and the caller waits


@dataclass(slots=True)
class TenantPage:
    """`next_after` is the last name that was looked at, where more follow."""

    tenants: list[dict[str, Any]] = field(default_factory=list)
    next_after: str | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def document(self) -> dict[str, Any]:
        return {"tenants": self.tenants, "next_cursor": self.next_after}


async def list_tenants(
    kubectl: Kubectl, everestctl: Everestctl, query: TenantsQuery, settings: HandlerSettings
) -> TenantPage:
    """Raises StepFailed."""
    claims = await find_all_claims(kubectl)
    names = [name for name in claims if name > (query.after or "") and query.username in (None, name)]
    page, looks = TenantPage(), _MOST_COMPARED if query.differs else query.limit
    for number, name in enumerate(names):
        if number == looks or len(page.tenants) == query.limit:
            page.next_after = names[number - 1]
            break
        tenant = _describe(name, claims[name], page.warnings)
        if query.differs:
            report = await describe_tenant(kubectl, everestctl, TenantQuery(username=name), settings)
            tenant["differences"] = report["differences"]
        if not query.differs or tenant["differences"]:
            page.tenants.append(tenant)
    return page


def _describe(username: str, namespaces: list[Namespace], warnings: list[str]) -> dict[str, Any]:
    specs = [_read_spec(namespace, warnings) for namespace in namespaces]
    known = [spec.wanted for spec in specs if spec]
    return {
        "username": username,
        "managed_by": known[0].managed_by if known else None,
        "suspended": any(wanted.suspended for wanted in known),
        "namespaces": [
            {
                "name": namespace.name,
                "generation": spec.generation if spec else None,
                "role": spec.wanted.role if spec else None,
                "managed": namespace.is_managed,
                "terminating": namespace.is_terminating,
            }
            for namespace, spec in zip(namespaces, specs, strict=True)
        ],
    }


def _read_spec(namespace: Namespace, warnings: list[str]) -> Spec | None:
    """One that cannot be read hides no other tenant."""
    try:
        return namespace.read_spec()
    except StepFailed as error:
        warnings.append(error.failure.message)
        return None
