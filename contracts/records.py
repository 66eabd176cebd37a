"""The job record: what the bucket holds for each job, and the only ways in which it may change.

A record is a value. A transition gives a new one and refuses, with IllegalTransition, what the state table
(`contracts.protocol`) does not allow, and with LaterRecord any change of what a later version wrote. Moments are
RFC 3339 texts in UTC, given by the caller.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cache
from typing import Annotated, Any

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from contracts import names
from contracts.codes import Failure

VERSION = 1
TENANT_BUSY = "tenant_busy"  # the reason of a queued job that waits for another
MAX_RECORD_BYTES = 256 * 1024
MAX_DATA_BYTES = 448 * 1024

# Said of the handler that had the job: until 0.1.0 by the first step, since by the last, which every run does again.
_OF_A_HANDLER = re.compile(r"everestctl is \S+ and Everest is \S+: use the same minor version\.")


class Status(StrEnum):
    """A closed list: pollers loop until one of the last two."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


FINISHED = (Status.SUCCEEDED, Status.FAILED)


class Outcome(StrEnum):
    """What came of a step."""

    CREATED = "created"
    UPDATED = "updated"
    APPLIED = "applied"
    REMOVED = "removed"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    FAILED = "failed"


# One of a later version is shown as it is.
AnyOutcome = Annotated[Outcome | str, Field(union_mode="left_to_right")]


class IllegalTransition(Exception):
    """The record's state does not allow this change."""


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """One command that a step ran, look-ups included."""

    command: str
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class Awaited:
    """Something in the cluster that a command waits for, and how far it is: an `installer`'s Job, an `operator`."""

    what: str
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running step is at: its command as it is shown, since when, and the last lines of it, at most 2 KB.

    `lines` are of commands that change the cluster only: what a look prints may be what nobody knows to mask.
    `waiting_for` is as the cluster was seen last; empty where the command waits for nothing that can be seen.
    """

    command: str
    since: str
    lines: str = ""
    waiting_for: tuple[Awaited, ...] = ()


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step as far as it went. `outcome` is None while it runs; a step that was interrupted is started again.

    `command`, `exit_code`, `stdout` and `stderr` are those of the deciding command, None where there was none.
    """

    name: str
    started_at: str
    finished_at: str | None = None
    outcome: AnyOutcome | None = None
    command: str | None = None
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    commands: tuple[CommandRecord, ...] = ()
    manifest_preview: str | None = None
    rbac_applied: bool | None = None
    rbac_enforced: bool | None = None
    policy_diff: str | None = None  # what the step changes in the RBAC policy, at most 4 KB
    usable: bool | None = None  # of verify_tenant; None where nothing was to prove, or nothing could be seen
    # What later steps, or later attempts of the step, must know when it is not there any more.
    found: dict[str, Any] | None = None
    changed: tuple[str, ...] = ()  # of what is wanted of the tenant, by the names of the members
    error: Failure | None = None
    progress: Progress | None = None  # while it runs, as of the last renewal

    @property
    def is_finished(self) -> bool:
        return self.outcome is not None and self.outcome is not Outcome.FAILED


