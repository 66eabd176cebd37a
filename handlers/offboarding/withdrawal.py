"""Which policy lines an offboarding takes out: those that this service wrote, and that no other namespace needs."""

from dataclasses import dataclass

from contracts.codes import Failure
from handlers.offboarding.tenancy import OffboardContext, Tenancy
from handlers.rbac.apply_command import ApplyCommand, Change, PolicyWrite
from handlers.rbac.look import read_policy
from handlers.rbac.policy import Rule, join_lines, parse_lines, read_suspended
from handlers.rbac.stored_policy import StoredPolicy
from handlers.results import StepFailed
from handlers.tenants.access import Lines, lines_of, name_lines, role_of


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """`lines` stand in the policy, or may where it could not be seen; `foreign` still name the tenant afterwards."""

    username: str
    command: ApplyCommand | None
    stored: StoredPolicy
    unseen: str  # why the policy could not be looked at
    lines: Lines
    foreign: Lines

    @property
    def write(self) -> PolicyWrite:
        return PolicyWrite(self.command if self.lines else None, Change(withdrawn=join_lines(self.lines)))

    def refuse_unsupported(self) -> None:
        """Raises StepFailed where lines would be left behind: they would be the next tenant's of that name."""
        if not self.lines or (self.command is not None and self.command.can_withdraw):
            return
        why = "is not set" if self.command is None else "has no {withdraw}"
        reason = f"EVEREST_RBAC_APPLY_CMD {why}, so these lines would stay: {name_lines(self.lines)}."
        raise StepFailed(Failure("withdraw_unsupported", reason))


async def find_withdrawal(context: OffboardContext, tenancy: Tenancy) -> Withdrawal:
    """Raises StepFailed."""
    username, leaving, found = tenancy.claims.username, tenancy.leaving, tenancy.found
    needed = {rule.key for claim in tenancy.staying for rule in parse_lines(lines_of(claim, username))}
    # Of a namespace that somebody has deleted meanwhile only what was seen before tells.
    ours = {rule.key: rule for rule in parse_lines(found.lines)} if len(leaving) < len(found.targets) else {}
    ours |= {rule.key: rule for claim in leaving for rule in parse_lines(lines_of(claim, username))}
    stored, unseen = await read_policy(context.kubectl)
    standing = {rule.key for rule in (*stored.rules, *read_suspended(stored.text))}
    going = [rule for key, rule in ours.items() if key not in needed and (unseen or key in standing)]
    names = {claim.name for claim in leaving}
    kept = {rule.key for rule in going} | needed
    foreign = [rule for rule in stored.rules if rule.key not in kept and _names_tenant(rule, username, names)]
    return Withdrawal(
        username,
        context.read_apply_command(),
        stored,
        unseen,
        tuple(rule.shown for rule in going),
        tuple(rule.shown for rule in foreign),
    )


def _names_tenant(rule: Rule, username: str, namespaces: set[str]) -> bool:
    """The tenant's name, its role, or one of its namespaces."""
    if {username, role_of(username)} & {rule.subject, rule.role}:
        return True
    return rule.kind == "p" and rule.fields[3].partition("/")[0] in namespaces
