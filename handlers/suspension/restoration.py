"""The step restore_access: the tenant gets back what revoke_access took, and its claims say so last."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from contracts.codes import Failure
from contracts.records import Outcome
from contracts.requests import ResumeRequest
from handlers.commands.running import Command
from handlers.decisions import Decision, Left, Would
from handlers.rbac.apply_command import Change, PolicyWrite
from handlers.rbac.differences import diff, shorten
from handlers.rbac.policy import resume
from handlers.results import StepFailed, StepResult
from handlers.suspension.databases import check_rights
from handlers.suspension.tenant import Tenant, look_at_tenant
from handlers.suspension.turning import to_turn
from handlers.tenants.access import name_lines
from handlers.tenants.accounts import ENABLE, to_set_enabled, write_enabled
from handlers.tenants.claims import to_write_specs, write_specs
from handlers.tenants.existing import find_own_account
from handlers.tenants.spec import Spec, Suspension, list_changed
from handlers.workflow import Context

_REPLACED = (
    "Account {username} was made anew or given another password by somebody else while the tenant was suspended, so it "
    "stays disabled."
)

ResumeContext = Context[ResumeRequest]


@dataclass(frozen=True, slots=True)
class _Restoration:
    """`enables`: the account was disabled by the suspension. `proof`: of it; None where it is there no more."""

    tenant: Tenant
    turning: PolicyWrite
    policy_diff: str
    enables: bool
    proof: str | None
    marks: tuple[Command, ...]


async def decide_restoration(context: ResumeContext) -> Decision:
    """A tenant that is not suspended keeps what it has."""
    kubectl = context.kubectl
    tenant = await look_at_tenant(context)
    taken = [spec.suspension for spec in tenant.specs.values() if spec.suspension]
    if any(suspension.paused for suspension in taken):
        await check_rights(kubectl, tenant.claims)
    change = Change(tenant.text, tenant.filler if any(one.filled for one in taken) else "", "--resume")
    edited = resume(tenant.stored.text, change.lines, change.withdrawn)
    specs = {name: _resume(spec, context.job.job_id) for name, spec in tenant.specs.items()}
    found = _Restoration(
        tenant,
        to_turn(context, tenant, (*edited.added, *edited.removed), change),
        shorten(diff(tenant.stored.text, edited.text)),
        any(one.account_disabled for one in taken),
        await _prove_disabled(context, tenant, taken),
        to_write_specs(kubectl, tenant.claims, specs),
    )
    enable = await to_set_enabled(kubectl, tenant.username, enabled=True, proof=found.proof) if found.proof else None
    commands = (*found.turning.shown, *((enable,) if enable else ()), *found.marks)
    return Decision(
        Would.UPDATE if commands else Would.NOTHING,
        partial(_act, context, found),
        commands,
        diff=found.policy_diff,
        warnings=tuple(_warn(found)),
        rights=found.turning.rights,
        changed=list_changed(specs.values(), context.job.job_id),
        leaves=Left(Outcome.UPDATED, found.policy_diff) if commands else None,
        try_out=found.turning.try_out,
    )


async def _prove_disabled(context: ResumeContext, tenant: Tenant, taken: list[Suspension]) -> str | None:
    """Of the account that the suspension disabled; None where it took none, or where another is in its place.

    Raises StepFailed.
    """
    proofs = {one.account_proof for one in taken if one.account_disabled}
    if tenant.account is None or not proofs:
        return None
    if proofs & {None, tenant.account.proof}:
        return tenant.account.proof
    # A password that this service gave it is not in the claims before that job's end.
    return await find_own_account(context, tenant.claims)


def _resume(spec: Spec, job_id: str) -> Spec:
    """The paused databases are started by the next step."""
    paused = spec.suspension.paused if spec.suspension else {}
    return spec.with_suspended(job_id, suspended=False).with_suspension(Suspension(paused=paused))


async def _act(context: ResumeContext, found: _Restoration) -> StepResult:
    username = found.tenant.username
    turned = await found.turning.carry_out()
    kubectl, proof = context.kubectl, found.proof
    enabled = await write_enabled(kubectl, username, enabled=True, proof=proof) if proof else None
    after = await look_at_tenant(context)
    if after.suspended:
        reason = f"The command succeeded, and these lines are comments still: {name_lines(after.suspended)}."
        raise StepFailed(Failure("rbac_command_failed", reason), turned)
    marked = await write_specs(context.kubectl, username, found.marks)
    deciding = turned or enabled or marked
    return StepResult(
        Outcome.UPDATED if deciding else Outcome.UNCHANGED,
        deciding,
        tuple(_warn(found)),
        rbac_enforced=found.turning.read_enforced(turned),
        policy_diff=found.policy_diff or None,
    )


def _warn(found: _Restoration) -> Iterator[str]:
    tenant = found.tenant
    if tenant.unseen:
        yield tenant.unseen
    there = {*tenant.active, *tenant.suspended}
    missing = tuple(rule.shown for rule in tenant.rules if rule.shown not in there)
    if missing and not tenant.unseen:
        yield f"The policy holds these lines no more, not even as comments: {name_lines(missing)}."
    if found.enables and tenant.account is None:
        yield f"Account {tenant.username} is not there any more."
    elif found.enables and found.proof is None and not tenant.is_open:
        yield f"{_REPLACED} {ENABLE}".format(username=tenant.username)
