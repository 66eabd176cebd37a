"""Submitting a job: what a stream refuses, and what stands in the bucket by then."""

import pytest

from contracts.records import UnreadableRecord
from contracts.requests import BootstrapRequest
from gateway.jetstream import JetStream, Message, Refused
from gateway.jobs.job_cache import JobCache
from gateway.jobs.reading import Reader
from gateway.jobs.storage import Storage
from gateway.jobs.submission import Submission

ALICE = BootstrapRequest(username="alice")


class Full(JetStream):
    """NATS, where a message of the job is queued and somebody has written over its record."""

    def __init__(self) -> None:
        pass

    async def publish(self, subject: str, body: bytes, headers: dict[str, str], *, timeout: float) -> int:
        raise Refused("maximum messages per subject exceeded")

    async def read_key(self, bucket: str, key: str) -> Message | None:
        return Message("", b"\xff", {}, 1, "")


def submission_to(jetstream: JetStream) -> Submission:
    reader = Reader(jetstream, JobCache(lambda: 0.0, lambda: None, lambda: False))
    return Submission(jetstream, reader, Storage(lambda: 0.0, lambda: 0, lambda _: None), lambda: 0.0)


async def test_a_record_that_nobody_can_read_is_told_to_who_submits_and_ends_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Batches are published by a task of the gateway's own: with that it would end, and start, and end again."""
    submission = submission_to(Full())
    with pytest.raises(UnreadableRecord):
        await submission.publish("bootstrap", "order-42", ALICE, {})
    await submission.publish_recorded("bootstrap", "order-42", ALICE, {})
    assert [record.getMessage() for record in caplog.records] == ["job.unpublished"]
