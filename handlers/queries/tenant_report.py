"""What the cluster holds for a tenant in all its namespaces, and how that differs from what was asked for."""

from collections.abc import Iterable, Sequence

from contracts import answers
from contracts.requests import TenantQuery
from handlers.queries.differences import Difference, Seen, compare, compare_account
from handlers.queries.expectations import Expected, read_expected
from handlers.queries.tenant_looks import Shared, look_at_namespaces, look_at_shared
from handlers.rbac.stored_policy import StoredPolicy
from handlers.settings import HandlerSettings
from handlers.tenants.access import role_of
from handlers.tenants.claims import find_claims
from handlers.tools.everestctl import Everestctl
from handlers.tools.kubectl import Kubectl, at_once


async def describe_tenant(
    kubectl: Kubectl, everestctl: Everestctl, query: TenantQuery, settings: HandlerSettings
) -> answers.Tenant:
    """The answer of the query. Raises StepFailed."""
    async with at_once() as looks:
        shared = looks.create_task(look_at_shared(kubectl, everestctl))
        claims = await find_claims(kubectl, query.username, query.namespace or query.username)
        namespaces = looks.create_task(look_at_namespaces(kubectl, claims, query.namespace))
    return report(query, shared.result(), namespaces.result(), settings)


def report(query: TenantQuery, shared: Shared, seen: Sequence[Seen], settings: HandlerSettings) -> answers.Tenant:
    """What was seen, beside what should be there. The first namespace is that of the last job, where there was one."""
    expected = [read_expected(one.name, one.claim, query.username, query.last or {}) for one in seen]
    account = shared.accounts.get(query.username)
    namespaces = [
        _describe_namespace(one, wanted, compare(one, wanted, shared.policy, settings) if wanted else ())
        for one, wanted in zip(seen, expected, strict=True)
    ]
    known = [wanted for wanted in expected if wanted]
    of_account = compare_account(account, query.username, known)
    first = namespaces[0] if namespaces and namespaces[0]["exists"] else None
    return {
        "username": query.username,
        "suspended": any(wanted.is_suspended for wanted in known),
        "account": account,
        "namespaces": namespaces,
        "namespace": _describe_plain(seen[0]) if first else None,
        "other_namespaces": [one["name"] for one in namespaces[1:]],
        "quota": first and first["quota"],
        "limit_range": first and first["limit_range"],
        "rbac": _describe_access(shared.policy, query.username, known),
        "last_job": _describe_last(query),
        "differences": [
            *(_render(one, None) for one in of_account),
            *(difference for one in namespaces for difference in one["differences"]),
        ],
    }


def _describe_namespace(
    seen: Seen, expected: Expected | None, differences: Iterable[Difference]
) -> answers.ClaimedNamespace:
    return {
        **_describe_plain(seen),
        "exists": seen.claim is not None,
        "quota": _describe_quota(seen),
        "limit_range": {"limits": seen.limits.get("spec", {}).get("limits", [])} if seen.limits else None,
        "generation": expected.generation if expected else None,
        "wanted": expected.wanted if expected else None,
        "differences": [_render(difference, seen.name) for difference in differences],
    }


def _describe_quota(seen: Seen) -> answers.Quota | None:
    if seen.quota is None:
        return None
    return {"hard": seen.quota.get("spec", {}).get("hard", {}), "used": seen.quota.get("status", {}).get("used", {})}


def _describe_plain(seen: Seen) -> answers.TenantNamespace:
    """As version 0.1.0 told of the only one."""
    claim = seen.claim
    return {
        "name": seen.name,
        "owner": claim.owner if claim else None,
        "job": claim.job if claim else None,
        "managed": claim is not None and claim.is_managed,
        "terminating": claim is not None and claim.is_terminating,
        "release": seen.release,
        "operators": list(seen.operators),
    }


def _describe_last(query: TenantQuery) -> answers.LastJob | None:
    last = query.last
    if not last or "job_id" not in last:
        return None
    return {"job_id": last["job_id"], "status": last["status"], "finished_at": last["finished_at"]}


def _describe_access(policy: StoredPolicy | None, username: str, expected: Sequence[Expected]) -> answers.Access | None:
    """The lines of the policy that are about the tenant, its role or its subjects. None where there is no policy."""
    if policy is None:
        return None
    subjects = {subject for wanted in expected for subject in wanted.subjects}
    lines = [rule.shown for rule in policy.find_rules({username, role_of(username)} | subjects)]
    answer: answers.Access = {"enforced": policy.is_enforced, "lines": lines}
    if policy.fault:
        answer["invalid"] = str(policy.fault)
    return answer


def _render(difference: Difference, namespace: str | None) -> answers.Difference:
    """`namespace` is None for what is of the tenant as a whole."""
    return {
        "namespace": namespace,
        "what": difference.what,
        "message": difference.message,
        "mend": difference.mend,
    }
