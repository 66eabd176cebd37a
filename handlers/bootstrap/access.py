"""The step apply_rbac_policy: the tenant's rights are in the policy, and every line of somebody else stays in it.

The claim holds the lines before they are written and until they are gone, so that a kill anywhere forgets none.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple, Self

from contracts.codes import Failure
from contracts.records import Outcome
from handlers.bootstrap.declaration import draft_spec, read_wanted_access
from handlers.bootstrap.refusals import read_permissions
from handlers.commands.running import Command
from handlers.decisions import Decision, Left, Would, settle
from handlers.preflight.rights import policy_rights
from handlers.rbac.apply_command import ApplyCommand, Change
from handlers.rbac.differences import diff, shorten
from handlers.rbac.enforcer import find_malformed
from handlers.rbac.look import read_policy
from handlers.rbac.policy import InvalidPolicy, Rule, edit, join_lines
from handlers.rbac.stored_policy import StoredPolicy
from handlers.results import StepFailed, StepResult
from handlers.tenants.access import AccessDecision, Lines, decide_access, find_reaching, name_lines
from handlers.tenants.claims import SPEC, Claims, find_claims, render, to_mark, write_spec
from handlers.tools.kubectl import Changed, at_once
from handlers.workflow import StepContext

_MOST_WRITES = 5
_MOST_WARNINGS = 5
UNSET = "EVEREST_RBAC_APPLY_CMD is not set: no role was bound. everest-rbac-import is the recommended command."
UNENFORCED = 'Everest enforces no RBAC (`enabled` of everest-rbac is not "true"): everybody may do everything.'


class _Look(NamedTuple):
    """What the policy holds and what is to become of it. `unseen`: why the policy could not be looked at.

    `reaching`: rights of others in a namespace that this job has made. `adopts` the role: what others gave it stays.
    """

    claims: Claims
    stored: StoredPolicy
    unseen: str
    decision: AccessDecision
    reaching: tuple[Rule, ...]
    adopts: bool
    policy_diff: str


class _Import(NamedTuple):
    """The command with what it is given, and what the claim is to say before and after it."""

    command: ApplyCommand
    change: Change
    recorded: Lines
    kept: Lines
    why_left: str  # lines that are not wanted any more and stay; empty where none has to

    @classmethod
    def of(cls, command: ApplyCommand, decision: AccessDecision) -> Self:
        left = () if command.can_withdraw else decision.withdrawn
        return cls(
            command,
            Change(join_lines(decision.wanted.lines), "" if left else join_lines(decision.withdrawn)),
            decision.recorded,
            (*decision.kept, *left),
            "the command of EVEREST_RBAC_APPLY_CMD has no {withdraw}" if left else "",
        )


async def decide_policy(context: StepContext) -> Decision:
    look = await _look(context)
    command = context.read_apply_command()
    if command is None:
        warnings = (UNSET, *_warn(look, "EVEREST_RBAC_APPLY_CMD is not set"))
        return settle(StepResult(Outcome.SKIPPED, None, warnings, rbac_applied=False))
    importing = _Import.of(command, look.decision)
    before, after = await _foresee_records(context, look.claims, importing)
    is_known = command.is_import and not look.unseen
    changes = bool(before or after or look.policy_diff)
    return Decision(
        Would.UPDATE if changes else Would.NOTHING if is_known else Would.APPLY,
        partial(_act, context, look, importing),
        (*before, command.show(importing.change), *after),
        diff=look.policy_diff,
        warnings=tuple(_warn(look, importing.why_left)),
        rights=policy_rights() if command.is_import else (),
        leaves=Left(Outcome.APPLIED, look.policy_diff) if look.policy_diff else None,
        try_out=partial(_try_out, importing) if command.is_import else None,
    )


async def _try_out(importing: _Import, decision: Decision) -> Decision:
    completed = await importing.command.try_out(importing.change)
    if importing.command.read_enforced(completed) is False:
        return replace(decision, warnings=(UNENFORCED, *decision.warnings))
    return decision


async def _act(context: StepContext, look: _Look, importing: _Import) -> StepResult:
    await _record(context, importing.recorded, look.claims)
    completed = await importing.command.run(importing.change)
    if importing.kept != importing.recorded:
        await _record(context, importing.kept)
    enforced = importing.command.read_enforced(completed)
    warnings = (*((UNENFORCED,) if enforced is False else ()), *_warn(look, importing.why_left))
    return StepResult(
        Outcome.APPLIED,
        completed,
        warnings,
        rbac_applied=True,
        rbac_enforced=enforced,
        policy_diff=look.policy_diff,
    )


async def _look(context: StepContext) -> _Look:
    """Raises StepFailed."""
    request = context.request
    async with at_once() as looks:
        claims_look = looks.create_task(find_claims(context.kubectl, request.username, request.namespace))
        policy_look = looks.create_task(read_policy(context.kubectl))
    claims, (stored, unseen) = claims_look.result(), policy_look.result()
    if claims.own is None and not context.foresees:
        reason = f"Namespace {request.namespace} lost its claim meanwhile."
        raise StepFailed(Failure("conflict", reason, "Somebody deleted or changed it: submit the request again."))
    wanted = await read_wanted_access(context)
    decision = decide_access(claims, wanted, stored, **read_permissions(context))
    made = context.job.step("add_namespace")
    is_new = made is not None and made.outcome == Outcome.CREATED
    reaching = find_reaching(wanted, request.namespace, stored) if is_new else ()
    changes = _find_changes(stored, decision)
    return _Look(claims, stored, unseen, decision, reaching, request.take_ownership, changes)


def _find_changes(stored: StoredPolicy, decision: AccessDecision) -> str:
    """As a diff."""
    try:
        merged = edit(stored.text, join_lines(decision.wanted.lines), join_lines(decision.withdrawn))
    except InvalidPolicy:
        return ""  # the command says what is wrong with it
    return shorten(diff(stored.text, merged.text))


async def _foresee_records(context: StepContext, claims: Claims, importing: _Import) -> Iterator[tuple[Command, ...]]:
    """What writes into the claim before the import, and what after it. Raises StepFailed."""
    drafted = await draft_spec(context, claims)
    recorded = drafted.with_applied(importing.recorded)
    specs = (drafted, recorded, recorded.with_applied(importing.kept))
    name, version = context.request.namespace, claims.own.version if claims.own else None
    return (
        (to_mark(context.kubectl, name, {SPEC: render(spec)}, version),) if spec != earlier else ()
        for earlier, spec in pairwise(specs)
    )


async def _record(context: StepContext, lines: Lines, claims: Claims | None = None) -> None:
    """Writes into the claim which policy lines are this service's. Raises StepFailed."""
    request = context.request
    for _ in range(_MOST_WRITES):
        claims = claims or await find_claims(context.kubectl, request.username, request.namespace)
        if claims.own is None:
            break
        spec = (await draft_spec(context, claims)).with_applied(lines)
        try:
            return await write_spec(context.kubectl, claims.own, spec)
        except Changed:
            claims = None
    raise StepFailed(Failure("conflict", f"The claim of namespace {request.namespace} changed each time."))


