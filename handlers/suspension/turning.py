"""How a tenant's lines become comments, or lines again: by everest-rbac-import alone."""

from dataclasses import dataclass

from contracts.codes import Failure
from handlers.commands.running import Command, Completed
from handlers.decisions import Decision
from handlers.preflight.rights import Right, policy_rights
from handlers.rbac.apply_command import ApplyCommand, Change
from handlers.results import StepFailed
from handlers.suspension.tenant import Tenant
from handlers.tenants.access import Lines, name_lines
from handlers.tenants.existing import AnyTenantRequest
from handlers.workflow import Context


@dataclass(frozen=True, slots=True)
class Turning:
    """`command`: what turns the lines; None where none is to be turned."""

    command: ApplyCommand | None
    change: Change

    @property
    def rights(self) -> tuple[Right, ...]:
        return policy_rights() if self.command else ()

    def show(self, limit_seconds: float) -> tuple[Command, ...]:
        return (self.command.show(limit_seconds, self.change),) if self.command else ()

    async def carry_out(self, context: Context[AnyTenantRequest]) -> Completed | None:
        """Raises StepFailed."""
        if self.command is None:
            return None
        return await self.command.run(context.run, context.settings.subprocess_timeout, self.change)

    async def try_out(self, context: Context[AnyTenantRequest], decision: Decision) -> Decision:
        """Its dry run; the decision stays as it is. Raises StepFailed."""
        if self.command:
            await self.command.try_out(context.run, context.settings.subprocess_timeout, self.change)
        return decision

    def read_enforced(self, turned: Completed | None) -> bool | None:
        """Whether Everest obeys the policy, as the command says."""
        return self.command.read_enforced(turned) if self.command and turned else None


def choose_command(context: Context[AnyTenantRequest], tenant: Tenant, lines: Lines) -> ApplyCommand | None:
    """What turns these lines; None where there is nothing to turn.

    Raises StepFailed where nothing does: another command than everest-rbac-import knows no suspension.
    """
    command = ApplyCommand.read(context.settings.everest_rbac_apply_cmd)
    if not lines and not (tenant.unseen and command):
        return None
    if command is not None and command.is_import:
        return command
    why = "is not set" if command is None else "is not everest-rbac-import"
    what = f"these lines would stay as they are: {name_lines(lines)}" if lines else "its lines cannot be seen"
    hint = "Let EVEREST_RBAC_APPLY_CMD run everest-rbac-import, which alone makes comments of lines."
    raise StepFailed(Failure("withdraw_unsupported", f"EVEREST_RBAC_APPLY_CMD {why}, so {what}.", hint))
