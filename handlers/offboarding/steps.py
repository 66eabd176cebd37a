"""The end of a tenant: five steps, in this order."""

from collections.abc import Iterator
from typing import Any

from contracts.records import JobRecord, Outcome
from contracts.requests import OffboardRequest
from handlers.offboarding.access import decide_revocation
from handlers.offboarding.account import decide_account, decide_credentials
from handlers.offboarding.check import decide_check
from handlers.offboarding.removal import LEFT, decide_removal
from handlers.offboarding.tenancy import CHECK
from handlers.workflow import Step

STEPS: tuple[Step[OffboardRequest], ...] = (
    Step(CHECK, decide_check),
    Step("revoke_access", decide_revocation),
    Step("remove_namespace", decide_removal),
    Step("delete_account", decide_account),
    Step("delete_credentials", decide_credentials),
)


def summarize(record: JobRecord, request: OffboardRequest) -> str:
    """One line: `Tenant alice: access revoked; namespaces alice removed; account removed.`"""
    account = "account removed" if _is_removed(record, "delete_account") else "account unchanged"
    parts = [
        "access revoked" if _is_removed(record, "revoke_access") else "no access to revoke",
        *_tell_of_namespaces(record),
        account,
    ]
    return f"Tenant {request.username}: {'; '.join(parts)}."


def _tell_of_namespaces(record: JobRecord) -> Iterator[str]:
    """As the step left them: somebody may have deleted one amid the job, or taken its claim off."""
    removal = record.step("remove_namespace")
    left = _found_by(record, "remove_namespace").get(LEFT, [])
    others = [one for one in _found_by(record, CHECK).get("namespaces", []) if one["name"] not in left]
    gone = [one["name"] for one in others if not one["keeps"]]
    released = [one["name"] for one in others if one["keeps"]]
    if removal is not None and removal.outcome == Outcome.UNCHANGED:
        if others:
            yield f"namespace {', '.join([*gone, *released])} not the tenant's any more"
    else:
        yield from ([f"namespace {', '.join(gone)} removed"] if gone else [])
        yield from ([f"namespace {', '.join(released)} released"] if released else [])
    if left:
        yield f"namespace {', '.join(left)} left, for its claim was taken off"


def _found_by(record: JobRecord, name: str) -> dict[str, Any]:
    step = record.step(name)
    return (step.found if step else None) or {}


def _is_removed(record: JobRecord, name: str) -> bool:
    step = record.step(name)
    return step is not None and step.outcome == Outcome.REMOVED
