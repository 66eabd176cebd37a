"""Entries of the audit: who asked for what, when, and what came of it.

A job's entries are read out of its newest record, which the server itself copies; what is no job's is published as an
entry. So there is no change of a tenant whose entry could be missing.
"""

from typing import Annotated, Any, NamedTuple, NotRequired

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from contracts.documents import (
    Changed,
    Command,
    ErrorCode,
    JobId,
    Kind,
    Moment,
    StepOutcome,
    command_documents,
    resolved_request,
)
from contracts.records import JobRecord, PastRun, StepRecord

# Actions. The first three are a job's; the others are published by whoever does them.
SUBMIT = "submit"
RETRY = "retry"
CANCEL = "cancel"
PUT_BACK = "put-back"
REFUSED_KEY = "refused-key"
WEBHOOK_GIVEN_UP = "webhook-given-up"

UNKNOWN = "unknown"  # a caller of whom nothing is known


class EntryStep(TypedDict):
    """A step of a run, with what it ran. Secrets show as `********`."""

    name: str
    outcome: StepOutcome | None
    commands: list[Command]
    policy_diff: NotRequired[str]


class Entry(TypedDict):
    """One act: of a job a submit, a retry or a cancel, with what came of it."""

    at: Annotated[Moment, Field(description="When it was asked for.")]
    caller: Annotated[str, Field(description="A key's name, a publisher, or a NATS user.")]
    action: Annotated[str, Field(examples=[SUBMIT, RETRY, CANCEL, PUT_BACK, REFUSED_KEY, WEBHOOK_GIVEN_UP])]
    outcome: Annotated[
        str, Field(examples=["succeeded", "failed", "queued", "running", "cancelled", "refused", "done", "given up"])
    ]
    kind: Kind | None
    username: str | None
    namespace: str | None
    job_id: JobId | None
    finished_at: Moment | None
    code: NotRequired[ErrorCode]
    summary: NotRequired[str]
    request_id: NotRequired[str]
    run: NotRequired[int]
    inputs: NotRequired[Annotated[dict[str, Any], Field(description="The request with every default filled in.")]]
    steps: NotRequired[list[EntryStep]]
    changed: NotRequired[Changed]
    correlation: NotRequired[str]
    count: NotRequired[Annotated[int, Field(description="Refused keys, in the hour that began at `at`.")]]
    webhook: NotRequired[str]
    simulated: NotRequired[bool]


class UnreadableEntry(ValueError):
    """The bytes are no entry."""


def make_act(at: str, caller: str, action: str, outcome: str, **members: Any) -> Entry:
    """What is no job's. `members` are those of an entry."""
    bare: Entry = {
        "at": at,
        "caller": caller,
        "action": action,
        "outcome": outcome,
        "kind": None,
        "username": None,
        "namespace": None,
        "job_id": None,
        "finished_at": None,
    }
    return {**bare, **members}  # type: ignore[typeddict-item]  # the caller names what entries have


def encode_act(entry: Entry) -> bytes:
    return orjson.dumps(entry)


def decode_act(body: bytes) -> Entry:
    """Raises UnreadableEntry."""
    try:
        members = orjson.loads(body)
        first = [members.pop(name) for name in ("at", "caller", "action", "outcome")]
        return make_act(*first, **members)
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise UnreadableEntry(repr(error)) from error


def entries_of(record: JobRecord) -> list[Entry]:
    """All that was asked for about the job, newest first."""
    entries: list[Entry] = []
    first_run = record.run - len(record.history)
    is_whole = first_run == 1
    asked = _Asked(record.caller if is_whole else UNKNOWN, record.created_at, record.request_id if is_whole else None)
    for run, past in enumerate(record.history, first_run):
        entries += _run_entries(_past(record, past, run), run, asked, past)
        retried_at = past.retried_at or past.finished_at or record.changed_at
        asked = _Asked(past.retried_by or UNKNOWN, retried_at, past.retry_request_id)
    entries += _run_entries(_current(record), record.run, asked, record)
    return entries[::-1]


class _Asked(NamedTuple):
    """Who asked, when, and in which request."""

    by: str
    at: str
    request_id: str | None

    def put_into(self, entry: Entry) -> Entry:
        told: Entry = {**entry, "caller": self.by, "at": self.at}
        if self.request_id:
            told["request_id"] = self.request_id
        return told


def _run_entries(entry: Entry, run: int, asked: _Asked, ended: JobRecord | PastRun) -> list[Entry]:
    """The entry of a run, and that of whoever cancelled it."""
    first = asked.put_into({**entry, "action": SUBMIT if run == 1 else RETRY})
    if ended.cancelled_by is None:
        return [first]
    cancelled_at = ended.cancelled_at or ended.finished_at or asked.at
    cancel = _Asked(ended.cancelled_by, cancelled_at, ended.cancel_request_id)
    return [first, cancel.put_into({**_of_job(entry), "action": CANCEL, "outcome": "cancelled", "run": run})]


def _of_job(entry: Entry) -> Entry:
    about = ("kind", "username", "namespace", "job_id", "finished_at")
    return make_act("", "", "", "", **{name: entry[name] for name in about})  # type: ignore[literal-required]


def _current(record: JobRecord) -> Entry:
    asked = resolved_request(record)
    entry = make_act(
        record.created_at,
        record.caller,
        SUBMIT,
        record.status.value,
        kind=record.kind,
        username=asked.get("username"),
        namespace=asked.get("namespace"),
        job_id=record.job_id,
        finished_at=record.finished_at,
        run=record.run,
        summary=record.summary,
        inputs=asked,
        steps=[_step(step) for step in record.steps],
    )
    optional = {
        "code": record.reason,
        "correlation": asked.get("correlation"),
        "changed": list(record.changed),
        "simulated": record.simulated or None,
    }
    return {**entry, **{name: value for name, value in optional.items() if value}}  # type: ignore[typeddict-item]


def _past(record: JobRecord, past: PastRun, run: int) -> Entry:
    entry: Entry = {**_current(record), "outcome": "failed", "finished_at": past.finished_at, "run": run}
    commands = command_documents(past.commands)
    entry["steps"] = [{"name": name, "outcome": outcome, "commands": []} for name, outcome in past.steps]
    if commands and entry["steps"]:
        entry["steps"][-1]["commands"] = commands  # of the step that failed, and of those that were done again
    entry["summary"] = past.error.message if past.error else ""
    for later in ("code", "changed"):
        entry.pop(later, None)  # type: ignore[misc]  # two of the optional members
    if past.changed:
        entry["changed"] = list(past.changed)
    if past.reason:
        entry["code"] = past.reason
    return entry


def _step(step: StepRecord) -> EntryStep:
    shown: EntryStep = {
        "name": step.name,
        "outcome": step.outcome,
        "commands": command_documents(step.commands),
    }
    if step.policy_diff:
        shown["policy_diff"] = step.policy_diff
    return shown
