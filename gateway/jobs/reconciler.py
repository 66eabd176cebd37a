"""Heals what a loss of storage, or a gateway that died between two writes, has left behind.

Every gateway runs it, without a leader: each change is a compare-and-set and each publish is refused when the message
is there. A record that is silent for two leases while the stream holds no message for it is published again, or
failed as lost; one that waits for its tenant has a place instead of a message, and whoever waits for a tenant that is
free is woken. What it finds is counted: but for a retry that was cut off, and a handler that died between an end and
the next job's waking, a finding means that storage was lost.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from contracts import names
from contracts.codes import Failure
from contracts.kinds import KINDS, repeat_request
from contracts.protocol import ACK_WAIT_PART, SILENT_LEASES
from contracts.records import JobRecord, LaterRecord, UnreadableRecord, headers_of
from contracts.requests import InvalidRequest, Request
from gateway.jetstream import Conflict, JetStream, NotProvisioned, Refused, TooLarge, Unanswered
from gateway.jobs.errors import JobError
from gateway.jobs.job_cache import Snapshot
from gateway.jobs.reading import Reader
from gateway.jobs.submission import Submission
from gateway.jobs.unfinished import Sighting, UnfinishedJobs
from gateway.jobs.writing import Writer

logger = logging.getLogger(__name__)

DEFAULT_LEASE_SECONDS = 60.0
_ROUND_PART = 1 / 2  # of a lease
_OLDEST = 20  # messages that are looked at each round

FINDINGS = ("requeued", "lost", "woken", "untold", "message_without_record", "finished_with_message")


class Reconciler:
    """`count` is told of each finding; `clock` counts seconds, `now` gives the moment."""

    def __init__(
        self,
        jetstream: JetStream,
        unfinished: UnfinishedJobs,
        reader: Reader,
        writer: Writer,
        submission: Submission,
        *,
        clock: Callable[[], float],
        now: Callable[[], str],
        count: Callable[[str], None],
    ) -> None:
        self._jetstream = jetstream
        self._unfinished = unfinished
        self._reader = reader
        self._writer = writer
        self._submission = submission
        self._clock = clock
        self._now = now
        self._count = count
        self._reported: set[tuple[str, int]] = set()

    async def run(self) -> None:
        """Looks twice a lease until cancelled."""
        while True:
            lease_seconds = await self._read_lease()
            await asyncio.sleep(lease_seconds * _ROUND_PART)
            try:
                lines = await self._read_lines()
                holders = {tenant: await self._read_holder(tenant) for tenant in lines}
                parked = {job_id for job_ids in lines.values() for job_id in job_ids} - set(holders.values())
                await self._heal_silent(lease_seconds, parked)
                await self._report_oldest(lease_seconds)
                await self._wake_lines(holders)
                await self._tell_ends(lease_seconds)  # last: who waits for a tenant needs no stream of events
            except Unanswered as error:
                logger.debug("reconciler.interrupted", extra={"error": str(error)})

    async def _read_lease(self) -> float:
        try:
            consumer = await self._jetstream.read_consumer_state(names.JOBS_STREAM, names.BOOTSTRAP_CONSUMER)
        except Unanswered:
            return DEFAULT_LEASE_SECONDS
        return consumer.ack_wait_seconds / ACK_WAIT_PART

    async def _read_lines(self) -> dict[str, set[str]]:
        """Who waits for which tenant; nobody where an older version was provisioned."""
        try:
            return await self._jetstream.line.read()
        except NotProvisioned:
            return {}

    async def _heal_silent(self, lease_seconds: float, parked: set[str]) -> None:
        """`parked` have a place instead of a message, and wait for the holder of their tenant."""
        silent_before = self._clock() - SILENT_LEASES * lease_seconds
        for job_id, sighting in list(self._unfinished.sightings.items()):
            if sighting.seen_at <= silent_before and job_id not in parked:
                await self._try_to_heal(job_id, sighting)

    async def _try_to_heal(self, job_id: str, sighting: Sighting) -> None:
        if not await self._attempt(self._look_at(job_id, sighting), job_id=job_id):
            self._unfinished.sightings[job_id] = Sighting(sighting.revision, self._clock())

    async def _attempt(self, work: Awaitable[None], **about: str) -> bool:
        """One job or tenant that cannot be helped does not keep the others from it. False where it never may be.

        Raises Unanswered while NATS is away.
        """
        try:
            await work
        except Unanswered as error:
            if not self._jetstream.is_connected:
                raise
            logger.debug("reconciler.interrupted", extra={**about, "error": str(error)})
        except Exception:  # whatever somebody has written under the key
            logger.exception("reconciler.failed", extra={**about, "next": "it is looked at again later"})
            return False
        return True

    async def _look_at(self, job_id: str, sighting: Sighting) -> None:
        snapshot = await self._find_silent(job_id, sighting)
        if snapshot is None:
            return
        if await self._reader.find_message(job_id) is not None:
            # It waits in the queue, or its owner will be found dead at the next delivery.
            self._unfinished.sightings[job_id] = Sighting(sighting.revision, self._clock())
            return
        # Its handler may have ended it, and then acknowledged, between the two reads.
        if await self._find_silent(job_id, sighting) is not None:
            await self._heal(snapshot)

    async def _find_silent(self, job_id: str, sighting: Sighting) -> Snapshot | None:
        """The record, if it is still the one that was seen, has not ended, and is not a later version's to heal."""
        snapshot = await self._reader.find_record(job_id)
        if snapshot is None or snapshot.record.is_finished or _is_later(snapshot.record):
            self._unfinished.sightings.pop(job_id, None)
            return None
        return snapshot if snapshot.revision == sighting.revision else None

    async def _heal(self, snapshot: Snapshot) -> None:
        record = snapshot.record
        request = _repeatable_request(record)
        try:
            if request is None:
                failure = Failure("lost", "Its message is gone, and what it asked for is not kept.")
                await self._writer.save(record.failed(failure, self._now()), last=snapshot.revision)
                self._tell("lost", record)
            else:
                await self._writer.save(record.requeued(self._now()), last=snapshot.revision)
                self._tell("requeued", record)
                await self._submission.publish(record.kind, record.job_id, request, headers_of(record))
        except Conflict:
            logger.debug("reconciler.outrun", extra={"job_id": record.job_id})
        except (Refused, TooLarge, JobError) as error:
            logger.warning("reconciler.failed", extra={"job_id": record.job_id, "error": repr(error)})

    async def _tell_ends(self, lease_seconds: float) -> None:
        """Of jobs that a gateway ended: it may have died before it told of them."""
        seen_before = self._clock() - lease_seconds
        for job_id, sighting in list(self._unfinished.ends.items()):
            if sighting.seen_at <= seen_before:
                await self._attempt(self._tell_end(job_id, sighting), job_id=job_id)

    async def _tell_end(self, job_id: str, sighting: Sighting) -> None:
        snapshot = await self._read_end(job_id, sighting)
        if snapshot and await self._jetstream.events.tell_end_once(snapshot.record, snapshot.revision):
            self._tell("untold", snapshot.record)
        if self._unfinished.ends.get(job_id) is sighting:  # else it has ended again meanwhile
            del self._unfinished.ends[job_id]

    async def _read_end(self, job_id: str, sighting: Sighting) -> Snapshot | None:
        """None where somebody reopened it since, and for a query, whose caller has waited."""
        snapshot = await self._reader.find_record(job_id)
        if snapshot is None or names.is_query(snapshot.record.kind):
            return None
        return snapshot if snapshot.revision == sighting.revision else None

    async def _read_holder(self, tenant: str) -> str:
        """The id of the job that has the tenant, empty where none ever had."""
        holder = await self._jetstream.read_key(names.TENANTS_BUCKET, names.tenant_key(tenant))
        return holder.body.decode(errors="replace") if holder else ""

    async def _wake_lines(self, holders: dict[str, str]) -> None:
        for tenant, job_id in holders.items():
            await self._attempt(self._wake_line(tenant, job_id), tenant=tenant, job_id=job_id)

    async def _wake_line(self, tenant: str, holder: str) -> None:
        """Nobody, where a later version knows more: then its gateway does."""
        try:
            if not await self._is_at_work(holder):
                await self._wake(tenant)
        except LaterRecord as error:
            logger.debug("reconciler.interrupted", extra={"tenant": tenant, "error": str(error)})

    async def _is_at_work(self, job_id: str) -> bool:
        """Whether the job is queued or running: then its end wakes the next one. Raises LaterRecord, Unanswered."""
        if not names.is_job_id(job_id):
            return False
        try:
            snapshot = await self._reader.read_through(job_id)
        except LaterRecord:
            raise
        except UnreadableRecord:  # its message, where there is one, begins it anew
            return await self._reader.find_message(job_id) is not None
        if snapshot is None or snapshot.record.is_finished:
            return False
        return not snapshot.record.is_waiting or await self._reader.find_message(job_id) is not None

    async def _wake(self, tenant: str) -> None:
        """Publishes the first that has not ended again, unless it is there. Places are the handlers' to give up."""
        place = await self._jetstream.line.first(tenant)
        while place is not None:
            if record := await self._find_unfinished(place.job_id):
                if await self._reader.find_message(place.job_id) is None:
                    await self._publish_again(record)
                return
            place = await self._jetstream.line.first(tenant, after=place.sequence)

    async def _find_unfinished(self, job_id: str) -> JobRecord | None:
        """None also where the bytes are no record: handlers give up its place. Raises LaterRecord, Unanswered."""
        try:
            snapshot = await self._reader.read_record(job_id)
        except LaterRecord:
            raise
        except UnreadableRecord:
            return None
        return None if snapshot is None or snapshot.record.is_finished else snapshot.record

    async def _publish_again(self, record: JobRecord) -> None:
        request = _repeatable_request(record)
        if request is None:
            return
        self._tell("woken", record)
        try:
            await self._submission.publish(record.kind, record.job_id, request, headers_of(record))
        except JobError as error:
            logger.warning("reconciler.failed", extra={"job_id": record.job_id, "error": repr(error)})

    async def _report_oldest(self, lease_seconds: float) -> None:
        """Messages heal at their next delivery; one that stays says that nothing delivers."""
        known, self._reported = self._reported, set()
        sequence = 1
        for _ in range(_OLDEST):
            message = await self._jetstream.read_next(names.JOBS_STREAM, sequence, f"{names.PREFIX}.jobs.>")
            if message is None or self._jetstream.age_of(message) < SILENT_LEASES * lease_seconds:
                return
            sequence = message.sequence + 1
            if finding := await self._judge(names.read_subject(message.subject).job_id):
                mark = (finding, message.sequence)
                self._reported.add(mark)
                if mark not in known:
                    self._count(finding)

    async def _judge(self, job_id: str | None) -> str | None:
        try:
            snapshot = await self._reader.read_record(job_id) if job_id else None
        except UnreadableRecord:
            return None
        if snapshot is None:
            return "message_without_record"
        return "finished_with_message" if snapshot.record.is_finished else None

    def _tell(self, finding: str, record: JobRecord) -> None:
        self._count(finding)
        logger.warning(f"job.{finding}", extra={"job_id": record.job_id, "status": record.status.value})


def _is_later(record: JobRecord) -> bool:
    """Whether a later version wrote it, or knows its kind: then a later gateway heals it."""
    return record.is_later or record.kind not in KINDS


def _repeatable_request(record: JobRecord) -> Request | None:
    """None where the request is not kept, and for a query: nobody waits for it any more."""
    if names.is_query(record.kind) or record.request is None:
        return None
    try:
        return repeat_request(record.kind, record.request)
    except (InvalidRequest, KeyError):
        return None
