"""What each kind of job does: the plan that binds a request to its steps."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import monotonic

from contracts.codes import Failure
from contracts.kinds import repeat_request
from contracts.names import QUERY_KINDS
from contracts.records import JobRecord, Outcome
from contracts.requests import (
    AnyRequest,
    BootstrapRequest,
    HandoverRequest,
    InvalidRequest,
    OffboardRequest,
    Operators,
    PasswordRequest,
    PlanQuery,
    RepairRequest,
    Request,
    Resources,
    ResumeRequest,
    SuspendRequest,
)
from handlers.bootstrap.steps import STEPS
from handlers.decisions import Decision
from handlers.jobs.plan import NoPlan, Plan, PlannedStep
from handlers.queries.shared_looks import SharedLooks
from handlers.results import Remember, RunCommand, StepFailed, StepResult
from handlers.settings import HandlerSettings
from handlers.tenants.access import FIRST_ROLE
from handlers.tenants.managers import FindCaller
from handlers.tools.kubeconfig import check_kubeconfig
from handlers.tools.versions import ClusterFacts
from handlers.workflow import Context, Step


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every job of this handler finds."""

    settings: HandlerSettings
    facts: ClusterFacts
    find_caller: FindCaller
    looks: SharedLooks = field(default_factory=lambda: SharedLooks(monotonic))


def make_plan(around: Surroundings, record: JobRecord, request: Request) -> Plan:
    """The plan of a job. What its first claim resolved stays, whatever the settings are by now. Raises NoPlan."""
    if record.kind not in PLANS:
        raise NoPlan(record.kind)
    return PLANS[record.kind](around, record, request)


def _plan_bootstrap(around: Surroundings, record: JobRecord, request: Request) -> Plan:
    assert isinstance(request, BootstrapRequest), "the kind's row has no other"
    effective = _resolve(around.settings, record, request)
    steps = tuple(_plan_step(around, step, effective) for step in STEPS)
    return Plan(effective.model_dump(), steps, lambda ended: summarize_bootstrap(ended, effective))


def _resolve(settings: HandlerSettings, record: JobRecord, request: BootstrapRequest) -> BootstrapRequest:
    if record.inputs is None:
        operators, resources = settings.default_operators, settings.default_resources
        role = settings.everest_default_role
    else:
        operators = Operators(**record.inputs["operators"]).wanted
        resources = Resources(**record.inputs["resources"])
        # A job that version 0.1.0 has claimed wants what every job wanted then.
        role = record.inputs.get("role") or FIRST_ROLE
    return request.with_operators(operators).with_resources(resources).with_role(role)


def _plan_step(around: Surroundings, step: Step[AnyRequest], request: AnyRequest) -> PlannedStep:
    def give(record: JobRecord, run: RunCommand, remember: Remember | None) -> Context[AnyRequest]:
        if failure := check_kubeconfig(around.settings.kubeconfig):
            raise StepFailed(failure)
        return Context(record, request, run, around.settings, around.facts, around.find_caller, remember)

    async def ensure(record: JobRecord, run: RunCommand, remember: Remember) -> StepResult:
        return await step.ensure(give(record, run, remember))

    async def decide(record: JobRecord, run: RunCommand) -> Decision:
        return await step.decide(give(record, run, None))

    return PlannedStep(step.name, ensure, decide)


def _plan_query(around: Surroundings, record: JobRecord, request: Request) -> Plan:
    from handlers.queries.lists import QUERIES, QueryContext  # what no bootstrap needs would make each start longer

    kind = record.kind

    async def ensure(record: JobRecord, run: RunCommand, _: Remember) -> StepResult:
        if failure := check_kubeconfig(around.settings.kubeconfig):
            raise StepFailed(failure)
        answer = await QUERIES[kind](QueryContext(request, run, around.settings))
        return StepResult(Outcome.UNCHANGED, answer.deciding, answer.warnings, data=answer.data)

    return Plan(request.model_dump(exclude_none=True), (PlannedStep(kind, ensure),), lambda _: f"Answered {kind}.")


