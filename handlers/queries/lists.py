"""The queries: what only reads the cluster for a caller who waits. Each answers at once, or says why it cannot."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from contracts.answers import ListedNamespace
from contracts.codes import Nature
from contracts.requests import Request, TenantQuery, TenantsQuery
from handlers.bootstrap.installation import SUBSCRIPTIONS
from handlers.bootstrap.namespace import read_operators
from handlers.commands.running import Completed
from handlers.queries.tenant_list import list_tenants
from handlers.queries.tenant_report import describe_tenant
from handlers.results import RunCommand, StepFailed
from handlers.settings import HandlerSettings
from handlers.tenants.claims import MANAGED_SELECTOR
from handlers.tools.everestctl import Everestctl, read_whole
from handlers.tools.failures import explain
from handlers.tools.kubectl import Kubectl
from handlers.tools.parsers import parse_accounts, parse_namespaces

_LIST_FAILS = "`everestctl namespaces list` fails as a whole ({}); this list is kubectl's."


@dataclass(frozen=True, slots=True)
class QueryContext:
    """What a query is given."""

    request: Request
    run: RunCommand
    settings: HandlerSettings

    @property
    def everestctl(self) -> Everestctl:
        return Everestctl(self.run, self.settings.subprocess_timeout)

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.run, self.settings.subprocess_timeout)


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """`deciding` is the command that was asked; None where several were."""

    data: Any
    deciding: Completed | None = None
    warnings: tuple[str, ...] = ()


async def list_accounts(context: QueryContext) -> QueryAnswer:
    """`everestctl accounts list`. Raises StepFailed."""
    completed = await context.everestctl.list_accounts()
    return QueryAnswer(parse_accounts(read_whole(completed)), completed)


async def list_namespaces(context: QueryContext) -> QueryAnswer:
    """`everestctl namespaces list`, or kubectl where that fails, as it does while any installation runs.

    Raises StepFailed.
    """
    completed = await context.everestctl.list_namespaces()
    if completed.exit_code == 0:
        return QueryAnswer(parse_namespaces(read_whole(completed)), completed)
    failure = explain(completed)
    if failure.nature is Nature.INFRASTRUCTURE:
        raise StepFailed(failure, completed)  # kubectl would meet the same
    try:
        listed = await _list_by_kubectl(context.kubectl)
    except StepFailed:
        raise StepFailed(failure, completed) from None
    return QueryAnswer(listed, completed, (_LIST_FAILS.format(failure.message),))


async def read_tenant(context: QueryContext) -> QueryAnswer:
    """What the cluster holds for a tenant, and what differs from its last finished job. Raises StepFailed."""
    assert isinstance(context.request, TenantQuery), "the kind's reader makes nothing else"
    return QueryAnswer(await describe_tenant(context.kubectl, context.everestctl, context.request, context.settings))


async def read_tenants(context: QueryContext) -> QueryAnswer:
    """The tenants by name. Raises StepFailed."""
    assert isinstance(context.request, TenantsQuery), "the kind's reader makes nothing else"
    page = await list_tenants(context.kubectl, context.everestctl, context.request, context.settings)
    return QueryAnswer(page.document, warnings=tuple(page.warnings))


Query = Callable[[QueryContext], Awaitable[QueryAnswer]]

QUERIES: dict[str, Query] = {
    "accounts-list": list_accounts,
    "namespaces-list": list_namespaces,
    "tenant": read_tenant,
    "tenants": read_tenants,
}


async def _list_by_kubectl(kubectl: Kubectl) -> list[ListedNamespace]:
    """In the shape of the other list. Managed means, there too, that an operator is installed."""
    short = {"mongodb": "psmdb", "xtradb_cluster": "pxc"}  # everestctl's own names
    rows: list[ListedNamespace] = []
    for namespace in await kubectl.list("ns", None, MANAGED_SELECTOR):
        name = namespace["metadata"]["name"]
        operators = read_operators(await kubectl.list(SUBSCRIPTIONS, name))
        installed = [operator for operator in operators if operator["installed"]]
        rows.append(
            {
                "namespace": name,
                "managed": bool(installed),
                "operators": [
                    {"name": short.get(operator["name"], operator["name"]), "version": operator["version"] or ""}
                    for operator in installed
                ],
            }
        )
    return sorted(rows, key=lambda row: row["namespace"])
