"""The step revoke_access: the tenant's rights go first, all of them in one write, so that nobody works in what goes."""

from functools import partial

from contracts.codes import Failure
from contracts.records import Outcome
from handlers.commands.running import Command
from handlers.decisions import Decision, Left, Would
from handlers.offboarding.tenancy import OffboardContext, find_tenancy
from handlers.offboarding.withdrawal import Withdrawal, find_withdrawal
from handlers.rbac.differences import diff, shorten
from handlers.rbac.look import read_policy
from handlers.rbac.policy import InvalidPolicy, edit, join_lines, parse_lines, read_suspended
from handlers.results import StepFailed, StepResult
from handlers.tenants.access import name_lines
from handlers.tenants.claims import OFFBOARDING, to_mark, write_all
from handlers.tools.kubectl import Kubectl


async def decide_revocation(context: OffboardContext) -> Decision:
    """The claims are marked first, by compare-and-set: whoever has changed one since it was looked at is seen."""
    tenancy = await find_tenancy(context)
    withdrawal = await find_withdrawal(context, tenancy)
    withdrawal.refuse_unsupported()
    mark = {OFFBOARDING: context.job.job_id}
    marks = tuple(
        to_mark(context.kubectl, claim.name, mark, claim.version)
        for claim in tenancy.leaving
        if not claim.is_terminating and claim.offboarded_by != context.job.job_id
    )
    write = withdrawal.write
    return Decision(
        Would.REMOVE if write.command else Would.UPDATE if marks else Would.NOTHING,
        partial(_act, context, withdrawal, marks),
        (*marks, *write.shown),
        diff=_diff(withdrawal),
        warnings=_warn(withdrawal),
        leaves=Left(Outcome.REMOVED, _diff(withdrawal)) if write.command else None,
        try_out=write.try_out,
    )


async def _act(context: OffboardContext, withdrawal: Withdrawal, marks: tuple[Command, ...]) -> StepResult:
    await write_all(context.kubectl, f"A namespace of {withdrawal.username}", marks)
    completed = await withdrawal.write.carry_out()
    if completed is None:
        return StepResult(Outcome.UNCHANGED, None, _warn(withdrawal))
    left = await _find_left(context.kubectl, withdrawal)
    if left:
        reason = f"The command succeeded, and the policy still holds {name_lines(left)}."
        raise StepFailed(Failure("rbac_command_failed", reason), completed)
    return StepResult(Outcome.REMOVED, completed, _warn(withdrawal), policy_diff=_diff(withdrawal))


async def _find_left(kubectl: Kubectl, withdrawal: Withdrawal) -> list[str]:
    """What was to go and stands there still, as far as it can be seen."""
    stored, _ = await read_policy(kubectl)
    standing = {rule.key for rule in (*stored.rules, *read_suspended(stored.text))}
    return [rule.shown for rule in parse_lines(withdrawal.lines) if rule.key in standing]


def _diff(withdrawal: Withdrawal) -> str:
    try:
        edited = edit(withdrawal.stored.text, "", join_lines(withdrawal.lines))
    except InvalidPolicy:
        return ""  # the command says what is wrong with it
    return shorten(diff(withdrawal.stored.text, edited.text)) if withdrawal.lines else ""


def _warn(withdrawal: Withdrawal) -> tuple[str, ...]:
    warnings = [withdrawal.unseen] if withdrawal.unseen else []
    if withdrawal.foreign:
        lines = name_lines(withdrawal.foreign)
        warnings.append(
            f"Lines of others name {withdrawal.username} or its namespaces and stay in the policy: {lines}."
        )
    return tuple(warnings)