@dataclass(frozen=True, slots=True)
class CredentialsSecret:
    """Where the created account's password is, and nowhere else."""

    namespace: str
    name: str

    @property
    def read_command(self) -> str:
        return f"kubectl get secret {self.name} -n {self.namespace} -o jsonpath='{{.data.password}}' | base64 -d"


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run that ended as failed and was reopened by a person."""

    attempt: int
    finished_at: str | None
    reason: str | None
    error: Failure | None
    losses: int
    steps: tuple[tuple[str, str], ...] = ()  # name and outcome
    # Of the steps that the next run did again: what they ran last.
    commands: tuple[CommandRecord, ...] = ()
    cancelled_by: str | None = None
    cancelled_at: str | None = None
    retried_by: str | None = None  # who reopened it
    retried_at: str | None = None
    changed: tuple[str, ...] = ()  # by all of its steps
    found: dict[str, Any] | None = None  # by step, where all are done again: what may not be there any more
    cancel_request_id: str | None = None
    retry_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job; nobody has worked on one of which no more is said than what has no default.

    `owner` names the claim that may write; `write` is unique per write: an unanswered one is recognized.
    """

    job_id: str
    kind: str
    caller: str
    request_hash: str
    created_at: str
    changed_at: str
    status: Status = Status.QUEUED
    request: dict[str, Any] | None = None  # as published, for putting it back into the queue
    inputs: dict[str, Any] | None = None  # resolved: defaults and default operators filled in
    started_at: str | None = None
    finished_at: str | None = None
    owner: str | None = None
    lease_seconds: float | None = None  # of the owner's lease; absent: the consumer's, as 0.1.0 has it
    write: str = ""
    run: int = 1  # one more each time that a person reopens it
    attempt: int = 0  # real attempts, over all runs
    failures: int = 0  # retryable step failures of this run, against MAX_ATTEMPTS
    losses: int = 0  # crashes and lost leases of this run
    outage_seconds: float = 0  # of infrastructure, added up, against RETRY_FOR
    retry_at: str | None = None
    retry_delay_seconds: float | None = None  # slept again by the next owner; no clocks are compared
    reason: str | None = None
    error: Failure | None = None
    cancelled_by: str | None = None  # who ended this run, and when it was asked for
    cancelled_at: str | None = None
    cancel_request_id: str | None = None
    steps: tuple[StepRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    credentials_secret: CredentialsSecret | None = None
    data: Any = None  # the answer of a query
    simulated: bool = False
    summary: str = ""
    request_id: str | None = None
    traceparent: str | None = None
    bound: bool = False  # the caller may change its own tenants alone
    batch: str | None = None  # the place in a batch, as the header has it
    history: tuple[PastRun, ...] = ()
    version: int = VERSION

    # What a state is.

    @property
    def is_later(self) -> bool:
        """Written by a later version: it may be shown, and no transition is ours to make."""
        return self.version > VERSION

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED

    @property
    def is_held(self) -> bool:
        return self.status is Status.RUNNING and self.owner is not None

    @property
    def is_waiting(self) -> bool:
        """For the end of another job of its tenant."""
        return self.status is Status.QUEUED and self.reason == TENANT_BUSY

    @property
    def is_taken_up_again(self) -> bool:
        """Whether somebody has worked on it before: meanwhile others may have changed what it had made sure of."""
        return self.run > 1 or self.failures > 0 or self.losses > 0

    @property
    def changed(self) -> tuple[str, ...]:
        """What its steps have changed of what is wanted of the tenant."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.changed))

    def step(self, name: str) -> StepRecord | None:
        return next((step for step in self.steps if step.name == name), None)

    def found_before(self, name: str) -> dict[str, Any] | None:
        """What the step saw last in a run that was done again from its start."""
        runs = reversed(self.history)
        return next((past.found[name] for past in runs if past.found and name in past.found), None)

    def remembered_by(self, name: str) -> dict[str, Any] | None:
        """What an earlier attempt of the step has written down, in an earlier run too where it failed."""
        begun = self.step(name)
        return begun.found if begun else self.found_before(name)

    def has_finished(self, name: str) -> bool:
        step = self.step(name)
        return step is not None and step.is_finished

    # How it changes.

    def claimed(self, owner: str, now: str, *, lease_seconds: float | None = None, lost: bool = False) -> "JobRecord":
        """A handler takes it. `lost`: from an owner that fell silent."""
        self._expect(Status.QUEUED, Status.RUNNING)
        if self.is_held and not lost:
            raise IllegalTransition(f"{self.job_id} is held by {self.owner}")
        return self._changed(
            now,
            status=Status.RUNNING,
            owner=owner,
            lease_seconds=lease_seconds,
            started_at=self.started_at or now,
            attempt=self.attempt + (self.status is Status.QUEUED),
            losses=self.losses + lost,
            summary="",
            reason=self.reason if self.status is Status.RUNNING else None,
        )

    def with_inputs(self, inputs: dict[str, Any], *, simulated: bool) -> "JobRecord":
        return replace(self, inputs=inputs, simulated=simulated)

    def started(self, name: str, now: str) -> "JobRecord":
        """A step begins, or begins again: then with what an earlier attempt has it remember."""
        self._expect(Status.RUNNING)
        begun = StepRecord(name, now, found=self.remembered_by(name))
        return self._changed(now, steps=self._steps_with(begun), retry_at=None, retry_delay_seconds=None)

    def remembering(self, found: dict[str, Any]) -> "JobRecord":
        """The step that runs is about to change something; no transition."""
        return replace(self, steps=(*self.steps[:-1], replace(self.steps[-1], found=found)))

    def finished(self, step: StepRecord, now: str, warnings: tuple[str, ...] = ()) -> "JobRecord":
        self._expect(Status.RUNNING)
        new = tuple(warning for warning in warnings if warning not in self.warnings)
        return self._changed(
            now, steps=self._steps_with(step), warnings=self.warnings + new, reason=None, error=None, outage_seconds=0
        )

    def seen_at(self, progress: Progress | None) -> "JobRecord":
        """With what the step that runs is at; no transition."""
        running = self.steps[-1] if self.steps else None
        if progress is None or running is None or running.outcome is not None:
            return self
        return replace(self, steps=(*self.steps[:-1], replace(running, progress=progress)))

    def without_progress(self) -> "JobRecord":
        """As it was before anybody looked; no transition."""
        return replace(self, steps=tuple(replace(step, progress=None) for step in self.steps))

    def with_credentials(self, secret: CredentialsSecret | None) -> "JobRecord":
        return replace(self, credentials_secret=secret)

    def delayed(
        self,
        step: StepRecord,
        failure: Failure,
        now: str,
        *,
        retry_at: str,
        delay_seconds: float,
        outage_seconds: float,
    ) -> "JobRecord":
        """A step failed and is tried again after a delay. An outage costs seconds, any other failure an attempt."""
        self._expect(Status.RUNNING)
        is_outage = outage_seconds > 0
        return self._changed(
            now,
            steps=self._steps_with(step),
            reason=failure.code,
            error=failure,
            retry_at=retry_at,
            retry_delay_seconds=delay_seconds,
            attempt=self.attempt + (not is_outage),
            failures=self.failures + (not is_outage),
            outage_seconds=self.outage_seconds + outage_seconds if is_outage else 0,
        )

    def handed_back(self, now: str) -> "JobRecord":
        """The handler stops; the next owner goes on at once. Costs nothing."""
        self._expect(Status.RUNNING)
        return self._changed(now, owner=None)

    def waiting(self, reason: str, now: str) -> "JobRecord":
        """Still queued, and why."""
        self._expect(Status.QUEUED)
        return self._changed(now, reason=reason)

    def succeeded(self, summary: str, now: str, data: Any = None) -> "JobRecord":
        self._expect(Status.RUNNING)
        return self._ended(Status.SUCCEEDED, now, summary=summary, data=data, reason=None, error=None)

    def failed(self, failure: Failure, now: str, *, summary: str = "", step: StepRecord | None = None) -> "JobRecord":
        self._expect(Status.QUEUED, Status.RUNNING)
        return self._ended(
            Status.FAILED,
            now,
            steps=self._steps_with(step) if step else self.steps,
            summary=summary or failure.message,
            reason=failure.code,
            error=failure,
        )

    def cancelled(
        self, by: str, asked_at: str, now: str, message: str, *, request_id: str | None = None
    ) -> "JobRecord":
        """Ended by a person."""
        ended = self.failed(Failure("cancelled", message), now)
        return replace(ended, cancelled_by=by, cancelled_at=asked_at, cancel_request_id=request_id)

    def reopened(
        self, now: str, *, from_start: bool, by: str | None = None, request_id: str | None = None
    ) -> "JobRecord":
        """A person retries a failed job: the only way out of an end. What succeeded is kept unless `from_start`."""
        self._expect(Status.FAILED)
        again = [step for step in self.steps if from_start or not step.is_finished]
        past = PastRun(
            self.attempt,
            self.finished_at,
            self.reason,
            self.error,
            self.losses,
            tuple((step.name, str(step.outcome or "interrupted")) for step in self.steps),
            tuple(CommandRecord(step.command, step.exit_code) for step in again if step.command),
            self.cancelled_by,
            self.cancelled_at,
            by,
            now,
            self.changed,
            {step.name: step.found for step in again if step.found} or None,
            self.cancel_request_id,
            request_id,
        )
        return self._changed(
            now,
            status=Status.QUEUED,
            owner=None,
            finished_at=None,
            run=self.run + 1,
            failures=0,
            losses=0,
            outage_seconds=0,
            retry_at=None,
            retry_delay_seconds=None,
            reason=None,
            error=None,
            cancelled_by=None,
            cancelled_at=None,
            cancel_request_id=None,
            steps=() if from_start else tuple(step for step in self.steps if step.is_finished),
            warnings=() if from_start else tuple(one for one in self.warnings if not _OF_A_HANDLER.fullmatch(one)),
            summary="",
            history=(*self.history, past)[-20:],
        )

    def requeued(self, now: str) -> "JobRecord":
        """The reconciler publishes it again: its message is gone and nobody works on it."""
        self._expect(Status.QUEUED, Status.RUNNING)
        return self._changed(now, owner=None)

    def _expect(self, *allowed: Status) -> None:
        if self.is_later:
            raise LaterRecord(f"{self.job_id} has version {self.version}, and this is {VERSION}")
        if self.status not in allowed:
            raise IllegalTransition(f"{self.job_id} is {self.status}, not {' or '.join(allowed)}")

    def _changed(self, now: str, **changes: Any) -> "JobRecord":
        return replace(self, changed_at=now, **changes)

    def _ended(self, status: Status, now: str, **changes: Any) -> "JobRecord":
        return self._changed(
            now,
            status=status,
            finished_at=max(now, self.started_at or now),
            owner=None,
            retry_at=None,
            retry_delay_seconds=None,
            **changes,
        )

    def _steps_with(self, step: StepRecord) -> tuple[StepRecord, ...]:
        if self.step(step.name) is None:
            return (*self.steps, step)
        return tuple(step if known.name == step.name else known for known in self.steps)


def headers_of(record: JobRecord) -> dict[str, str]:
    """Those of its message, where it is published again."""
    headers = {
        names.HEADER_CALLER: record.caller,
        names.HEADER_REQUEST_ID: record.request_id,
        names.HEADER_TRACEPARENT: record.traceparent,
        names.HEADER_BOUND: "true" if record.bound else None,
        names.HEADER_BATCH: record.batch,
    }
    return {name: value for name, value in headers.items() if value}


class UnreadableRecord(ValueError):
    """The bytes in the bucket are no job record."""


class LaterRecord(UnreadableRecord):
    """A later version wrote the record: whatever of it can be read, this version must not write over it."""


def encode_record(record: JobRecord) -> bytes:
    return orjson.dumps(record)


def encode_alike(record: JobRecord, others: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Records that differ from one in these members alone, without making a thousand of them."""
    members = {field.name: getattr(record, field.name) for field in fields(record)}
    for other in others:
        yield orjson.dumps(members | other)


def decode_record(body: bytes) -> JobRecord:
    """The record in the bytes; members of later versions are left out.

    Raises UnreadableRecord; LaterRecord where a later version wrote what this one cannot read. What it can read is a
    record that `is_later`.
    """
    try:
        return _adapter().validate_json(body, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, problem['loc'])) or 'it'}: {problem['type']}"
    raise (LaterRecord if read_version(body) > VERSION else UnreadableRecord)(reason)


