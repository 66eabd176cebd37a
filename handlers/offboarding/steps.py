"""The end of a tenant: five steps, in this order."""

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
