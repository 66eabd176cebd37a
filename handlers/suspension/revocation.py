"""The step revoke_access: the tenant's lines become comments, its account is disabled, and its claims say so first."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from contracts.codes import Failure
from contracts.records import Outcome
from contracts.requests import SuspendRequest
from handlers.bootstrap.access import UNENFORCED
from handlers.commands.running import Command
from handlers.decisions import Decision, Left, Overtaken, Would
from handlers.rbac.apply_command import Change, PolicyWrite
from handlers.rbac.differences import diff, shorten
from handlers.rbac.policy import suspend
from handlers.results import StepFailed, StepResult
from handlers.suspension.databases import check_rights
from handlers.suspension.tenant import Tenant, look_at_tenant
from handlers.suspension.turning import to_turn
from handlers.tenants.access import name_lines
from handlers.tenants.accounts import to_set_enabled, write_enabled
from handlers.tenants.claims import to_write_specs, write_specs
from handlers.tenants.spec import Spec, Suspension, list_changed
from handlers.workflow import Context

# As after a claim was lost: what stands in the policy when a tenant is declared anew counts as written by others.
_NOTHING_TAKEN = (
    "No right was taken from {username}: its claims name no line of the policy as written by this service. Take those "
    "that others gave out of the ConfigMap everest-rbac by hand."
)

SuspendContext = Context[SuspendRequest]


@dataclass(frozen=True, slots=True)
class _Revocation:
    tenant: Tenant
    marks: tuple[Command, ...]
    turning: PolicyWrite
    policy_diff: str


async def decide_revocation(context: SuspendContext) -> Decision:
    """What cannot be done whole is refused before anything is touched: databases that cannot be paused, too."""
    kubectl = context.kubectl
    tenant = await look_at_tenant(context)
    if context.request.pause_databases:
        await check_rights(kubectl, tenant.claims)
    edited = suspend(tenant.stored.text, tenant.text)
    specs = {
        name: _suspend(spec, tenant, context.job.job_id, fills=bool(edited.added))
        for name, spec in tenant.specs.items()
    }
    found = _Revocation(
        tenant,
        to_write_specs(kubectl, tenant.claims, specs),
        to_turn(context, tenant, tenant.active, Change(tenant.text, flag="--suspend")),
        shorten(diff(tenant.stored.text, edited.text)),
    )
    spares = tenant.spares_account
    disable = None if spares else await to_set_enabled(kubectl, tenant.username, enabled=False)
    commands = (*found.marks, *found.turning.shown, *((disable,) if disable else ()))
    return Decision(
        Would.UPDATE if commands else Would.NOTHING,
        partial(_act, context, found),
        commands,
        diff=found.policy_diff,
        warnings=tuple(_warn(tenant)),
        rights=found.turning.rights,
        changed=list_changed(specs.values(), context.job.job_id),
        leaves=Left(Outcome.UPDATED, found.policy_diff) if commands else None,
        try_out=found.turning.try_out,
    )


def _suspend(spec: Spec, tenant: Tenant, job_id: str, *, fills: bool) -> Spec:
    """An earlier attempt may have done it in part: what it wrote down stays."""
    before = spec.suspension or Suspension()
    taken: dict[str, Any] = {"filled": before.filled or fills}
    if tenant.account and tenant.account.is_enabled and not tenant.spares_account:
        taken |= {"account_disabled": True, "account_proof": tenant.account.proof}
    return spec.with_suspended(job_id, suspended=True).with_suspension(before.model_copy(update=taken))


async def _act(context: SuspendContext, found: _Revocation) -> StepResult:
    username = found.tenant.username
    marked = await write_specs(context.kubectl, username, found.marks)
    turned = await found.turning.carry_out()
    spares = found.tenant.spares_account
    disabled = None if spares else await write_enabled(context.kubectl, username, enabled=False)
    after = await look_at_tenant(context)
    if after.active:
        reason = f"The command succeeded, and these lines are in force: {name_lines(after.active)}."
        raise StepFailed(Failure("rbac_command_failed", reason), turned)
    if after.is_open and not spares:
        raise Overtaken(f"Account {username}")
    enforced = found.turning.read_enforced(turned)
    deciding = turned or disabled or marked
    return StepResult(
        Outcome.UPDATED if deciding else Outcome.UNCHANGED,
        deciding,
        tuple(_warn(after)),
        rbac_enforced=enforced,
        policy_diff=found.policy_diff or None,
    )


def _warn(tenant: Tenant) -> Iterator[str]:
    if tenant.unseen:
        yield tenant.unseen
    elif not tenant.stored.is_enforced:
        yield UNENFORCED
    if tenant.is_open and tenant.spares_account:
        yield f"Account {tenant.username} was not made by this service, so it stays enabled."
    if tenant.foreign:
        lines = name_lines(tenant.foreign)
        yield f"What others gave to {tenant.username} stays in force: {lines}."
        if not tenant.rules and not tenant.unseen:
            yield _NOTHING_TAKEN.format(username=tenant.username)
