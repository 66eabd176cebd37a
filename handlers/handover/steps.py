"""The step hand_over: every claim of the tenant names the caller who manages it."""

from dataclasses import replace
from functools import partial

from contracts.records import JobRecord, Outcome
from contracts.requests import HandoverRequest
from handlers.commands.running import Command
from handlers.decisions import Decision, Would, to_change
from handlers.preflight.rights import claim_rights
from handlers.results import StepResult
from handlers.tenants.claims import to_write_specs, write_specs
from handlers.tenants.existing import find_specs, find_tenant
from handlers.tenants.spec import list_changed
from handlers.workflow import Context, Step


async def decide_handover(context: Context[HandoverRequest]) -> Decision:
    kubectl = context.kubectl
    claims, job_id = await find_tenant(context), context.job.job_id
    specs = await find_specs(context, claims)
    changed = {
        name: spec.with_wanted(spec.wanted.model_copy(update={"managed_by": context.request.caller}), job_id)
        for name, spec in specs.items()
    }
    marks = to_write_specs(kubectl, claims, changed)
    return replace(
        to_change(Would.UPDATE, partial(_act, context, marks), marks),
        rights=claim_rights("patch") if marks else (),
        changed=list_changed(changed.values(), job_id),
    )


async def _act(context: Context[HandoverRequest], marks: tuple[Command, ...]) -> StepResult:
    completed = await write_specs(context.kubectl, context.request.username, marks)
    return StepResult(Outcome.UPDATED if completed else Outcome.UNCHANGED, completed)


STEPS: tuple[Step[HandoverRequest], ...] = (Step("hand_over", decide_handover),)


def summarize(record: JobRecord, request: HandoverRequest) -> str:
    return f"Tenant {request.username} is managed by {request.caller}."