def _warn(look: _Look, why_left: str) -> Iterator[str]:
    decision = look.decision
    if look.unseen:
        yield look.unseen
    if decision.foreign and look.adopts:
        members = ", ".join(decision.members) or "nobody else"
        lines = name_lines(rule.shown for rule in decision.foreign)
        yield f"{decision.wanted.role} is somebody's and was adopted. Its members: {members}; its lines: {lines}."
    if decision.beyond:
        lines = name_lines(rule.shown for rule in decision.beyond)
        yield f"{decision.wanted.username} may do more than was asked for: others gave that name {lines}."
    if look.reaching:
        lines = name_lines(rule.shown for rule in look.reaching)
        yield f"Others may work in the new namespace too, because lines of theirs name it: {lines}."
    if decision.withdrawn and why_left:
        lines = name_lines(decision.withdrawn)
        yield f"These lines are not wanted any more and stay, because {why_left}: {lines}."
    if decision.wanted.left_out:
        lines = name_lines(rule.shown for rule in decision.wanted.left_out)
        yield f"Left out, because this version of Everest does not know what these are rights to: {lines}."
    for rule in find_malformed(look.stored.rules)[:_MOST_WARNINGS]:
        yield (
            f"Line {rule.line} of the policy has a pattern that Everest cannot match: it answers the questions of its "
            f"members with errors: `{rule.shown}`."
        )
