"""How a tenant's lines become comments, or lines again: by everest-rbac-import alone."""

from contracts.codes import Failure
from handlers.rbac.apply_command import Change, PolicyWrite
from handlers.results import StepFailed
from handlers.suspension.tenant import Tenant
from handlers.tenants.access import Lines, name_lines
from handlers.tenants.existing import AnyTenantRequest
from handlers.workflow import Context


def to_turn(context: Context[AnyTenantRequest], tenant: Tenant, lines: Lines, change: Change) -> PolicyWrite:
    """What turns these lines, which the change is about.

    Raises StepFailed where nothing does: another command than everest-rbac-import knows no suspension.
    """
    command = context.read_apply_command()
    if not lines and not (tenant.unseen and command):
        return PolicyWrite(None, change)
    if command is not None and command.is_import:
        return PolicyWrite(command, change)
    why = "is not set" if command is None else "is not everest-rbac-import"
    what = f"these lines would stay as they are: {name_lines(lines)}" if lines else "its lines cannot be seen"
    hint = "Let EVEREST_RBAC_APPLY_CMD run everest-rbac-import, which alone makes comments of lines."
    raise StepFailed(Failure("withdraw_unsupported", f"EVEREST_RBAC_APPLY_CMD {why}, so {what}.", hint))
