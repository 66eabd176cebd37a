"""The plan of a job: what its steps decide, one after the other, and nothing done."""

from dataclasses import dataclass, replace
from typing import Literal

from contracts import answers
from contracts.codes import Failure, Nature
from contracts.documents import failure_document
from contracts.records import JobRecord, StepRecord
from handlers.clock import utc_now
from handlers.commands.running import Command, Completed
from handlers.decisions import Decision
from handlers.jobs.plan import Plan, PlannedStep
from handlers.preflight.reviews import find_missing
from handlers.results import RunCommand, StepFailed
from handlers.tools.kubectl import Kubectl


@dataclass(frozen=True, slots=True)
class Foreseen:
    """One step: what it would do, or why it would be refused."""

    name: str
    decision: Decision | None
    refusal: Failure | None = None


async def describe_plan(plan: Plan, record: JobRecord, run: RunCommand, limit_seconds: float) -> answers.Plan:
    """The answer of the query. Raises StepFailed where the cluster cannot be asked."""
    looks = _only_looks(run)
    foreseen = await _check_rights(await _foresee(plan, record, looks), Kubectl(looks, limit_seconds))
    return {
        "would": _conclude(foreseen),
        "inputs": plan.inputs,
        "steps": [_describe(step) for step in foreseen],
        "warnings": list(dict.fromkeys(text for step in foreseen if step.decision for text in step.decision.warnings)),
    }


async def _foresee(plan: Plan, record: JobRecord, run: RunCommand) -> list[Foreseen]:
    """As far as the job would come."""
    foreseen: list[Foreseen] = []
    for step in plan.steps:
        try:
            decision = await (await _decide(step, record, run)).tried()
        except StepFailed as error:
            if error.failure.nature is Nature.INFRASTRUCTURE:
                raise
            return [*foreseen, Foreseen(error.step or step.name, None, error.failure)]
        foreseen.append(Foreseen(step.name, decision))
        done = StepRecord(step.name, utc_now(), utc_now(), outcome=decision.would.foreseen)
        record = replace(record, steps=(*record.steps, done))
    return foreseen


async def _decide(step: PlannedStep, record: JobRecord, run: RunCommand) -> Decision:
    if step.decide is None:
        raise StepFailed(Failure("invalid_request", "There is no plan of a query: it changes nothing."))
    return await step.decide(record, run)


async def _check_rights(foreseen: list[Foreseen], kubectl: Kubectl) -> list[Foreseen]:
    """The same, up to the first step that lacks a right."""
    needed = {right: None for step in foreseen if step.decision for right in step.decision.rights}
    missing = set(await find_missing(kubectl, list(needed))) if needed else set()
    checked: list[Foreseen] = []
    for step in foreseen:
        lacking = [right for right in step.decision.rights if right in missing] if step.decision else []
        if lacking:
            reason = f"This handler may not {', nor '.join(map(str, lacking))}."
            return [*checked, Foreseen(step.name, None, Failure("forbidden", reason))]
        checked.append(step)
    return checked


def _conclude(foreseen: list[Foreseen]) -> Literal["change", "nothing", "fail"]:
    if any(step.refusal for step in foreseen):
        return "fail"
    return "change" if any(step.decision and step.decision.would.changes for step in foreseen) else "nothing"


def _describe(step: Foreseen) -> answers.PlannedStep:
    failure, decision = step.refusal, step.decision
    return {
        "name": step.name,
        "outcome": decision.would.value if decision else f"refused: {failure.code if failure else ''}",
        "commands": [command.shown for command in decision.commands] if decision else [],
        "manifest_preview": decision.manifest if decision else None,
        "diff": (decision.diff if decision else None) or None,
        "error": failure_document(failure),
    }


def _only_looks(run: RunCommand) -> RunCommand:
    """A plan that would change something is a fault of ours, and ends before it does."""

    async def look(command: Command) -> Completed:
        if command.changes:
            raise RuntimeError(f"a plan wanted to run {command.shown}")
        return await run(command)

    return look
