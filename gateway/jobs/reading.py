"""Reading a job: its record in the bucket, else its message in a stream, else its record once more."""

import asyncio

from contracts import names
from contracts.kinds import read_request
from contracts.messages import first_record
from contracts.records import JobRecord, UnreadableRecord, decode_record
from contracts.requests import InvalidRequest, NotJson, raw_hash, request_hash
from gateway.jetstream import JetStream, Message
from gateway.jobs.job_cache import JobCache, Snapshot


class Reader:
    """Reads jobs from the cache while the watch keeps it true, else from NATS."""

    def __init__(self, jetstream: JetStream, cache: JobCache) -> None:
        self._jetstream = jetstream
        self._cache = cache

    async def read(self, job_id: str) -> Snapshot | None:
        """The job as it is now, or None. Raises Unanswered, UnreadableRecord."""
        return self.recall(job_id) or await self.read_through(job_id)

    def recall(self, job_id: str) -> Snapshot | None:
        """The job where it is in the cache, and that is true."""
        return self._cache.find(job_id)

    async def read_through(self, job_id: str) -> Snapshot | None:
        """The same, never from the cache. Raises Unanswered, UnreadableRecord."""
        read = self._cache.begin(job_id)
        snapshot = None
        try:
            # A handler may take the message and write the record between two of these reads, and even finish the
            # job; it never removes a record first. So a job that is in neither place was never accepted.
            snapshot = (
                await self.read_record(job_id) or await self._read_elsewhere(job_id) or await self._read_kept(job_id)
            )
        finally:
            # The watch is on the bucket of jobs alone: an answer would grow old in the cache.
            self._cache.end(read, None if snapshot and names.is_query(snapshot.record.kind) else snapshot)
        return snapshot

    async def _read_kept(self, job_id: str) -> Snapshot | None:
        """What the buckets hold: handlers of 0.1.0 answer queries where jobs are."""
        buckets = (names.JOBS_BUCKET, names.ANSWERS_BUCKET)
        messages = await asyncio.gather(*(self._jetstream.read_key(bucket, job_id) for bucket in buckets))
        return next((record_snapshot(message) for message in messages if message), None)

    async def _read_elsewhere(self, job_id: str) -> Snapshot | None:
        """An answer, or what is queued."""
        answer, queued = await asyncio.gather(
            self._jetstream.read_key(names.ANSWERS_BUCKET, job_id), self._read_queued(job_id)
        )
        return record_snapshot(answer) if answer else queued

    async def read_record(self, job_id: str) -> Snapshot | None:
        """What the bucket of jobs holds. Raises Unanswered, UnreadableRecord."""
        message = await self._jetstream.read_key(names.JOBS_BUCKET, job_id)
        return None if message is None else record_snapshot(message)

    async def find_record(self, job_id: str) -> Snapshot | None:
        """The same; None also where the bytes are no record. Raises Unanswered."""
        try:
            return await self.read_record(job_id)
        except UnreadableRecord:
            return None

    async def find_message(self, job_id: str) -> Message | None:
        """The job's message, in whichever stream holds one. Raises Unanswered."""
        for stream in (names.JOBS_STREAM, names.QUERIES_STREAM):
            if message := await self._jetstream.read_last(stream, names.job_subjects(stream, job_id)):
                return message
        return None

    async def find_last_job(self, tenant: str) -> JobRecord | None:
        """The last job that worked for the tenant, while its record is kept. Raises Unanswered."""
        holder = await self._jetstream.read_key(names.TENANTS_BUCKET, names.tenant_key(tenant))
        snapshot = await self.find_record(holder.body.decode(errors="replace")) if holder else None
        return snapshot.record if snapshot else None

    async def _read_queued(self, job_id: str) -> Snapshot | None:
        message = await self.find_message(job_id)
        return None if message is None else Snapshot(message_record(job_id, message), 0)


def record_snapshot(message: Message) -> Snapshot:
    """Raises UnreadableRecord."""
    return Snapshot(decode_record(message.body), message.sequence, message.expires_at)


def message_record(job_id: str, message: Message) -> JobRecord:
    """The record that a queued message will get, as far as the message tells."""
    kind = names.read_subject(message.subject).kind
    try:
        request = read_request(kind, message.body)
        digest, given = request_hash(kind, request), request.given
    except (NotJson, InvalidRequest, KeyError):
        # It fails at its first delivery, with a record that says why.
        digest, given = raw_hash(message.body), None
    published_at = message.published_at
    return first_record(job_id, kind, message.headers, published_at, published_at, digest, given)