@cache
def _adapter() -> TypeAdapter[JobRecord]:
    """Made once, with the first record that is read: a handler's first job has none yet."""
    return TypeAdapter(JobRecord)


def read_version(body: bytes | str) -> int:
    """The `version` of a document that may be of a later one; 0 where it does not say."""
    try:
        version = orjson.loads(body)["version"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return 0
    return version if isinstance(version, int) else 0


# What a cut leaves in the middle of a text: here, and where an output is first shown (`handlers.commands.outputs`).
_NOTE = re.compile(r"\n… ([0-9,]+) characters cut[^\n]* …\n")


def _cut(text: str, limit: int) -> str:
    """Head and tail. The note between them counts all that is missing, also what earlier cuts took."""
    if len(text) <= limit:
        return text
    start, end = limit // 2, len(text) - limit // 2
    missing = 0
    for earlier in _NOTE.finditer(text):
        if earlier.end() > start and earlier.start() < end:
            start, end = min(start, earlier.start()), max(end, earlier.end())
            missing += int(earlier[1].replace(",", "")) - len(earlier[0])
    missing += end - start
    return f"{text[:start]}\n… {missing:,} characters cut to fit the record …\n{text[end:]}"


def fit(record: JobRecord, limit_bytes: int = MAX_RECORD_BYTES) -> JobRecord:
    """The record within the limit: its longest outputs are cut further, data never.

    The limit does not count `data`, which is bounded where it is made.
    """
    allowance = 64 * 1024
    bare = record if record.data is None else replace(record, data=None)
    if len(encode_record(bare)) <= limit_bytes:
        return record
    while len(encode_record(bare)) > limit_bytes and allowance >= 16:
        allowance //= 2
        bare = _shortened_record(bare, allowance)
    return replace(bare, data=record.data)


def without_outputs(record: JobRecord) -> JobRecord:
    """The smallest honest form, for a bucket that is full."""
    return fit(replace(record, data=None), 0)


def without_answer(record: JobRecord, why: str) -> JobRecord:
    """The end of a query whose answer is not kept: it has failed, whatever came of its step."""
    failure = Failure("result_too_large", why)
    bare = without_outputs(record)
    return replace(bare, status=Status.FAILED, reason=failure.code, error=failure, summary=failure.message)


def _shortened_record(record: JobRecord, allowance: int) -> JobRecord:
    return replace(
        record,
        steps=tuple(_shortened(step, allowance) for step in record.steps),
        warnings=tuple(_cut(warning, max(allowance, 256)) for warning in record.warnings),
        error=_shortened_failure(record.error, allowance),
        summary=_cut(record.summary, max(allowance, 512)),
        history=tuple(replace(past, error=_shortened_failure(past.error, allowance)) for past in record.history),
    )


def _shortened(step: StepRecord, allowance: int) -> StepRecord:
    return replace(
        step,
        stdout=_cut(step.stdout, allowance),
        stderr=_cut(step.stderr, allowance),
        manifest_preview=step.manifest_preview and _cut(step.manifest_preview, max(allowance, 2048)),
        commands=step.commands[-max(allowance // 32, 8) :],
        error=_shortened_failure(step.error, allowance),
    )


def _shortened_failure(failure: Failure | None, allowance: int) -> Failure | None:
    return failure and replace(failure, message=_cut(failure.message, max(allowance, 512)))
