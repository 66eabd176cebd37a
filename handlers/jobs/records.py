"""The records as a handler reads and writes them while no lease of its own covers them."""

import logging

from contracts.kinds import KINDS
from contracts.records import JobRecord, LaterRecord, UnreadableRecord, decode_record, encode_record, fit
from handlers.jetstream import BucketFull, Conflict, Unanswered
from handlers.jobs.runtime import Bucket, Runtime

logger = logging.getLogger(__name__)


class Records:
    """Every write of the bucket is a compare-and-set over what was read."""

    def __init__(self, runtime: Runtime, bucket: Bucket) -> None:
        self._runtime = runtime
        self.bucket = bucket

    async def read(self, job_id: str) -> tuple[JobRecord | None, int]:
        """The record, None where there is none or its bytes are none of ours (then it is started anew).

        Raises Unanswered, LaterRecord.
        """
        entry = await self.bucket.read(job_id)
        if entry.value is None:
            return None, entry.revision
        try:
            record = decode_record(entry.value)
        except LaterRecord:
            raise
        except UnreadableRecord as error:
            logger.error("record.unreadable", extra={"revision": entry.revision, "error": str(error)})
            return None, entry.revision
        if record.is_later or record.kind not in KINDS:
            raise LaterRecord(f"the record of {job_id} has version {record.version} and kind {record.kind}")
        return record, entry.revision

    async def end(self, record: JobRecord, revision: int) -> None:
        """Writes an end that no owner writes, and tells of it. Raises Conflict, BucketFull, Unanswered."""
        body, retention = encode_record(fit(record)), self.retention_seconds(record.kind)
        revision = await self.bucket.write(record.job_id, body, last=revision, ttl_seconds=retention)
        await self._runtime.publish_transition(record, revision)
        self._runtime.metrics.count_job(record.kind, record.status.value, record.reason or "")

    async def end_unheld(self, record: JobRecord, revision: int) -> None:
        """The same; another write that came first is looked at with the next delivery. Raises Unanswered."""
        try:
            await self.end(record, revision)
        except (Conflict, BucketFull) as error:
            raise Unanswered(repr(error)) from error

    def retention_seconds(self, kind: str) -> float:
        """How long the record of an ended job is kept."""
        known = KINDS.get(kind)
        return (known and known.retention_seconds) or self._runtime.settings.job_retention
