"""How the cluster differs from what a tenant should have, and how to mend each difference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contracts.answers import Account, TenantOperator
from contracts.requests import BootstrapRequest
from handlers.bootstrap.quota import LIMITS_NAME, QUOTA_NAME, limit_shares, quota_hard
from handlers.bootstrap.releases import is_pending
from handlers.queries.expectations import Expected
from handlers.rbac.policy import parse_lines
from handlers.rbac.stored_policy import StoredPolicy
from handlers.settings import HandlerSettings
from handlers.tenants.accounts import DISABLED, ENABLE
from handlers.tenants.claims import Namespace
from handlers.tools.kubectl import Object
from handlers.tools.quantities import are_equal

_AGAIN = "Submit the same request again."
_REPAIR = "Repair the tenant, or submit the same request again."
_AGAIN_ELSEWHERE = "Submit with another namespace, or settle with its owner."
_LET_END = "Let the everestctl that works on it end; where none does, repair the tenant."
_SUSPEND_AGAIN = "Suspend the tenant again, or resume it."
_FINISH = "Where that job has failed, retry it. To take the tenant back, submit the same request again."
_MEND_POLICY = "Mend that line of the ConfigMap everest-rbac: Everest's server cannot start with it."


@dataclass(frozen=True, slots=True)
class Seen:
    """One namespace of a tenant, as the cluster's API has it; no `claim` where it is gone, nothing else if it goes."""

    name: str
    claim: Namespace | None
    release: str | None = None
    operators: tuple[TenantOperator, ...] = ()
    quota: Object | None = None
    limits: Object | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """Between the cluster and what was asked for, and how to mend it."""

    what: str
    message: str
    mend: str = _REPAIR


def compare_account(account: Account | None, username: str, expected: Sequence[Expected]) -> Iterator[Difference]:
    """What an offboarding has begun to take away wants none."""
    wants_account = any(wanted.request.account for wanted in expected if wanted.offboarded_by is None)
    if account is None:
        if wants_account:
            yield Difference("account", f"There is no account {username}.")
    elif not account.get("enabled"):
        if wants_account and not any(wanted.is_suspended for wanted in expected):
            yield Difference("account", DISABLED.format(username=username), ENABLE)
    elif any(wanted.account_disabled for wanted in expected):
        yield Difference("suspension", f"Account {username} is enabled, and its tenant is suspended.", _SUSPEND_AGAIN)


def compare(
    seen: Seen, expected: Expected, policy: StoredPolicy | None, settings: HandlerSettings
) -> Iterator[Difference]:
    """All that differs in one namespace. What an offboarding has begun to take away is as it should be, or gone."""
    if expected.offboarded_by is not None:
        message = f"The job {expected.offboarded_by} has begun to take namespace {seen.name} away."
        yield Difference("offboarding", message, _FINISH)
        return
    yield from _compare_namespace(seen.claim, expected.request)
    if seen.claim is not None and not seen.claim.is_terminating:
        yield from _compare_operators(seen, expected.request)
        yield from _compare_quota(seen, expected.request, settings)
    if expected.lines:
        yield from _compare_access(policy, expected)


def _compare_namespace(namespace: Namespace | None, request: BootstrapRequest) -> Iterator[Difference]:
    name = request.namespace
    if namespace is None:
        yield Difference("namespace", f"There is no namespace {name}.", _AGAIN)
    elif namespace.is_terminating:
        yield Difference(
            "namespace", f"Namespace {name} is being deleted.", "When it is gone, submit the same request again."
        )
    elif namespace.owner is None:
        mend = "Submit the same request again with take_ownership set to true."
        yield Difference("owner", f"Namespace {name} bears no owner any more.", mend)
    elif namespace.owner != request.username:
        yield Difference("owner", f"Namespace {name} belongs to {namespace.owner}.", _AGAIN_ELSEWHERE)


def _compare_operators(seen: Seen, request: BootstrapRequest) -> Iterator[Difference]:
    wanted = request.operators.wanted if request.operators else frozenset()
    installed = {operator["name"] for operator in seen.operators if operator["installed"]}
    for operator in sorted(wanted - installed):
        yield Difference("operators", f"The operator {operator} is not installed.")
    if wanted and seen.release != "deployed":
        mend = _LET_END if seen.release and is_pending(seen.release) else _REPAIR
        yield Difference("release", f"The Helm release is {seen.release or 'missing'}, not deployed.", mend)


def _compare_quota(seen: Seen, request: BootstrapRequest, settings: HandlerSettings) -> Iterator[Difference]:
    if seen.quota is None:
        yield Difference("quota", f"There is no ResourceQuota {QUOTA_NAME}.")
    else:
        hard = seen.quota.get("spec", {}).get("hard", {})
        yield from _compare_amounts("quota", hard, quota_hard(request.resources))
    if seen.limits is None:
        yield Difference("limit_range", f"There is no LimitRange {LIMITS_NAME}.")
        return
    limits = seen.limits.get("spec", {}).get("limits", [])
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


def _compare_access(policy: StoredPolicy | None, expected: Expected) -> Iterator[Difference]:
    if policy and policy.fault:
        yield Difference("rbac", f"The stored policy is invalid: {policy.fault}.", _MEND_POLICY)
        return
    stored = {rule.key for rule in policy.rules} if policy else set()
    for rule in parse_lines(expected.lines):
        if expected.is_suspended:
            if rule.key in stored:
                message = f"`{rule.shown}` is in force, and the tenant is suspended."
                yield Difference("suspension", message, _SUSPEND_AGAIN)
        elif rule.key not in stored:
            yield Difference("rbac", f"The policy lacks `{rule.shown}`.")
