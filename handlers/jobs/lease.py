"""The lease: the right to write a job's record and to run its commands, as long as it is renewed.

It is lost by a lost compare-and-set, or when lease - margin has passed on this machine's monotonic clock without a
successful write, counted from before the write was sent. Then the guard ends the job's commands, and nothing more is
written or answered: another handler may own the job by now.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

from contracts.protocol import MARGIN_PART, RENEWAL_PART
from contracts.records import (
    JobRecord,
    Progress,
    UnreadableRecord,
    decode_record,
    encode_record,
    fit,
    without_answer,
    without_outputs,
)
from handlers.clock import monotonic
from handlers.jetstream import BucketFull, Conflict, Unanswered
from handlers.jobs.incoming import Delivery
from handlers.jobs.runtime import Bucket

logger = logging.getLogger(__name__)

_UNANSWERED_PAUSE_SECONDS = 0.25
# So long a stopping handler goes on asking a NATS that does not answer: its grace is nearly over.
_HAND_BACK_SECONDS = 5.0
# A full bucket takes only what is no larger than before: blanks keep room for the end from the claim on. Less than the
# 8 KB of 0.1.0, whose revision had fewer digits in the header: what it has claimed must still be taken over.
_RESERVED_BYTES = 8 * 1024 - 32


class LeaseLost(Exception):
    """Another handler may own the job: stop, write nothing, answer nothing."""


class Guard(Protocol):
    """What ends a lease's commands when nobody renews it."""

    def renew(self, lease: str, until: float) -> None: ...

    def end(self, lease: str) -> None: ...


class Lease:
    """Held from `claim` until the record is finished, handed back, or the lease is lost."""

    def __init__(
        self, bucket: Bucket, delivery: Delivery, guard: Guard, seconds: float, stopping: asyncio.Event
    ) -> None:
        self._bucket = bucket
        self._delivery = delivery
        self._guard = guard
        self._stopping = stopping
        self._term_seconds = seconds * (1 - MARGIN_PART)
        self._renewal_seconds = seconds * RENEWAL_PART
        self._extended_at = float("-inf")
        self._writing = asyncio.Lock()
        self._revision = 0
        self._deadline = float("inf")  # until the claim is written
        self._record: JobRecord | None = None
        self.progress: Progress | None = None  # of the step that runs: a renewal carries it
        self.owner = str(uuid.uuid4())
        self.lost = asyncio.Event()

    @property
    def record(self) -> JobRecord:
        assert self._record is not None, "claim comes first"
        return self._record

    @property
    def revision(self) -> int:
        return self._revision

    async def claim(self, record: JobRecord, revision: int) -> JobRecord:
        """Writes the claimed record over `revision`. Raises LeaseLost when another handler was faster, BucketFull."""
        self._revision = revision
        self._deadline = monotonic() + self._term_seconds
        return await self.save(record)

    async def save(self, record: JobRecord, *, ttl_seconds: float | None = None) -> JobRecord:
        """Writes the record and renews the lease. Raises LeaseLost; BucketFull only where the claim does not fit.

        Raises TooLarge for what no bucket of this size will ever take: nothing was written, and the lease still stands.
        """
        async with self._writing:
            return await self._save(record, ttl_seconds)

    async def _save(self, record: JobRecord, ttl_seconds: float | None) -> JobRecord:
        record = fit(replace(record, write=str(uuid.uuid4())))
        unanswered = False
        while not self.lost.is_set():
            asked_at = monotonic()
            if asked_at >= self._deadline:
                break
            try:
                revision = await self._bucket.write(
                    record.job_id, _encode_with_room(record), last=self._revision, ttl_seconds=ttl_seconds
                )
            except Conflict:
                adopted = await self._find_own_write(record) if unanswered else None
                if adopted is None:
                    break
                if record.owner is not None:
                    # When it arrived is not known, and others watch the record since then: only a new write renews.
                    self._revision, unanswered = adopted, False
                    record = replace(record, write=str(uuid.uuid4()))
                    continue
                revision = adopted
            except Unanswered:
                unanswered = True
                await self._pause()
                continue
            except BucketFull:
                if self._record is None:
                    raise
                record = await self._shrink(record)
                continue
            if self._record is None or record.owner is not None:
                self._deadline = asked_at + self._term_seconds
            self._record, self._revision = record, revision
            if record.owner is not None:
                self._guard.renew(self.owner, self._deadline)
                await self._extend(asked_at)
            return record
        self.give_up()
        raise LeaseLost(record.job_id)

    async def _extend(self, now: float) -> None:
        """Holds the next delivery back, for half a lease. Not at each of many saves: every quarter of one is enough."""
        if now - self._extended_at >= self._renewal_seconds / 2:
            self._extended_at = now
            await self._delivery.extend()

    async def _find_own_write(self, record: JobRecord) -> int | None:
        """The revision of an unanswered write that did arrive; None when the record is another's."""
        while monotonic() < self._deadline:
            try:
                entry = await self._bucket.read(record.job_id)
                found = decode_record(entry.value or b"")
            except Unanswered:
                await self._pause()
                continue
            except UnreadableRecord:
                return None
            return entry.revision if found.write == record.write else None
        return None

    async def _pause(self) -> None:
        """Before NATS is asked again: until the lease ends, or soon where the handler is to stop."""
        if self._stopping.is_set():
            self._deadline = min(self._deadline, monotonic() + _HAND_BACK_SECONDS)
        await asyncio.sleep(_UNANSWERED_PAUSE_SECONDS)

    async def _shrink(self, record: JobRecord) -> JobRecord:
        """A full bucket still takes what is no larger than before: without what a step is at, which is told all the
        same; then without outputs; then again after a pause. A query has failed that cannot answer.
        """
        if (settled := record.without_progress()) != record:
            return settled
        if record.data is not None:
            return without_answer(record, "The bucket of answers is full.")
        small = without_outputs(record)
        if len(encode_record(small)) >= len(encode_record(record)):
            logger.warning("bucket.full")
            await asyncio.sleep(_UNANSWERED_PAUSE_SECONDS)
        return small

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renews it beside the work, and gives it up with the end of that."""
        keeper = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            self.give_up()
            keeper.cancel()
            await asyncio.wait({keeper})

    async def _keep(self) -> None:
        while not self.lost.is_set():
            await asyncio.sleep(self._renewal_seconds)
            async with self._writing:
                if self.record.owner is None:
                    return
                try:
                    await self._save(self.record.seen_at(self.progress), None)
                except LeaseLost:
                    return

    def check(self) -> None:
        """Raises LeaseLost when the lease has passed: asked before each side effect."""
        if self.lost.is_set() or monotonic() >= self._deadline:
            self.give_up()
            raise LeaseLost(self.record.job_id)

    def give_up(self) -> None:
        """Ends the lease's commands. Also called at the good end, when none runs."""
        self.lost.set()
        self._guard.end(self.owner)


def _encode_with_room(record: JobRecord) -> bytes:
    body = encode_record(record)
    return body if record.is_finished else body.ljust(_RESERVED_BYTES)
