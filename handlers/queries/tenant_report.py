"""What the cluster holds for a tenant, and how that differs from what its last finished job made."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from contracts.requests import BootstrapRequest, InvalidRequest, TenantQuery, validate_request
from handlers.bootstrap.access import render_policy
from handlers.bootstrap.namespace import SUBSCRIPTIONS, newest_release, read_operators
from handlers.bootstrap.ownership import Namespace, find_namespace
from handlers.bootstrap.quota import LIMITS_NAME, QUOTA_NAME, limit_shares, quota_hard
from handlers.rbac.policy import InvalidPolicy, parse_rules
from handlers.settings import HandlerSettings
from handlers.tools.everestctl import Everestctl, read_whole
from handlers.tools.kubectl import Kubectl, Object, at_once
from handlers.tools.parsers import parse_accounts
from handlers.tools.quantities import are_equal

_AGAIN = "Submit the same request again."
_AGAIN_ELSEWHERE = "Submit with another namespace, or settle with its owner."
_OF_LAST = ("job_id", "status", "finished_at")


@dataclass(frozen=True, slots=True)
class Found:
    """What was seen of one tenant, as the cluster's API has it."""

    accounts: Any
    namespace: Namespace | None
    other_namespaces: tuple[str, ...]
    release: str | None
    operators: list[Object]
    quota: Object | None
    limits: Object | None
    policy: Object | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Between the cluster and what the last finished job made, and how to mend it."""

    what: str
    message: str
    mend: str = _AGAIN


async def describe_tenant(
    kubectl: Kubectl, everestctl: Everestctl, query: TenantQuery, settings: HandlerSettings
) -> dict[str, Any]:
    """The answer of the query. Raises StepFailed."""
    found = await _look(kubectl, everestctl, query)
    last, request = query.last or {}, _read_last(query.last)
    differences = _compare(found, request, settings, last) if request else ()
    return _describe(found, query.username) | {
        "last_job": {name: last[name] for name in _OF_LAST if name in last} or None,
        "differences": [asdict(difference) for difference in differences],
    }


async def _look(kubectl: Kubectl, everestctl: Everestctl, query: TenantQuery) -> Found:
    owned = await _find_owned(kubectl, query.username)
    name = query.namespace or next(iter(owned), query.username)
    namespace = await find_namespace(kubectl, name)
    async with at_once() as looks:
        accounts = looks.create_task(everestctl.list_accounts())
        policy = looks.create_task(kubectl.get("configmap", "everest-rbac", "everest-system"))
        if namespace is not None:
            releases = looks.create_task(kubectl.list("secret", name, f"owner=helm,name={name}"))
            subscriptions = looks.create_task(kubectl.list(SUBSCRIPTIONS, name))
            quota = looks.create_task(kubectl.get("resourcequota", QUOTA_NAME, name))
            limits = looks.create_task(kubectl.get("limitrange", LIMITS_NAME, name))
    others = tuple(other for other in owned if other != name)
    listed = parse_accounts(read_whole(accounts.result()))
    if namespace is None:
        return Found(listed, None, others, None, [], None, None, policy.result())
    return Found(
        listed,
        namespace,
        others,
        newest_release(releases.result()).get("status"),
        read_operators(subscriptions.result()),
        quota.result(),
        limits.result(),
        policy.result(),
    )


async def _find_owned(kubectl: Kubectl, username: str) -> list[str]:
    """The names of all namespaces that were claimed for the user."""
    namespaces = [Namespace.of(value) for value in await kubectl.list("ns", None)]
    return sorted(namespace.name for namespace in namespaces if namespace.owner == username)


def _describe(found: Found, username: str) -> dict[str, Any]:
    namespace = found.namespace
    return {
        "username": username,
        "account": _account_of(found, username),
        "namespace": None
        if namespace is None
        else {
            "name": namespace.name,
            "owner": namespace.owner,
            "job": namespace.job,
            "managed": namespace.is_managed,
            "terminating": namespace.is_terminating,
            "release": found.release,
            "operators": found.operators,
        },
        "other_namespaces": list(found.other_namespaces),
        "quota": found.quota
        and {
            "hard": found.quota.get("spec", {}).get("hard", {}),
            "used": found.quota.get("status", {}).get("used", {}),
        },
        "limit_range": found.limits and {"limits": found.limits.get("spec", {}).get("limits", [])},
        "rbac": _describe_access(found.policy, username),
    }


def _account_of(found: Found, username: str) -> dict[str, Any] | None:
    accounts = found.accounts if isinstance(found.accounts, list) else []
    return next((account for account in accounts if account.get("user") == username), None)


def _describe_access(policy: Object | None, username: str) -> dict[str, Any] | None:
    """The lines of the policy that are about the user or its role. None where there is no policy."""
    text = _policy_text(policy)
    if policy is None or text is None:
        return None
    enforced = policy["data"].get("enabled") == "true"
    try:
        rules = parse_rules(text)
    except InvalidPolicy as error:
        return {"enforced": enforced, "lines": [], "invalid": str(error)}
    subjects = (username, f"role:{username}")
    lines = [", ".join((rule.kind, *rule.fields)) for rule in rules if rule.subject in subjects]
    return {"enforced": enforced, "lines": lines}


def _policy_text(policy: Object | None) -> str | None:
    text = ((policy or {}).get("data") or {}).get("policy.csv")
    return text if isinstance(text, str) else None


def _read_last(last: dict[str, Any] | None) -> BootstrapRequest | None:
    """What the last finished job asked for; None where there was none that could be read."""
    try:
        return validate_request(BootstrapRequest, (last or {}).get("inputs"))
    except InvalidRequest:
        return None


def _compare(
    found: Found, request: BootstrapRequest, settings: HandlerSettings, last: dict[str, Any]
) -> Iterator[Difference]:
    if _account_of(found, request.username) is None:
        yield Difference("account", f"There is no account {request.username}.")
    yield from _compare_namespace(found.namespace, request)
    if found.namespace is not None:
        yield from _compare_operators(found, request)
        yield from _compare_quota(found, request, settings)
    if last.get("rbac_applied"):
        yield from _compare_access(found.policy, request)


def _compare_namespace(namespace: Namespace | None, request: BootstrapRequest) -> Iterator[Difference]:
    name = request.namespace
    if namespace is None:
        yield Difference("namespace", f"There is no namespace {name}.")
    elif namespace.is_terminating:
        yield Difference(
            "namespace", f"Namespace {name} is being deleted.", "When it is gone, submit the same request again."
        )
    elif namespace.owner is None:
        mend = "Submit the same request again with take_ownership set to true."
        yield Difference("owner", f"Namespace {name} bears no owner any more.", mend)
    elif namespace.owner != request.username:
        yield Difference("owner", f"Namespace {name} belongs to {namespace.owner}.", _AGAIN_ELSEWHERE)


def _compare_operators(found: Found, request: BootstrapRequest) -> Iterator[Difference]:
    wanted = request.operators.wanted if request.operators else frozenset()
    installed = {operator["name"] for operator in found.operators if operator["installed"]}
    for operator in sorted(wanted - installed):
        yield Difference("operators", f"The operator {operator} is not installed.")
    if wanted and found.release != "deployed":
        yield Difference("release", f"The Helm release is {found.release or 'missing'}, not deployed.")


def _compare_quota(found: Found, request: BootstrapRequest, settings: HandlerSettings) -> Iterator[Difference]:
    if found.quota is None:
        yield Difference("quota", f"There is no ResourceQuota {QUOTA_NAME}.")
    else:
        hard = found.quota.get("spec", {}).get("hard", {})
        yield from _compare_amounts("quota", hard, quota_hard(request.resources))
    if found.limits is None:
        yield Difference("limit_range", f"There is no LimitRange {LIMITS_NAME}.")
        return
    limits = found.limits.get("spec", {}).get("limits", [])
    container: Object = next((limit for limit in limits if limit.get("type") == "Container"), {})
    shares = limit_shares(request.resources, settings.limit_range_limit_percent, settings.limit_range_request_percent)
    for part, wanted in shares.items():
        yield from _compare_amounts(f"limit_range.{part}", container.get(part, {}), wanted)


def _compare_amounts(what: str, there: dict[str, str], wanted: dict[str, str]) -> Iterator[Difference]:
    for name, amount in wanted.items():
        if name not in there:
            yield Difference(what, f"{name} is not limited; it was set to {amount}.")
        elif not are_equal(there[name], amount):
            yield Difference(what, f"{name} is {there[name]}; it was set to {amount}.")


def _compare_access(policy: Object | None, request: BootstrapRequest) -> Iterator[Difference]:
    text = _policy_text(policy)
    try:
        stored = {rule.key for rule in parse_rules(text)} if text is not None else set()
    except InvalidPolicy as error:
        mend = "Mend that line of the ConfigMap everest-rbac: Everest's server cannot start with it."
        yield Difference("rbac", f"The stored policy is invalid: {error}.", mend)
        return
    for rule in parse_rules(render_policy(request)):
        if rule.key not in stored:
            yield Difference("rbac", f"The policy lacks `{', '.join((rule.kind, *rule.fields))}`.")
