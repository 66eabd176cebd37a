"""What callers read: the documents of a job, made from its record, the same over REST and NATS.

Each function gives the model beside it, and JSON Schemas are made of these models (`contracts.schemas`): a document and
its description cannot differ.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypeAliasType, TypedDict

from contracts import codes, records
from contracts.batches import read_place
from contracts.codes import CODES
from contracts.kinds import KINDS, resolve
from contracts.names import JOB_ID_PATTERN, is_query
from contracts.notices import is_notice
from contracts.records import CommandRecord, JobRecord, Outcome, Status, StepRecord

_RBAC_STEP = "apply_rbac_policy"

Moment = Annotated[
    str,
    Field(
        description="RFC 3339, in UTC.",
        examples=["2026-01-31T12:00:00.000Z"],
        json_schema_extra={"format": "date-time"},
    ),
]
# Named, so that a schema has each once, and a generated client one type for it.
JobId = TypeAliasType(
    "JobId", Annotated[str, Field(pattern=JOB_ID_PATTERN, description="One token, or two: `<caller>.<id>`.")]
)
Kind = TypeAliasType("Kind", Annotated[str, Field(json_schema_extra={"enum": list(KINDS)})])
JobStatus = TypeAliasType(
    "JobStatus",
    Annotated[str, Field(json_schema_extra={"enum": list(Status)}, description="Poll until succeeded or failed.")],
)
# Open: a client must live with what a later version adds.
StepOutcome = TypeAliasType(
    "StepOutcome", Annotated[str, Field(examples=list(Outcome), description="Later versions may know more.")]
)
ErrorCode = TypeAliasType(
    "ErrorCode",
    Annotated[
        str, Field(examples=list(CODES), description="Stable; listed at /docs/errors. Later versions may know more.")
    ],
)


Caller = Annotated[str, Field(description="Who asked: a key's name, or the publisher that the server proves.")]
Correlation = Annotated[str, Field(description="The caller's own mark, as the request gave it.")]


Changed = Annotated[
    list[str],
    Field(
        description=(
            "Members of what is wanted of the tenant that are another than before, as its claims have them; all, of a "
            "namespace that is new here. Absent: none, or a record of before 0.2.0."
        ),
        examples=[["resources.cpu_cores", "role"], ["suspended"], ["managed_by"], ["password"]],
    ),
]


class Failure(TypedDict):
    """What went wrong, and what to do about it."""

    code: ErrorCode
    message: str
    hint: str
    retryable: bool


class Command(TypedDict):
    """One command that a step ran, look-ups included. Secrets show as `********`."""

    command: str
    exit_code: int | None


class Awaited(TypedDict):
    """What an installation waits for: the `installer`'s Job, and each `operator` that is wanted."""

    what: Annotated[str, Field(examples=["installer", "operator"])]
    name: str
    state: Annotated[
        str,
        Field(
            examples=["absent", "running", "succeeded", "subscribed", "Installing", "Succeeded"],
            description="Of an operator: `absent`, `subscribed`, then the phase of its ClusterServiceVersion.",
        ),
    ]


class Progress(TypedDict):
    """What a running step is at. `lines` are the last of its command, at most 2 KB, where it changes the cluster."""

    command: str
    since: Moment
    lines: str
    waiting_for: list[Awaited]


class StepState(TypedDict):
    """How far a step is. `outcome` is null until it has one."""

    name: str
    state: Annotated[
        str, Field(json_schema_extra={"enum": ["pending", "running", "finished"]}, description="`outcome` says how.")
    ]
    outcome: StepOutcome | None
    started_at: Moment | None
    finished_at: Moment | None
    error: Failure | None
    progress: NotRequired[Progress]


class Step(TypedDict):
    """A step and what its commands said; `command` to `stderr` are those of its deciding command."""

    name: str
    command: str | None
    exit_code: int | None
    stdout: str
    stderr: str
    outcome: StepOutcome | None
    started_at: Moment
    finished_at: Moment | None
    commands: list[Command]
    manifest_preview: NotRequired[str]
    rbac_applied: NotRequired[bool]
    rbac_enforced: NotRequired[bool]
    policy_diff: NotRequired[str]
    usable: NotRequired[bool]
    found: NotRequired[
        Annotated[
            dict[str, Any],
            Field(description="What the step saw, for those after it, or is about to leave, for its next attempt."),
        ]
    ]
    changed: NotRequired[Changed]
    error: NotRequired[Failure]


class PastStep(TypedDict):
    name: str
    outcome: str


class PastRun(TypedDict):
    """A run that failed and was reopened by a person."""

    attempt: int
    finished_at: Moment | None
    reason: ErrorCode | None
    error: Failure | None
    losses: int
    steps: list[PastStep]