def _plan_foresight(around: Surroundings, record: JobRecord, request: Request) -> Plan:
    """The query that asks for the plan of a job: its steps decide, and none of them acts."""
    assert isinstance(request, PlanQuery), "the kind's row has no other"

    async def ensure(record: JobRecord, run: RunCommand, _: Remember) -> StepResult:
        from handlers.queries.planning import describe_plan

        imagined = replace(record, kind=request.kind, inputs=None, steps=())
        try:
            plan = make_plan(around, imagined, repeat_request(request.kind, request.request))
        except NoPlan:
            reason = f"This handler cannot do jobs of the kind {request.kind}."
            raise StepFailed(Failure("kind_unsupported", reason)) from None
        except InvalidRequest as error:
            raise StepFailed(Failure("invalid_request", str(error))) from None
        looks = around.looks.of(request.batch, run) if request.batch else run
        answer = await describe_plan(plan, imagined, looks, around.settings.subprocess_timeout)
        return StepResult(Outcome.UNCHANGED, data=answer)

    return Plan(request.model_dump(), (PlannedStep(record.kind, ensure),), lambda _: f"Planned {request.kind}.")


Planner = Callable[[Surroundings, JobRecord, Request], Plan]
Workflow = tuple[tuple[Step[AnyRequest], ...], Callable[[JobRecord, AnyRequest], str]]


def _of(model: type[AnyRequest], load: Callable[[], Workflow[AnyRequest]]) -> Planner:
    """Plans a kind whose request needs nothing of the handler's settings.

    Its steps and its summary are loaded with its first job: what no bootstrap needs would make each start longer.
    """

    def plan(around: Surroundings, record: JobRecord, request: Request) -> Plan:
        assert isinstance(request, model), "the kind's row has no other"
        steps, summarize = load()
        planned = tuple(_plan_step(around, step, request) for step in steps)
        return Plan(request.model_dump(exclude_none=True), planned, lambda ended: summarize(ended, request))

    return plan


def _load_offboard() -> Workflow[OffboardRequest]:
    from handlers.offboarding.steps import STEPS, summarize

    return STEPS, summarize


def _load_password() -> Workflow[PasswordRequest]:
    from handlers.password.steps import STEPS, summarize

    return STEPS, summarize


def _load_suspend() -> Workflow[SuspendRequest]:
    from handlers.suspension.steps import SUSPEND, summarize_suspension

    return SUSPEND, summarize_suspension


def _load_resume() -> Workflow[ResumeRequest]:
    from handlers.suspension.steps import RESUME, summarize_resumption

    return RESUME, summarize_resumption


def _load_handover() -> Workflow[HandoverRequest]:
    from handlers.handover.steps import STEPS, summarize

    return STEPS, summarize


def _load_repair() -> Workflow[RepairRequest]:
    from handlers.bootstrap.repair import summarize, to_repair

    return tuple(map(to_repair, STEPS)), summarize


# One for each row of `contracts.kinds`; jobs of a kind that has none are refused.
PLANS: dict[str, Planner] = {
    "bootstrap": _plan_bootstrap,
    "offboard": _of(OffboardRequest, _load_offboard),
    "password": _of(PasswordRequest, _load_password),
    "suspend": _of(SuspendRequest, _load_suspend),
    "resume": _of(ResumeRequest, _load_resume),
    "handover": _of(HandoverRequest, _load_handover),
    "repair": _of(RepairRequest, _load_repair),
    **dict.fromkeys(QUERY_KINDS, _plan_query),
    "plan": _plan_foresight,
}


def summarize_bootstrap(record: JobRecord, request: BootstrapRequest) -> str:
    """One line: `User alice and namespace alice created; quota applied; role bound.`"""
    account, namespace, access = (
        _outcome(record, name) for name in ("create_account", "add_namespace", "apply_rbac_policy")
    )
    if account == Outcome.SKIPPED:
        made = f"Namespace {request.namespace} {namespace}"
    elif account == namespace:
        made = f"User {request.username} and namespace {request.namespace} {account}"
    else:
        made = f"User {request.username} {account}; namespace {request.namespace} {namespace}"
    bound = "role bound" if access is Outcome.APPLIED else "no role bound (EVEREST_RBAC_APPLY_CMD is not set)"
    return f"{made}; quota applied; {bound}."


def _outcome(record: JobRecord, name: str) -> str | None:
    step = record.step(name)
    return step.outcome if step else None
