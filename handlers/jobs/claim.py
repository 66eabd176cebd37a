"""Claiming a job and running it to its end, under a lease: saved, then answered."""

import logging

import orjson

from contracts.codes import Failure
from contracts.process.logs import bind
from contracts.records import MAX_DATA_BYTES, JobRecord, without_answer
from contracts.reporting.spans import message_span, span
from handlers.clock import utc_now
from handlers.jetstream import TooLarge
from handlers.jobs.execution import Execution, Stopped
from handlers.jobs.incoming import Incoming
from handlers.jobs.lease import Lease, LeaseLost
from handlers.jobs.plan import MakePlan, NoPlan, Plan
from handlers.jobs.records import Records
from handlers.jobs.runtime import Runtime
from handlers.jobs.waiting import Waiting

logger = logging.getLogger(__name__)

OWN_FAULT = Failure("command_failed", "The handler met an error of its own; its log holds the traceback.")
_TOO_LARGE = "The answer is larger than a record can be."


class NotBegun(Exception):
    """A fault of ours before anything was claimed."""


class Claims:
    """Makes claims for this handler; each is worked on to its end."""

    def __init__(self, runtime: Runtime, records: Records, waiting: Waiting, make_plan: MakePlan) -> None:
        self._runtime = runtime
        self._records = records
        self._waiting = waiting
        self._make_plan = make_plan

    async def work_on(self, incoming: Incoming, record: JobRecord, revision: int, *, lost: bool) -> bool:
        """Claims the job and works on it. False when another write came first: look again.

        Raises NoPlan, NotBegun, BucketFull when the claim cannot be written, LeaseLost when the job may be another's.
        """
        # The message was sent later than a record of a batch, or of a retried job, was written.
        parent = incoming.record.traceparent or record.traceparent
        with message_span("process", record.kind, record.job_id, parent):
            return await self._claim(incoming, record, revision, lost=lost)

    async def _claim(self, incoming: Incoming, record: JobRecord, revision: int, *, lost: bool) -> bool:
        runtime = self._runtime
        plan = self._plan(record, incoming)
        lease = Lease(
            self._records.bucket, incoming.delivery, runtime.commands, runtime.lease_seconds, runtime.stopping
        )
        claimed = record.claimed(lease.owner, utc_now(), lease_seconds=runtime.lease_seconds, lost=lost)
        claimed = claimed.with_inputs(plan.inputs, simulated=runtime.simulated)
        try:
            with span("claim"):
                claimed = await lease.claim(claimed, revision)
        except LeaseLost:
            return False
        async with lease.kept():
            await self._tell(claimed, lease.revision, lost=lost)
            await self._run(incoming, Execution(runtime, lease, plan))
        return True

    def _plan(self, record: JobRecord, incoming: Incoming) -> Plan:
        """Raises NoPlan; NotBegun also where a handler of another version has written what this one cannot read."""
        try:
            return self._make_plan(record, incoming.request)
        except NoPlan:
            raise
        except Exception as error:  # a fault of ours must end the job too, and be seen
            raise NotBegun(record.job_id) from error

    async def _tell(self, claimed: JobRecord, revision: int, *, lost: bool) -> None:
        await self._runtime.publish_transition(claimed, revision)
        bind(caller=claimed.caller, attempt=claimed.attempt)
        logger.info("job.claimed", extra={"kind": claimed.kind, "lost": lost})
        if lost:
            self._runtime.metrics.count_loss("taken_over")

    async def _run(self, incoming: Incoming, execution: Execution) -> None:
        """Raises LeaseLost: then nothing is answered."""
        try:
            record = await execution.run()
        except Stopped as stopped:
            await execution.save(stopped.record.handed_back(utc_now()))
            await incoming.delivery.hand_back()
            logger.info("job.handed_back")
            return
        except LeaseLost:
            self._runtime.metrics.count_loss("lease_lost")
            raise
        except Exception:  # a fault of ours must end the job too, and be seen
            logger.exception("job.crashed")
            record = execution.lease.record.failed(OWN_FAULT, utc_now())
        await self._end(incoming, execution, record)

    async def _end(self, incoming: Incoming, execution: Execution, record: JobRecord) -> None:
        retention_seconds = self._records.retention_seconds(record.kind)
        try:
            record = await execution.save(_without_excess(record), ttl_seconds=retention_seconds)
        except TooLarge:
            record = await execution.save(without_answer(record, _TOO_LARGE), ttl_seconds=retention_seconds)
        logger.info("job.ended", extra={"status": record.status.value, "reason": record.reason})
        self._runtime.metrics.count_job(record.kind, record.status.value, record.reason or "")
        await self._waiting.conclude(incoming, record)


def _without_excess(record: JobRecord) -> JobRecord:
    """A query whose answer does not fit a record has failed."""
    if record.data is None or len(orjson.dumps(record.data)) <= MAX_DATA_BYTES:
        return record
    return without_answer(record, _TOO_LARGE)
