"""The lease on a bucket in memory whose answers can be lost: what it counts from, and when it gives up."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from contracts.protocol import MARGIN_PART
from contracts.records import JobRecord, Outcome, Progress, Status, StepRecord, decode_record
from handlers.clock import monotonic
from handlers.jetstream import BucketFull, Conflict, Entry, Unanswered
from handlers.jobs.lease import Lease, LeaseLost
from tests.support.eventually import eventually

LEASE_SECONDS = 1.2
NOW = "2026-01-31T12:00:00.000Z"


@dataclass(slots=True)
class Bucket:
    """Compare-and-set of one key. `losing` answers are lost: the write is stored, the writer hears nothing.

    A full one takes only what is no larger than before.
    """

    value: bytes | None = None
    revision: int = 0
    losing: int = 0
    silence_seconds: float = 0.3
    is_full: bool = False
    stored_at: list[float] = field(default_factory=list)

    async def write(self, key: str, value: bytes, *, last: int, ttl_seconds: float | None = None) -> int:
        if last != self.revision:
            raise Conflict(key)
        if self.is_full and len(value) > len(self.value or b""):
            raise BucketFull(key)
        self.value, self.revision = value, self.revision + 1
        self.stored_at.append(monotonic())
        if self.losing:
            self.losing -= 1
            await asyncio.sleep(self.silence_seconds)
            raise Unanswered(key)
        return self.revision

    async def read(self, key: str) -> Entry:
        return Entry(self.value, self.revision)


class Silence:
    """A bucket that never answers."""

    async def write(self, key: str, value: bytes, *, last: int, ttl_seconds: float | None = None) -> int:
        raise Unanswered(key)

    async def read(self, key: str) -> Entry:
        raise Unanswered(key)


@dataclass(slots=True)
class Guard:
    until: list[float] = field(default_factory=list)
    is_ended: bool = False

    def renew(self, lease: str, until: float) -> None:
        self.until.append(until)

    def end(self, lease: str) -> None:
        self.is_ended = True


class Delivery:
    async def extend(self) -> None:
        """Nothing is delivered here."""


def open_lease(bucket: Any, guard: Guard) -> Lease:
    delivery: Any = Delivery()
    return Lease(bucket, delivery, guard, LEASE_SECONDS, asyncio.Event())


def claimed(lease: Lease) -> JobRecord:
    return JobRecord("j", "bootstrap", "nats", "h", NOW, NOW).claimed(lease.owner, NOW)


@pytest.mark.parametrize("claims_unanswered", [True, False])
async def test_a_write_whose_answer_was_lost_counts_from_before_it_was_sent(claims_unanswered: bool) -> None:
    """Who watches the record counts from the moment at which that write was stored: the owner must end before."""
    bucket, guard = Bucket(), Guard()
    lease = open_lease(bucket, guard)
    bucket.losing = claims_unanswered
    await lease.claim(claimed(lease), 0)
    bucket.losing = 1
    await lease.save(lease.record.started("create_account", NOW))
    taken_over_at = bucket.stored_at[-1] + LEASE_SECONDS
    assert max(guard.until) <= taken_over_at - LEASE_SECONDS * MARGIN_PART
    assert lease.revision == bucket.revision
    assert decode_record(bucket.value or b"") == lease.record


async def test_the_end_of_a_job_is_written_once_also_when_its_answer_is_lost() -> None:
    bucket, guard = Bucket(), Guard()
    lease = open_lease(bucket, guard)
    await lease.claim(claimed(lease), 0)
    bucket.losing = 1
    writes = len(bucket.stored_at)
    await lease.save(lease.record.succeeded("done", NOW))
    assert len(bucket.stored_at) == writes + 1


async def test_silence_ends_the_lease_before_others_may_take_over() -> None:
    bucket, guard = Bucket(), Guard()
    lease = open_lease(bucket, guard)
    await lease.claim(claimed(lease), 0)
    claimed_at = bucket.stored_at[-1]
    lease._bucket = Silence()
    with pytest.raises(LeaseLost):
        await lease.save(lease.record.started("create_account", NOW))
    assert guard.is_ended
    assert monotonic() < claimed_at + LEASE_SECONDS


async def test_a_full_bucket_takes_a_renewal_without_what_a_step_is_at() -> None:
    """Rather that than what an earlier step has said: that is told once, and in the record alone."""
    bucket = Bucket()
    lease = open_lease(bucket, Guard())
    long = StepRecord("create_account", NOW, NOW, Outcome.CREATED, stdout="x" * 20_000)
    record = await lease.claim(claimed(lease), 0)
    await lease.save(record.finished(long, NOW).started("add_namespace", NOW))
    bucket.is_full, before = True, bucket.revision
    lease.progress = Progress("everestctl namespaces add", NOW, "y" * 2_000)
    async with lease.kept():
        await eventually(lambda: bucket.revision > before, "it is renewed")
    stored = decode_record(bucket.value or b"")
    assert (len(stored.steps[0].stdout), stored.steps[1].progress) == (20_000, None)


async def test_a_query_whose_answer_finds_no_room_has_failed() -> None:
    """A success without an answer would be taken for an empty one."""
    bucket = Bucket()
    lease = open_lease(bucket, Guard())
    record = await lease.claim(JobRecord("q", "accounts-list", "admin", "h", NOW, NOW).claimed(lease.owner, NOW), 0)
    bucket.is_full = True
    saved = await lease.save(record.succeeded("listed", NOW, [{"user": "x" * 20_000}]))
    assert (saved.status, saved.reason, saved.data) == (Status.FAILED, "result_too_large", None)
    assert (saved.summary, saved.error and saved.error.message) == ("The bucket of answers is full.",) * 2
    assert decode_record(bucket.value or b"") == saved
