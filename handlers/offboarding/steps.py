"""The end of a tenant: five steps, in this order."""

from contracts.records import JobRecord, Outcome
from contracts.requests import OffboardRequest
from handlers.offboarding.access import decide_revocation
from handlers.offboarding.account import decide_account, decide_credentials
from handlers.offboarding.check import decide_check
from handlers.offboarding.removal import decide_removal
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
    checked = record.step(CHECK)
    found = (checked.found if checked else None) or {"namespaces": []}
    gone = [one["name"] for one in found["namespaces"] if not one["keeps"]]
    released = [one["name"] for one in found["namespaces"] if one["keeps"]]
    account = "account removed" if _is_removed(record, "delete_account") else "account unchanged"
    parts = [
        "access revoked" if _is_removed(record, "revoke_access") else "no access to revoke",
        *([f"namespace {', '.join(gone)} removed"] if gone else []),
        *([f"namespace {', '.join(released)} released"] if released else []),
        account,
    ]
    return f"Tenant {request.username}: {'; '.join(parts)}."


def _is_removed(record: JobRecord, name: str) -> bool:
    step = record.step(name)
    return step is not None and step.outcome == Outcome.REMOVED
