"""The run of a claimed job: its steps in order, each saved as it starts and ends, retries within their budgets."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from os.path import basename
from typing import Any

from contracts.cancels import CancelMark, decode_cancel
from contracts.codes import CODES, Failure, Nature
from contracts.names import is_query
from contracts.protocol import RENEWAL_PART
from contracts.records import CommandRecord, JobRecord, Outcome, StepRecord
from contracts.reporting.spans import Span, span
from handlers.clock import monotonic, utc_after, utc_in, utc_now
from handlers.commands.outputs import show
from handlers.commands.progress import ProgressReader
from handlers.commands.running import (
    Command,
    Completed,
    ExecutableMissing,
    ExecutableUnusable,
    Interrupted,
    LeaseEnded,
)
from handlers.jetstream import Unanswered
from handlers.jobs.lease import Lease, LeaseLost
from handlers.jobs.plan import Plan, PlannedStep
from handlers.jobs.runtime import Runtime
from handlers.results import RunCommand, StepFailed, StepResult

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 2.0
# The first delay is a sixth of a lease (10 s of 60), doubled for each further failure, at most five leases.
_FIRST_DELAY_PART = 1 / 6
_LONGEST_DELAY_PART = 5


class Stopped(Exception):
    """The handler is asked to stop; the record is where the job goes on."""

    def __init__(self, record: JobRecord) -> None:
        super().__init__(record.job_id)
        self.record = record


@dataclass(slots=True)
class Execution:
    """One claimed job under its lease, until it ends, is handed back, or is lost."""

    runtime: Runtime
    lease: Lease
    plan: Plan
    _data: Any = field(default=None)
    _progress: ProgressReader | None = field(default=None)  # of the command that began last
    _is_changing: bool = field(default=False)  # whether the step has begun to change the cluster

    async def run(self) -> JobRecord:
        """Runs the steps that no earlier attempt has finished. Gives the finished record, not yet saved.

        Raises Stopped, LeaseLost.
        """
        try:
            return await self._run_steps()
        except Stopped as stopped:
            # Who cancelled was promised an end, and nobody knows when the next handler comes.
            if cancelled := await self._heed_cancel(stopped.record):
                return cancelled
            raise

    async def _run_steps(self) -> JobRecord:
        record = await self._pause(self.lease.record)
        for step in self.plan.steps:
            if record.has_finished(step.name):
                continue
            record = await self._finish(step, record)
            if record.is_finished:
                return record
        return record.succeeded(self.plan.summarize(record), utc_now(), self._data)

    async def save(self, record: JobRecord, *, ttl_seconds: float | None = None) -> JobRecord:
        """Saves a transition and tells of it. Raises LeaseLost; Unanswered where it is an end that nobody was told."""
        record = await self.lease.save(record, ttl_seconds=ttl_seconds)
        await self.runtime.publish_transition(record, self.lease.revision)
        return record

    async def _finish(self, step: PlannedStep, record: JobRecord) -> JobRecord:
        """The record with the step finished, or with the job failed. What finished is saved with what comes next."""
        while True:
            if self.runtime.stopping.is_set():
                raise Stopped(record)
            if cancelled := await self._heed_cancel(record):
                return cancelled
            record = await self.save(record.started(step.name, utc_now()))
            commands: list[CommandRecord] = []
            begun = monotonic()
            try:
                with span(f"step {step.name}", attributes={"everest.attempt": record.attempt}) as current:
                    result = await self._note_end(current, self._ensure(step, record, commands))
            except StepFailed as error:
                record = self._judge(step, self.lease.record.without_progress(), error, commands, monotonic() - begun)
                if record.is_finished:
                    return record
                record = await self._pause(await self.save(record))
            else:
                return self._conclude(step, record, result, commands, monotonic() - begun)

    @staticmethod
    async def _note_end(current: Span, work: Awaitable[StepResult]) -> StepResult:
        try:
            result = await work
        except StepFailed as error:
            current.fail(error.failure.code)
            raise
        current.note("everest.outcome", str(result.outcome))
        return result

    async def _ensure(self, step: PlannedStep, record: JobRecord, commands: list[CommandRecord]) -> StepResult:
        """Raises StepFailed, Stopped, LeaseLost. Whatever ends it early has ended its command too."""
        self._is_changing, self._progress = False, None
        work = asyncio.create_task(step.ensure(record, self._runner(commands), self._remember))
        reporter = asyncio.create_task(self._report(step.name))
        try:
            await self._first_of(work, self.runtime.stopping, self.lease.lost)
            if not work.done() and not self.lease.lost.is_set() and self._is_changing:
                logger.info("step.grace", extra={"step": step.name, "seconds": self.runtime.settings.shutdown_grace})
                await self._first_of(work, self.lease.lost, timeout=self.runtime.settings.shutdown_grace)
        finally:
            work.cancel()
            reporter.cancel()
            await asyncio.wait({work, reporter})
            self.lease.progress = None
        if not work.cancelled():
            return work.result()
        self.lease.check()
        raise Stopped(self.lease.record.without_progress())

    async def _remember(self, found: dict[str, Any]) -> None:
        """What a later attempt of the step must know. Raises LeaseLost."""
        self._is_changing = True  # a stop does not cut the write: the lease must know its revision
        await self.lease.save(self.lease.record.remembering(found))

    async def _report(self, step: str) -> None:
        """Tells what the step is at, until cancelled; the next renewal tells it too."""
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            progress = await self._progress.read() if self._progress else None
            if progress is not None and progress != self.lease.progress:
                self.lease.progress = progress
                await self.runtime.publish_progress(self.lease.record.job_id, step, progress)

    def _watch(self, command: Command, read_end: Callable[[], bytes]) -> None:
        self._progress = ProgressReader(command, read_end, self._look)

    async def _look(self, command: Command) -> Completed:
        """Runs what only looks at what a step waits for, under the lease; it is no command of the step."""
        return await self.runtime.commands.run(command, self.lease.owner)

    def _runner(self, commands: list[CommandRecord]) -> RunCommand:
        """Runs commands under the lease, and notes each."""

        async def run(command: Command) -> Completed:
            self.lease.check()
            self._is_changing |= command.changes
            shown = command.shown
            try:
                with span(basename(shown.split()[0]), attributes={"process.command_line": shown}) as current:
                    completed = await self.runtime.commands.run(
                        command, self.lease.owner, partial(self._watch, command)
                    )
                    current.note("process.exit.code", completed.exit_code)
            except (ExecutableMissing, ExecutableUnusable) as error:
                raise StepFailed(_missing(error)) from error
            except LeaseEnded as error:
                self.lease.give_up()
                raise LeaseLost(self.lease.record.job_id) from error
            except Interrupted as error:
                self.lease.check()
                raise StepFailed(Failure("timed_out", f"{shown} was interrupted")) from error
            commands.append(CommandRecord(completed.command, completed.exit_code))
            self.lease.check()
            return completed

        return run

    def _conclude(
        self, step: PlannedStep, record: JobRecord, result: StepResult, commands: list[CommandRecord], seconds: float
    ) -> JobRecord:
        self._tell("step.finished", step.name, str(result.outcome), seconds)
        finished = replace(
            self._step_record(step.name, record, result.deciding, commands, seconds),
            outcome=result.outcome,
            manifest_preview=result.manifest_preview,
            rbac_applied=result.rbac_applied,
            rbac_enforced=result.rbac_enforced,
            policy_diff=result.policy_diff,
            usable=result.usable,
            found=result.found,
            changed=result.changed,
        )
        self._data = result.data
        record = record.finished(finished, utc_now(), result.warnings)
        return record.with_credentials(result.credentials_secret) if result.credentials_secret else record

    def _judge(
        self, step: PlannedStep, record: JobRecord, error: StepFailed, commands: list[CommandRecord], seconds: float
    ) -> JobRecord:
        """The record as failed, or as waiting for the next try."""
        failure = error.failure
        self._tell("step.failed", step.name, failure.code, seconds, error=failure.message)
        failed = replace(
            self._step_record(step.name, record, error.deciding, commands, seconds),
            outcome=Outcome.FAILED,
            error=failure,
            found=record.remembered_by(step.name),
            changed=error.changed,
        )
        delay_seconds = self._delay(record, failure, seconds)
        if delay_seconds is None:
            if error.undone:
                kept = tuple(known for known in record.steps if known.name not in error.undone)
                record = replace(record, steps=kept, credentials_secret=None)
            if error.step:  # shown under another step's name, because nothing of this one was made
                record = replace(record, steps=tuple(known for known in record.steps if known.name != step.name))
                failed = replace(failed, name=error.step)
            return record.failed(failure, utc_now(), step=failed)
        self.runtime.metrics.count_retry(failure.code)
        return record.delayed(
            failed,
            failure,
            utc_now(),
            retry_at=utc_in(delay_seconds),
            delay_seconds=delay_seconds,
            outage_seconds=seconds + delay_seconds if failure.nature is Nature.INFRASTRUCTURE else 0,
        )

    def _delay(self, record: JobRecord, failure: Failure, seconds: float) -> float | None:
        """Seconds until the next try, None when there is none."""
        settings = self.runtime.settings
        first = self.runtime.lease_seconds * _FIRST_DELAY_PART
        if is_query(record.kind) or failure.nature not in (Nature.TRANSIENT, Nature.INFRASTRUCTURE):
            return None
        if failure.nature is Nature.INFRASTRUCTURE:
            outage = record.outage_seconds + seconds
            if outage >= settings.retry_for:
                return None
            delay = min(max(first, outage / 2), settings.retry_for - outage)
        elif record.failures + 1 >= settings.max_attempts:
            return None
        else:
            delay = first * 2**record.failures
        return min(delay, self.runtime.lease_seconds * _LONGEST_DELAY_PART) * random.uniform(0.8, 1)

    def _step_record(
        self, name: str, record: JobRecord, deciding: Completed | None, commands: list[CommandRecord], seconds: float
    ) -> StepRecord:
        """It took what the monotonic clock says, wherever the wall clock has gone meanwhile."""
        started = record.step(name)
        started_at = started.started_at if started else utc_now()
        ended = StepRecord(name, started_at, utc_after(started_at, seconds), commands=tuple(commands))
        if deciding is None:
            return ended
        limit = self.runtime.settings.max_output_chars
        return replace(
            ended,
            command=deciding.command,
            exit_code=deciding.exit_code,
            stdout=show(deciding.stdout, limit, deciding.secrets),
            stderr=show(deciding.stderr, limit, deciding.secrets),
        )

    async def _pause(self, record: JobRecord) -> JobRecord:
        """Sleeps the delay that the record names, with the lease kept; a cancel or a stop ends it early."""
        if record.retry_delay_seconds is None:
            return record
        ends_at = monotonic() + record.retry_delay_seconds
        while (left := ends_at - monotonic()) > 0:
            if await self._find_cancel(record):
                break
            await self._first_of(
                None,
                self.runtime.stopping,
                self.lease.lost,
                timeout=min(left, self.runtime.lease_seconds * RENEWAL_PART),
            )
            self.lease.check()
            if self.runtime.stopping.is_set():
                raise Stopped(record)
        return record

    async def _heed_cancel(self, record: JobRecord) -> JobRecord | None:
        """The record as cancelled, where somebody wants this run to end."""
        mark = await self._find_cancel(record)
        if mark is None:
            return None
        message = f"Cancelled by {mark.caller}."
        return record.cancelled(mark.caller, mark.requested_at, utc_now(), message, request_id=mark.request_id)

    async def _find_cancel(self, record: JobRecord) -> CancelMark | None:
        """The mark of whoever wants this run to end."""
        try:
            entry = await self.runtime.jetstream.cancels.read(record.job_id)
        except Unanswered:
            return None  # asked again at the next safe point
        mark = decode_cancel(entry.value) if entry.value else None
        return mark if mark is not None and mark.applies_to(record) else None

    def _tell(self, event: str, step: str, outcome: str, seconds: float, **fields: Any) -> None:
        self.runtime.metrics.observe_step(step, outcome, seconds)
        extra = {"step": step, "outcome": outcome, "duration_seconds": round(seconds, 3), **fields}
        logger.log(logging.WARNING if fields else logging.INFO, event, extra=extra)

    @staticmethod
    async def _first_of(work: "asyncio.Task[Any] | None", *events: asyncio.Event, timeout: float | None = None) -> None:
        waits = [asyncio.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait(
                [*waits, *([work] if work else [])], timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)


def _missing(error: ExecutableMissing | ExecutableUnusable) -> Failure:
    code = f"{error.name}_missing"
    if code in CODES:
        return Failure(code, str(error))
    return Failure("rbac_command_failed", f"EVEREST_RBAC_APPLY_CMD names a program that cannot be run: {error}")
