"""The step restore_access: the tenant gets back what revoke_access took, and its claims say so last."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from contracts.codes import Failure
from contracts.records import Outcome
from contracts.requests import ResumeRequest
from handlers.commands.running import Command
from handlers.decisions import Decision, Would
from handlers.rbac.apply_command import Change
from handlers.rbac.differences import diff, shorten
from handlers.rbac.policy import resume
from handlers.results import StepFailed, StepResult
from handlers.suspension.databases import check_rights
from handlers.suspension.tenant import Tenant, look_at_tenant
from handlers.suspension.turning import Turning, choose_command
from handlers.tenants.access import name_lines
from handlers.tenants.accounts import to_set_enabled, write_enabled
from handlers.tenants.claims import to_write_specs, write_specs
from handlers.tenants.spec import Spec, Suspension, list_changed
from handlers.workflow import Context

ResumeContext = Context[ResumeRequest]


@dataclass(frozen=True, slots=True)
class _Restoration:
    """`enables`: the account was disabled by the suspension."""

    tenant: Tenant
    turning: Turning
    policy_diff: str
    enables: bool
    marks: tuple[Command, ...]


async def decide_restoration(context: ResumeContext) -> Decision:
    """A tenant that is not suspended keeps what it has."""
    limit_seconds = context.settings.subprocess_timeout
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
        Turning(choose_command(context, tenant, (*edited.added, *edited.removed)), change),
        shorten(diff(tenant.stored.text, edited.text)),
        any(one.account_disabled for one in taken),
        to_write_specs(kubectl, tenant.claims, specs),
    )
    enable = await to_set_enabled(kubectl, tenant.username, enabled=True) if found.enables else None
    commands = (
        *found.turning.show(limit_seconds),
        *((enable,) if enable else ()),
        *found.marks,
    )
    return Decision(
        Would.UPDATE if commands else Would.NOTHING,
        partial(_act, context, found),
        commands,
        diff=found.policy_diff,
        warnings=tuple(_warn(found)),
        rights=found.turning.rights,
        changed=list_changed(specs.values(), context.job.job_id),
        try_out=partial(found.turning.try_out, context),
    )


def _resume(spec: Spec, job_id: str) -> Spec:
    """The paused databases are started by the next step."""
    paused = spec.suspension.paused if spec.suspension else {}
    return spec.with_suspended(job_id, suspended=False).with_suspension(Suspension(paused=paused))


async def _act(context: ResumeContext, found: _Restoration) -> StepResult:
    username = found.tenant.username
    turned = await found.turning.carry_out(context)
    enabled = await write_enabled(context.kubectl, username, enabled=True) if found.enables else None
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
    if found.enables and tenant.enabled is None:
        yield f"Account {tenant.username} is not there any more."
