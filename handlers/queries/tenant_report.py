"""What the cluster holds for a tenant in all its namespaces, and how that differs from what was asked for."""

import asyncio
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from contracts.requests import TenantQuery
from handlers.bootstrap.namespace import SUBSCRIPTIONS, newest_release, read_operators
from handlers.bootstrap.quota import LIMITS_NAME, QUOTA_NAME
from handlers.queries.differences import Difference, Seen, compare, compare_account
from handlers.queries.expectations import Expected, read_expected
from handlers.rbac.stored_policy import NAME, NAMESPACE, NoPolicy, StoredPolicy
from handlers.settings import HandlerSettings
from handlers.tenants.access import role_of
from handlers.tenants.claims import Claims, Namespace, find_claims
from handlers.tools.everestctl import Everestctl, read_whole
from handlers.tools.kubectl import Kubectl, Object, at_once
from handlers.tools.parsers import parse_accounts

_OF_LAST = ("job_id", "status", "finished_at")
_OF_FIRST = ("name", "owner", "job", "managed", "terminating", "release", "operators")
_MOST_AT_ONCE = 2  # namespaces; each takes four commands


@dataclass(frozen=True, slots=True)
class _Found:
    """What was seen of one tenant. The first namespace is that of its last job, where there was one."""

    account: Object | None
    namespaces: tuple[Seen, ...]
    policy: StoredPolicy | None


async def describe_tenant(
    kubectl: Kubectl, everestctl: Everestctl, query: TenantQuery, settings: HandlerSettings
) -> dict[str, Any]:
    """The answer of the query. Raises StepFailed."""
    found, last = await _look(kubectl, everestctl, query), query.last or {}
    expected = [read_expected(seen.name, seen.claim, query.username, last) for seen in found.namespaces]
    of_account = list(compare_account(found.account, query.username, expected))
    documents = []
    for seen, wanted in zip(found.namespaces, expected, strict=True):
        differences = compare(seen, wanted, found.policy, settings) if wanted else ()
        documents.append(_describe_namespace(seen, wanted) | {"differences": _render(differences, seen.name)})
    of_namespaces = [difference for document in documents for difference in document["differences"]]
    return {
        "username": query.username,
        "suspended": any(wanted.is_suspended for wanted in expected if wanted),
        "account": found.account,
        "namespaces": documents,
        "rbac": _describe_access(found.policy, query.username, expected),
        "last_job": {name: last[name] for name in _OF_LAST if name in last} or None,
        "differences": [
            *_render(of_account, None),
            *of_namespaces,
        ],
        **_describe_first(documents),
    }


async def _look(kubectl: Kubectl, everestctl: Everestctl, query: TenantQuery) -> _Found:
    slots = asyncio.Semaphore(_MOST_AT_ONCE)
    async with at_once() as looks:
        accounts = looks.create_task(everestctl.list_accounts())
        configmap = looks.create_task(kubectl.get("configmap", NAME, NAMESPACE))
        claims = await find_claims(kubectl, query.username, query.namespace or query.username)
        namespaces = [looks.create_task(_look_at(kubectl, slots, *one)) for one in _choose(claims, query.namespace)]
    listed = parse_accounts(read_whole(accounts.result()))
    known = listed if isinstance(listed, list) else []
    account = next((account for account in known if account.get("user") == query.username), None)
    try:
        policy = StoredPolicy.of(configmap.result())
    except NoPolicy:
        policy = None
    return _Found(account, tuple(task.result() for task in namespaces), policy)


def _choose(claims: Claims, asked: str | None) -> list[tuple[str, Namespace | None]]:
    """The namespace of the last job, whatever became of it, and all that the tenant has."""
    claimed = [(claim.name, claim) for claim in (claims.others if asked else claims.all)]
    return [(asked, claims.namespace), *claimed] if asked else [*claimed]


async def _look_at(kubectl: Kubectl, slots: asyncio.Semaphore, name: str, claim: Namespace | None) -> Seen:
    if claim is None:
        return Seen(name, None)
    async with slots, at_once() as looks:
        releases = looks.create_task(kubectl.list("secret", name, f"owner=helm,name={name}"))
        subscriptions = looks.create_task(kubectl.list(SUBSCRIPTIONS, name))
        quota = looks.create_task(kubectl.get("resourcequota", QUOTA_NAME, name))
        limits = looks.create_task(kubectl.get("limitrange", LIMITS_NAME, name))
    release = newest_release(releases.result()).get("status")
    operators = tuple(read_operators(subscriptions.result()))
    return Seen(name, claim, release, operators, quota.result(), limits.result())


def _describe_namespace(seen: Seen, expected: Expected | None) -> dict[str, Any]:
    claim, quota, limits = seen.claim, seen.quota, seen.limits
    return {
        "name": seen.name,
        "exists": claim is not None,
        "owner": claim and claim.owner,
        "job": claim and claim.job,
        "managed": bool(claim and claim.is_managed),
        "terminating": bool(claim and claim.is_terminating),
        "release": seen.release,
        "operators": list(seen.operators),
        "quota": quota
        and {"hard": quota.get("spec", {}).get("hard", {}), "used": quota.get("status", {}).get("used", {})},
        "limit_range": limits and {"limits": limits.get("spec", {}).get("limits", [])},
        "generation": expected and expected.generation,
        "wanted": expected and expected.wanted,
    }


def _describe_first(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The first namespace by itself, as version 0.1.0 told of the only one."""
    first = documents[0] if documents and documents[0]["exists"] else None
    return {
        "namespace": first and {name: first[name] for name in _OF_FIRST},
        "other_namespaces": [document["name"] for document in documents[1:]],
        "quota": first and first["quota"],
        "limit_range": first and first["limit_range"],
    }


def _describe_access(
    policy: StoredPolicy | None, username: str, expected: list[Expected | None]
) -> dict[str, Any] | None:
    """The lines of the policy that are about the tenant, its role or its subjects. None where there is no policy."""
    if policy is None:
        return None
    subjects = {subject for wanted in expected if wanted for subject in wanted.subjects}
    lines = [rule.shown for rule in policy.find_rules({username, role_of(username)} | subjects)]
    answer = {"enforced": policy.is_enforced, "lines": lines}
    return answer | {"invalid": str(policy.fault)} if policy.fault else answer


def _render(differences: Iterable[Difference], namespace: str | None) -> list[dict[str, Any]]:
    """`namespace` is None for what is of the tenant as a whole."""
    return [asdict(difference) | {"namespace": namespace} for difference in differences]
