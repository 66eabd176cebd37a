"""The bootstrap of a tenant: five steps, in this order."""

from handlers.bootstrap.access import decide_policy
from handlers.bootstrap.account import decide_account
from handlers.bootstrap.namespace import decide_namespace
from handlers.bootstrap.quota import decide_quota
from handlers.bootstrap.refusals import rechecked
from handlers.bootstrap.retraction import retract_account
from handlers.bootstrap.verification import decide_verification
from handlers.workflow import Step

STEPS = (
    Step("create_account", decide_account, retract_account),
    Step("add_namespace", rechecked(decide_namespace), retract_account),
    Step("apply_resource_quota", rechecked(decide_quota)),  # after the operators: their installer is not held to it
    Step("apply_rbac_policy", rechecked(decide_policy)),
    Step("verify_tenant", decide_verification),
)
