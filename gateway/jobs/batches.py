"""Batches: up to a thousand jobs that one call submits, all of them or none.

What is stored first are the records, in one atomic batch: that is the commit. The messages follow, and the reconciler
publishes what is cut off in between, as after a retry. So the stream of jobs, which publishers reach, takes no batches:
whoever may stage one may hold others'.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from contracts import names
from contracts.batches import list_places, read_place
from contracts.records import JobRecord, Status, UnreadableRecord, encode_alike, headers_of
from contracts.requests import Request, request_hash
from gateway.jetstream import BucketFull, Conflict, JetStream, NotProvisioned, NotSent, TooLarge, Unanswered
from gateway.jobs.errors import (
    BatchNotFound,
    JobFinished,
    JobIdTaken,
    JobNotFinished,
    JobNotFound,
    NotAccepted,
    OutcomeUnknown,
    QueueFull,
    RequestTooLarge,
)
from gateway.jobs.interventions import Interventions
from gateway.jobs.reading import Reader
from gateway.jobs.storage import Storage
from gateway.jobs.submission import PAUSE_SECONDS, Origin, Submission, refuse_other_request
from gateway.jobs.waiting import Left, Waiting

SUBMIT_SECONDS = 15.0  # in all
_ATTEMPT_SECONDS = 6.0
_LANES = 32  # jobs of a batch that are read, changed or published at a time
_UNPUBLISHED = 8  # batches; whoever submits more waits for their messages
_Item = TypeVar("_Item")
_Made = TypeVar("_Made")
_STREAM = names.bucket_stream(names.JOBS_BUCKET)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch with those of its jobs whose records are kept, in order."""

    batch_id: str
    jobs: tuple[JobRecord, ...]

    @property
    def is_finished(self) -> bool:
        return all(job.is_finished for job in self.jobs)

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(job.status.value for job in self.jobs)
        return {status.value: found[status.value] for status in Status}


@dataclass(frozen=True, slots=True)
class Part:
    """One job that a call submits."""

    job_id: str
    place: str
    request: Request


@dataclass(frozen=True, slots=True)
class Bulk:
    """What one call submits. The record of each part is `record` with what the part has of its own."""

    batch_id: str
    parts: Sequence[Part]
    record: JobRecord

    def encode_records(self) -> Iterator[tuple[str, bytes]]:
        """Job ids and records, each made when it is asked for."""
        own = (
            {
                "job_id": part.job_id,
                "request_hash": request_hash(self.record.kind, part.request),
                "request": part.request.given,
                "batch": part.place,
            }
            for part in self.parts
        )
        return zip((part.job_id for part in self.parts), encode_alike(self.record, own), strict=True)