class Job(TypedDict):
    """The document of a job: `GET /jobs/{job_id}`, and the answer of the status request over NATS."""

    job_id: JobId
    kind: Kind
    status: JobStatus
    caller: Caller
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    changed_at: Moment
    summary: str
    attempt: Annotated[int, Field(description="Real attempts so far.")]
    losses: Annotated[int, Field(description="Handlers that died or were cut off while they ran it.")]
    reason: Annotated[ErrorCode | None, Field(description="Why it failed, or why it waits.")]
    retry_at: Annotated[Moment | None, Field(description="When the next try begins, while it waits for one.")]
    error: Failure | None
    steps: Annotated[
        list[StepState], Field(description="All from the start; of a job that has ended those that were begun.")
    ]
    warnings: list[str]
    notices: Annotated[list[str], Field(description="Those of the warnings that hold for every job of the deployment.")]
    username: str | None
    namespace: str | None
    request_id: str | None
    status_url: str
    result_url: str
    traceparent: NotRequired[
        Annotated[str, Field(description="The W3C trace context of the submit, where it had one.")]
    ]
    correlation: NotRequired[Correlation]
    batch_id: NotRequired[Annotated[str, Field(description="The batch that it was submitted with.")]]
    history: NotRequired[list[PastRun]]
    simulated: NotRequired[Annotated[Literal[True], Field(description="No real Everest was touched.")]]


class CredentialsSecret(TypedDict):
    """The Kubernetes Secret that holds the created account's password."""

    namespace: str
    name: str
    read_with: str


class Result(TypedDict):
    """The document of `GET /jobs/{job_id}/result`, of succeeded and failed jobs alike."""

    job_id: JobId
    inputs: Annotated[dict[str, Any], Field(description="The request with every default filled in.")]
    steps: list[Step]
    warnings: list[str]
    overall_status: Annotated[str, Field(json_schema_extra={"enum": ["succeeded", "failed"]})]
    summary: str
    reason: ErrorCode | None
    error: Failure | None
    attempt: int
    started_at: Moment | None
    finished_at: Moment | None
    credentials_secret: NotRequired[CredentialsSecret]
    rbac_applied: NotRequired[bool]
    usable: NotRequired[
        Annotated[
            bool | None,
            Field(description="Whether the tenant was seen to be able to create a database. Null: nothing to prove."),
        ]
    ]
    data: NotRequired[Any]
    correlation: NotRequired[Correlation]
    history: NotRequired[list[PastRun]]
    simulated: NotRequired[Literal[True]]


class StepProgress(Progress):
    """What a step of a job is at: told at most every two seconds while its command says something new."""

    job_id: JobId
    step: str


class Event(TypedDict):
    """One transition of a job. `revision` orders the events of a job; who missed one reads the job."""

    job_id: JobId
    kind: Kind
    revision: int
    status: JobStatus
    attempt: int
    step: str | None
    outcome: StepOutcome | None
    reason: ErrorCode | None
    retry_at: Moment | None
    summary: str
    changed_at: Moment
    caller: NotRequired[Caller]  # absent in what earlier versions told
    correlation: NotRequired[Correlation]


def resolved_request(record: JobRecord) -> dict[str, Any]:
    """What the job is asked to do, every default filled in: by its first claim, until then by this version."""
    return record.inputs or resolve(record.kind, record.request)


def job_document(record: JobRecord, prefix: str = "") -> Job:
    """The document of `GET /jobs/{id}` and of the status request over NATS. Links begin with the prefix."""
    asked = resolved_request(record)
    document: Job = {
        "job_id": record.job_id,
        "kind": record.kind,
        "status": record.status.value,
        "caller": record.caller,
        "created_at": record.created_at,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "changed_at": record.changed_at,
        "summary": summarize(record),
        "attempt": record.attempt,
        "losses": record.losses,
        "reason": record.reason,
        "retry_at": record.retry_at,
        "error": failure_document(record.error),
        "steps": _step_states(record),
        "warnings": list(record.warnings),
        "notices": list(filter(is_notice, record.warnings)),
        "username": asked.get("username"),
        "namespace": asked.get("namespace"),
        "request_id": record.request_id,
        "status_url": f"{prefix}/jobs/{record.job_id}",
        "result_url": f"{prefix}/jobs/{record.job_id}/result",
    }
    if record.traceparent:
        document["traceparent"] = record.traceparent
    if record.batch and (place := read_place(record.batch)):
        document["batch_id"] = place.batch_id
    return {**document, **_shared(record)}


def result_document(record: JobRecord) -> Result:
    """The document of `GET /jobs/{id}/result`, for a finished job."""
    document: Result = {
        "job_id": record.job_id,
        "inputs": resolved_request(record),
        "steps": [_step(step) for step in record.steps],
        "warnings": list(record.warnings),
        "overall_status": record.status.value,
        "summary": summarize(record),
        "reason": record.reason,
        "error": failure_document(record.error),
        "attempt": record.attempt,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
    }
    if secret := record.credentials_secret:
        document["credentials_secret"] = {
            "namespace": secret.namespace,
            "name": secret.name,
            "read_with": secret.read_command,
        }
    rbac = record.step(_RBAC_STEP)
    if rbac and (applied := _is_applied(rbac)) is not None:
        document["rbac_applied"] = applied
    proof = record.step("verify_tenant")
    if proof and proof.is_finished:
        document["usable"] = proof.usable
    if is_query(record.kind):
        document["data"] = record.data
    return {**document, **_shared(record)}


