"""What a person does to a job: cancel it, or retry it."""

import logging
from collections.abc import Callable

from contracts import names
from contracts.cancels import CancelMark, encode_cancel
from contracts.kinds import repeat_request
from contracts.protocol import Answer, Event, Write, look_up
from contracts.records import JobRecord, Status
from contracts.requests import InvalidRequest, Request
from gateway.jetstream import Conflict, JetStream, Refused
from gateway.jobs.errors import JobBusy, JobFinished, JobNotFinished, JobNotFound, QueueFull
from gateway.jobs.job_cache import Snapshot
from gateway.jobs.reading import Reader
from gateway.jobs.submission import Origin, Submission
from gateway.jobs.writing import Writer

logger = logging.getLogger(__name__)

# A job that changes this often while somebody decides about it is busy; the person may ask again.
_TRIES = 8


class Interventions:
    """`now` gives the moment as RFC 3339 in UTC."""

    def __init__(
        self,
        jetstream: JetStream,
        reader: Reader,
        writer: Writer,
        submission: Submission,
        now: Callable[[], str],
    ) -> None:
        self._jetstream = jetstream
        self._reader = reader
        self._writer = writer
        self._submission = submission
        self._now = now

    async def cancel(self, job_id: str, origin: Origin, allow: Callable[[JobRecord], None]) -> bool:
        """True when the job has ended by it, False when its handler will end it at the next safe point.

        `allow` raises for a job that the caller may not touch.

        Raises JobNotFound, JobFinished, JobBusy, QueueFull, UnreadableRecord, Unanswered.
        """
        for _ in range(_TRIES):
            snapshot = await self._read(job_id)
            allow(snapshot.record)
            row = look_up(_stored(snapshot), Event.CANCEL)
            if row.answer is Answer.REFUSED:
                raise _finished(snapshot.record, "The job has ended; there is nothing to cancel.")
            try:
                if row.write is Write.CANCEL_MARK:
                    await self._mark(snapshot.record, origin)
                    return False
                await self._writer.save(self._cancelled(snapshot.record, origin), last=snapshot.revision)
            except Conflict:
                continue
            except Refused:
                raise QueueFull("The bucket is full.") from None
            logger.info("job.cancelled", extra={"job_id": job_id})
            return True
        raise JobBusy("The job changed each time it was looked at; try again.", job_id=job_id)

    async def retry(self, job_id: str, origin: Origin, allow: Callable[[JobRecord], None], *, from_start: bool) -> None:
        """Reopens a failed job, then publishes it again; the reconciler publishes what is cut off in between.

        Raises JobNotFound, JobNotFinished, JobFinished, JobBusy, QueueFull, UnreadableRecord, Unanswered.
        """
        for _ in range(_TRIES):
            snapshot = await self._read(job_id)
            allow(snapshot.record)
            record, request = snapshot.record, _repeatable_request(snapshot)
            # Whoever ended it may have died before it was told: once it is reopened nobody could tell of it.
            await self._jetstream.events.tell_end_once(record, snapshot.revision)
            try:
                reopened = record.reopened(
                    self._now(), from_start=from_start, by=origin.caller, request_id=origin.request_id
                )
                await self._writer.save(reopened, last=snapshot.revision)
            except Conflict:
                continue
            except Refused:
                raise QueueFull("The bucket is full.") from None
            logger.info("job.reopened", extra={"job_id": job_id, "from_start": from_start})
            headers = origin.headers | {names.HEADER_CALLER: record.caller}
            await self._submission.publish_recorded(record.kind, job_id, request, headers)
            return
        raise JobBusy("The job changed each time it was looked at; try again.", job_id=job_id)

    async def _read(self, job_id: str) -> Snapshot:
        snapshot = await self._reader.read_through(job_id)
        if snapshot is None:
            raise JobNotFound
        return snapshot

    def _cancelled(self, record: JobRecord, origin: Origin) -> JobRecord:
        when = "before it began" if record.started_at is None else "between two steps"
        now = self._now()
        message = f"Cancelled by {origin.caller} {when}."
        return record.cancelled(origin.caller, now, now, message, request_id=origin.request_id)

    async def _mark(self, record: JobRecord, origin: Origin) -> None:
        mark = CancelMark(origin.caller, self._now(), record.run, origin.request_id)
        await self._jetstream.write_key(names.CANCELS_BUCKET, record.job_id, encode_cancel(mark))
        logger.info("job.cancel_requested", extra={"job_id": record.job_id})


def _stored(snapshot: Snapshot) -> JobRecord | None:
    return snapshot.record if snapshot.revision else None


def _repeatable_request(snapshot: Snapshot) -> Request:
    """The request to run again. Raises JobNotFinished, JobFinished for a job that cannot be retried."""
    record = snapshot.record
    if look_up(_stored(snapshot), Event.RETRY).answer is Answer.REFUSED:
        raise JobNotFinished(
            f"The job is {record.status.value}; only a failed one can be retried.",
            job_id=record.job_id,
            status=record.status,
        )
    if record.status is not Status.FAILED:
        raise _finished(record, "The job has succeeded; only a failed one can be retried.")
    if names.is_query(record.kind):
        raise _finished(record, "A query is not retried; ask again.")
    try:
        return repeat_request(record.kind, record.request)
    except (InvalidRequest, KeyError):
        raise _finished(record, "The job's request is not valid, so it would fail again; submit a new job.") from None


def _finished(record: JobRecord, detail: str) -> JobFinished:
    return JobFinished(detail, job_id=record.job_id, status=record.status)