class Batches:
    """`clock` counts seconds and never goes back, `now` gives the moment as RFC 3339 in UTC."""

    def __init__(
        self,
        jetstream: JetStream,
        reader: Reader,
        storage: Storage,
        submission: Submission,
        waiting: Waiting,
        interventions: Interventions,
        *,
        clock: Callable[[], float],
        now: Callable[[], str],
    ) -> None:
        self._jetstream = jetstream
        self._reader = reader
        self._storage = storage
        self._submission = submission
        self._waiting = waiting
        self._interventions = interventions
        self._clock = clock
        self._now = now
        self._unpublished: asyncio.Queue[Bulk] = asyncio.Queue(_UNPUBLISHED)

    async def run(self) -> None:
        """Publishes the jobs of batches that were accepted, until cancelled."""
        while True:
            bulk = await self._unpublished.get()
            await _each(partial(self._publish, bulk.record), bulk.parts)

    async def submit(self, kind: str, requests: Sequence[Request], origin: Origin, key: str | None) -> Bulk:
        """What is submitted, which is durably accepted (or known already, for a key that was used).

        Raises QueueFull, RequestTooLarge, NotProvisioned, NotAccepted, OutcomeUnknown, and JobIdTaken for a key that
        was used for other requests.
        """
        batch_id = str(uuid.uuid4()) if key is None else names.idempotent_batch_id(origin.caller, key)
        now = self._now()
        places = list_places(batch_id, len(requests))
        parts = [Part(place.job_id, str(place), request) for place, request in zip(places, requests, strict=True)]
        record = JobRecord(
            parts[0].job_id,
            kind,
            origin.caller,
            "",
            now,
            now,
            request_id=origin.request_id,
            traceparent=origin.traceparent,
            bound=origin.is_bound,
        )
        bulk = Bulk(batch_id, parts, record)
        if await self._store(bulk):
            await self._unpublished.put(bulk)
        return bulk

    async def read(self, batch_id: str) -> Batch:
        """Raises BatchNotFound, Unanswered."""
        if not names.is_batch_id(batch_id):
            raise BatchNotFound
        first, *others = [place.job_id for place in list_places(batch_id)]
        known = await self._read_job(first)
        place = read_place(known.batch) if known and known.batch else None
        # Where the first record is gone, any other may be left.
        rest = await _each(self._read_job, others[: place.count - 1] if place else others)
        jobs = tuple(record for record in (known, *rest) if record is not None)
        if not jobs:
            raise BatchNotFound
        return Batch(batch_id, jobs)

    async def wait(self, batch_id: str, seconds: float, left: Left | None = None) -> Batch:
        """The batch when all of its jobs have ended, or when the time is over or the caller has left.

        Raises BatchNotFound, Unanswered.
        """
        deadline = self._clock() + seconds
        batch = await self.read(batch_id)
        for job in batch.jobs:
            if not job.is_finished and (remaining := deadline - self._clock()) > 0:
                with suppress(UnreadableRecord):
                    await self._waiting.wait_until_finished(job.job_id, remaining, left)
        return await self.read(batch_id) if seconds > 0 and not batch.is_finished else batch

    async def cancel(self, batch_id: str, origin: Origin, allow: Callable[[JobRecord], None]) -> int:
        """Cancels what has not ended; gives how many jobs that are. `allow` raises for what the caller may not touch.

        Raises as `Interventions.cancel` does, and BatchNotFound; what is done by then stays done.
        """

        async def cancel(job_id: str) -> bool:
            with suppress(JobFinished, JobNotFound):
                await self._interventions.cancel(job_id, origin, allow)
                return True
            return False

        return await self._change(batch_id, cancel, allow, lambda job: not job.is_finished)

    async def retry(
        self, batch_id: str, origin: Origin, allow: Callable[[JobRecord], None], *, from_start: bool
    ) -> int:
        """Reopens what has failed; gives how many jobs that are.

        Raises as `Interventions.retry` does, and BatchNotFound; what is done by then stays done.
        """

        async def retry(job_id: str) -> bool:
            with suppress(JobFinished, JobNotFinished, JobNotFound):
                await self._interventions.retry(job_id, origin, allow, from_start=from_start)
                return True
            return False

        return await self._change(batch_id, retry, allow, lambda job: job.status is Status.FAILED)

    async def _change(
        self,
        batch_id: str,
        change: Callable[[str], Awaitable[bool]],
        allow: Callable[[JobRecord], None],
        is_meant: Callable[[JobRecord], bool],
    ) -> int:
        batch = await self.read(batch_id)
        for job in batch.jobs:
            allow(job)  # all of them before the first is touched
        return sum(await _each(change, [job.job_id for job in batch.jobs if is_meant(job)]))

    async def _store(self, bulk: Bulk) -> bool:
        """Whether the jobs are to be published: they were stored now, or may have been by a try before.

        Raises as `submit` does.
        """
        deadline = self._clock() + SUBMIT_SECONDS
        may_be_stored = False
        while (left := deadline - self._clock()) > PAUSE_SECONDS:
            try:
                await self._jetstream.create_keys(
                    names.JOBS_BUCKET, bulk.encode_records(), timeout=min(left, _ATTEMPT_SECONDS)
                )
                self._storage.note_stored(_STREAM)
                return True
            except Conflict:
                if await self._are_known(bulk):
                    return may_be_stored
                await asyncio.sleep(PAUSE_SECONDS)  # what stands there cannot be read now
            except TooLarge:
                raise RequestTooLarge("A request does not fit a message.") from None
            except BucketFull:
                self._storage.note_unstored(_STREAM)
                raise QueueFull("The bucket is full.") from None
            except NotProvisioned:
                raise
            except NotSent:
                await asyncio.sleep(PAUSE_SECONDS)  # a reconnection takes a moment
            except Unanswered:
                may_be_stored = True
        if may_be_stored:
            self._storage.note_unstored(_STREAM)
            detail = "NATS did not answer in time; all was accepted or nothing, and the first job tells which."
            raise OutcomeUnknown(detail, job_id=bulk.parts[0].job_id)
        raise NotAccepted("NATS could not be reached; nothing was accepted.")

    async def _are_known(self, bulk: Bulk) -> bool:
        """Whether the bucket holds this very batch. Records of jobs that ended long ago are gone. Raises JobIdTaken."""
        try:
            kept = await _each(self._read_job, [part.job_id for part in bulk.parts])
        except Unanswered:
            return False
        for part, known in zip(bulk.parts, kept, strict=True):
            if known is None:
                continue
            refuse_other_request(known, bulk.record.kind, part.request)
            if known.batch not in (part.place, None):  # None: a handler of 0.1.0 had it
                raise JobIdTaken(job_id=part.job_id)
        return any(kept)

    async def _read_job(self, job_id: str) -> JobRecord | None:
        snapshot = await self._reader.find_record(job_id)
        return snapshot.record if snapshot else None

    async def _publish(self, record: JobRecord, part: Part) -> None:
        headers = headers_of(record) | {names.HEADER_BATCH: part.place}
        await self._submission.publish_recorded(record.kind, part.job_id, part.request, headers)


async def _each(do: Callable[[_Item], Awaitable[_Made]], items: Sequence[_Item]) -> list[_Made]:
    """What comes of each, so many at a time; the first error ends it."""
    made: list[_Made] = []
    for start in range(0, len(items), _LANES):
        made += await asyncio.gather(*map(do, items[start : start + _LANES]))
    return made