class _Shared(TypedDict, total=False):
    correlation: str
    history: list[PastRun]
    simulated: Literal[True]


def _shared(record: JobRecord) -> _Shared:
    """What job and result hold alike, where there is any of it."""
    shared: _Shared = {}
    if mark := _correlation(record):
        shared["correlation"] = mark
    if record.history:
        shared["history"] = [_past_run(run) for run in record.history]
    if record.simulated:
        shared["simulated"] = True
    return shared


def _step(step: StepRecord) -> Step:
    """A step with what its commands said."""
    document: Step = {
        "name": step.name,
        "command": step.command,
        "exit_code": step.exit_code,
        "stdout": step.stdout,
        "stderr": step.stderr,
        "outcome": step.outcome,
        "started_at": step.started_at,
        "finished_at": step.finished_at,
        "commands": command_documents(step.commands),
    }
    if (applied := _is_applied(step)) is not None:
        document["rbac_applied"] = applied
    for name in ("manifest_preview", "rbac_enforced", "policy_diff", "usable", "found"):
        value = getattr(step, name)
        if value is not None:
            document[name] = value
    if step.changed:
        document["changed"] = list(step.changed)
    if error := failure_document(step.error):
        document["error"] = error
    return document


def command_documents(commands: Iterable[CommandRecord]) -> list[Command]:
    return [{"command": ran.command, "exit_code": ran.exit_code} for ran in commands]


def _is_applied(step: StepRecord) -> bool | None:
    """Whether the role is bound; None for other steps, and while it is not known."""
    if step.name == _RBAC_STEP and step.outcome is Outcome.FAILED:
        return False
    return step.rbac_applied


def event_document(record: JobRecord, revision: int) -> Event:
    """The small message that tells of one transition; `revision` orders the events of a job."""
    step = record.steps[-1] if record.steps else None
    document: Event = {
        "job_id": record.job_id,
        "kind": record.kind,
        "revision": revision,
        "status": record.status.value,
        "attempt": record.attempt,
        "step": step.name if step else None,
        "outcome": step.outcome if step else None,
        "reason": record.reason,
        "retry_at": record.retry_at,
        "summary": summarize(record),
        "changed_at": record.changed_at,
        "caller": record.caller,
    }
    if mark := _correlation(record):
        document["correlation"] = mark
    return document


def progress_document(job_id: str, step: str, progress: records.Progress) -> StepProgress:
    """The small message that tells what a step is at; who misses one misses nothing."""
    return {"job_id": job_id, "step": step, **_progress(progress)}


def _correlation(record: JobRecord) -> str | None:
    return (record.request or record.inputs or {}).get("correlation")


def failure_document(failure: codes.Failure | None) -> Failure | None:
    """What went wrong, where something did."""
    if failure is None:
        return None
    return {
        "code": failure.code,
        "message": failure.message,
        "hint": failure.hint,
        "retryable": failure.retryable,
    }


def summarize(record: JobRecord) -> str:
    """One line for a person: the record's own, where it holds one."""
    if record.summary:
        return record.summary
    if record.status is Status.QUEUED:
        waits = CODES[record.reason].title if record.reason in CODES else "waits for a handler"
        return f"Queued: {waits[0].lower()}{waits[1:]}."
    if record.status is Status.RUNNING:
        if record.retry_at and record.error:
            return f"Waits until {record.retry_at} to try again: {record.error.message}"
        if record.owner is None:
            return "Handed back by a handler that stopped; the next one goes on."
        running = next((step.name for step in record.steps if step.outcome is None), None)
        return f"Running {running}." if running else "Running."
    return f"Job {record.status.value}."


def _step_states(record: JobRecord) -> list[StepState]:
    """Those that were begun, and behind them those that are to come."""
    begun = [_step_state(step) for step in record.steps]
    if record.is_finished or record.kind not in KINDS:
        return begun
    return begun + [_pending(name) for name in KINDS[record.kind].steps if record.step(name) is None]


def _pending(name: str) -> StepState:
    return {"name": name, "state": "pending", "outcome": None, "started_at": None, "finished_at": None, "error": None}


def _step_state(step: StepRecord) -> StepState:
    state: StepState = {
        "name": step.name,
        "state": "finished" if step.outcome else "running",
        "outcome": step.outcome,
        "started_at": step.started_at,
        "finished_at": step.finished_at,
        "error": failure_document(step.error),
    }
    if step.progress is not None:
        state["progress"] = _progress(step.progress)
    return state


def _progress(progress: records.Progress) -> Progress:
    return {
        "command": progress.command,
        "since": progress.since,
        "lines": progress.lines,
        "waiting_for": [{"what": one.what, "name": one.name, "state": one.state} for one in progress.waiting_for],
    }


def _past_run(run: records.PastRun) -> PastRun:
    return {
        "attempt": run.attempt,
        "finished_at": run.finished_at,
        "reason": run.reason,
        "error": failure_document(run.error),
        "losses": run.losses,
        "steps": [{"name": name, "outcome": outcome} for name, outcome in run.steps],
    }
