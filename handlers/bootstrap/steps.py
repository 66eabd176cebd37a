"""The bootstrap of a tenant: five steps, in this order."""

from handlers.bootstrap.access import ensure_access
from handlers.bootstrap.account import ensure_account
from handlers.bootstrap.namespace import ensure_namespace
from handlers.bootstrap.quota import ensure_quota
from handlers.bootstrap.verification import verify_tenant
from handlers.workflow import Step

STEPS = (
    Step("create_account", ensure_account),
    Step("add_namespace", ensure_namespace),
    Step("apply_resource_quota", ensure_quota),  # after the operators: their installer must not be held to it
    Step("apply_rbac_policy", ensure_access),
    Step("verify_tenant", verify_tenant),
)
