"""The tenants that the cluster's claims name, page by page, and which of them differ from what they want."""

from dataclasses import dataclass, field

from contracts.answers import Difference, ListedTenant, ListedTenantNamespace, TenantList
from contracts.codes import Nature
from contracts.requests import TenantQuery, TenantsQuery
from handlers.queries.tenant_looks import Shared, look_at_namespaces, look_at_shared
from handlers.queries.tenant_report import report
from handlers.results import StepFailed
from handlers.settings import HandlerSettings
from handlers.tenants.claims import Claims, Namespace, find_all_claims
from handlers.tenants.spec import Spec
from handlers.tools.everestctl import Everestctl
from handlers.tools.kubectl import Kubectl

_MOST_COMPARED = 20  # tenants of one page: each takes several commands, and the caller waits


@dataclass(slots=True)
class TenantPage:
    """`next_after` is the last name that was looked at, where more follow."""

    tenants: list[ListedTenant] = field(default_factory=list)
    next_after: str | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def document(self) -> TenantList:
        return {"tenants": self.tenants, "next_cursor": self.next_after}


async def list_tenants(
    kubectl: Kubectl, everestctl: Everestctl, query: TenantsQuery, settings: HandlerSettings
) -> TenantPage:
    """Raises StepFailed."""
    found = await find_all_claims(kubectl)
    names = [name for name in found if name > (query.after or "") and query.username in (None, name)]
    page, most_looks = TenantPage(), _MOST_COMPARED if query.differs else query.limit
    shared = await look_at_shared(kubectl, everestctl) if query.differs and names else None
    for number, name in enumerate(names):
        if number == most_looks or len(page.tenants) == query.limit:
            page.next_after = names[number - 1]
            break
        claims = found[name]
        if shared is None:
            page.tenants.append(_describe(claims, page.warnings))
        elif differences := await _find_differences(kubectl, claims, shared, settings, page.warnings):
            page.tenants.append({**_describe(claims, page.warnings), "differences": differences})
    return page


async def _find_differences(
    kubectl: Kubectl, claims: Claims, shared: Shared, settings: HandlerSettings, warnings: list[str]
) -> list[Difference]:
    """One that cannot be compared, by its claim or by the handler's rights, keeps no other tenant from it.

    Raises StepFailed for what another try may mend.
    """
    try:
        seen = await look_at_namespaces(kubectl, claims)
        return report(TenantQuery(username=claims.username), shared, seen, settings)["differences"]
    except StepFailed as error:
        if error.failure.nature is not Nature.PERMANENT:
            raise
        warnings.append(f"Tenant {claims.username} was not compared: {error.failure.message}")
        return []


def _describe(claims: Claims, warnings: list[str]) -> ListedTenant:
    specs = [_read_spec(namespace, warnings) for namespace in claims.all]
    known = [spec.wanted for spec in specs if spec]
    return {
        "username": claims.username,
        "managed_by": known[0].managed_by if known else None,
        "suspended": any(wanted.suspended for wanted in known),
        "namespaces": [_describe_namespace(namespace, spec) for namespace, spec in zip(claims.all, specs, strict=True)],
    }


def _describe_namespace(namespace: Namespace, spec: Spec | None) -> ListedTenantNamespace:
    return {
        "name": namespace.name,
        "generation": spec.generation if spec else None,
        "role": spec.wanted.role if spec else None,
        "managed": namespace.is_managed,
        "terminating": namespace.is_terminating,
    }


def _read_spec(namespace: Namespace, warnings: list[str]) -> Spec | None:
    """One that cannot be read hides no other tenant."""
    try:
        return namespace.read_spec()
    except StepFailed as error:
        warnings.append(error.failure.message)
        return None
