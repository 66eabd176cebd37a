"""What is looked at for a report of a tenant: what all tenants share, and each of its namespaces."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from contracts.answers import Account
from handlers.bootstrap.installation import SUBSCRIPTIONS
from handlers.bootstrap.namespace import read_operators
from handlers.bootstrap.quota import LIMITS_NAME, QUOTA_NAME
from handlers.bootstrap.releases import newest_release
from handlers.queries.differences import Seen
from handlers.rbac.stored_policy import NAME, NAMESPACE, NoPolicy, StoredPolicy
from handlers.tenants.claims import Claims, Namespace
from handlers.tools.everestctl import Everestctl, read_whole
from handlers.tools.kubectl import Kubectl, at_once
from handlers.tools.parsers import parse_accounts

_MOST_AT_ONCE = 2  # namespaces; each takes four commands


@dataclass(frozen=True, slots=True)
class Shared:
    """What all tenants are in: Everest's accounts by user, and its policy, where there is one."""

    accounts: dict[str, Account]
    policy: StoredPolicy | None


async def look_at_shared(kubectl: Kubectl, everestctl: Everestctl) -> Shared:
    """Raises StepFailed."""
    async with at_once() as looks:
        accounts = looks.create_task(everestctl.list_accounts())
        configmap = looks.create_task(kubectl.get("configmap", NAME, NAMESPACE))
    listed = parse_accounts(read_whole(accounts.result()))
    by_user = {account["user"]: account for account in listed if "user" in account} if _are_objects(listed) else {}
    try:
        return Shared(by_user, StoredPolicy.of(configmap.result()))
    except NoPolicy:
        return Shared(by_user, None)


def _are_objects(listed: object) -> bool:
    """Another everestctl may print any JSON."""
    return isinstance(listed, list) and all(isinstance(one, dict) for one in listed)


async def look_at_namespaces(kubectl: Kubectl, claims: Claims, asked: str | None = None) -> tuple[Seen, ...]:
    """All that the tenant has, behind the one that is asked for, whatever became of that. Raises StepFailed."""
    slots = asyncio.Semaphore(_MOST_AT_ONCE)
    async with at_once() as looks:
        seen = [looks.create_task(_look_at(kubectl, slots, *one)) for one in _choose(claims, asked)]
    return tuple(task.result() for task in seen)


def _choose(claims: Claims, asked: str | None) -> Iterable[tuple[str, Namespace | None]]:
    claimed = [(claim.name, claim) for claim in (claims.others if asked else claims.all)]
    return [(asked, claims.namespace), *claimed] if asked else claimed


async def _look_at(kubectl: Kubectl, slots: asyncio.Semaphore, name: str, claim: Namespace | None) -> Seen:
    # What a terminating one holds is going, and so may be the handler's rights in it.
    if claim is None or claim.is_terminating:
        return Seen(name, claim)
    async with slots, at_once() as looks:
        releases = looks.create_task(kubectl.list("secret", name, f"owner=helm,name={name}"))
        subscriptions = looks.create_task(kubectl.list(SUBSCRIPTIONS, name))
        quota = looks.create_task(kubectl.get("resourcequota", QUOTA_NAME, name))
        limits = looks.create_task(kubectl.get("limitrange", LIMITS_NAME, name))
    newest = newest_release(releases.result())
    operators = tuple(read_operators(subscriptions.result()))
    return Seen(name, claim, newest and newest.status, operators, quota.result(), limits.result())
