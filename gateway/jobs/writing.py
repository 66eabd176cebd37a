"""Writing a record from the gateway: what a person or the reconciler decides, never what a handler does."""

import logging
import uuid
from dataclasses import replace

from contracts import names
from contracts.records import JobRecord, encode_record, fit
from gateway.jetstream import BucketFull, JetStream, Unanswered
from gateway.jobs.job_cache import JobCache
from gateway.jobs.storage import Storage

logger = logging.getLogger(__name__)


class Writer:
    """`retention_seconds` is how long a record that ends here is kept."""

    def __init__(self, jetstream: JetStream, cache: JobCache, storage: Storage, retention_seconds: float) -> None:
        self._jetstream = jetstream
        self._cache = cache
        self._storage = storage
        self._retention_seconds = retention_seconds

    async def save(self, record: JobRecord, *, last: int) -> int:
        """Saves if `last` is still the record's revision (0: there is none), and tells of it. Gives the new revision.

        Raises Conflict, BucketFull, TooLarge, Unanswered.
        """
        body = encode_record(fit(replace(record, write=str(uuid.uuid4()))))
        ttl_seconds = self._retention_seconds if record.is_finished else None
        headers = {names.HEADER_ENDED_BY: "gateway"} if record.is_finished else None
        stream = names.bucket_stream(names.JOBS_BUCKET)
        try:
            revision = await self._jetstream.write_key(
                names.JOBS_BUCKET, record.job_id, body, last=last, ttl_seconds=ttl_seconds, headers=headers
            )
            self._storage.note_stored(stream)
        except (BucketFull, Unanswered):
            self._storage.note_unstored(stream)
            raise
        finally:
            # The caller's next read must see what was written, also when the answer was lost.
            self._cache.drop(record.job_id)
        await self._tell(record, revision)
        return revision

    async def _tell(self, record: JobRecord, revision: int) -> None:
        """An end that cannot be told now, or by a gateway that dies here, is told by the reconciler."""
        if names.is_query(record.kind):
            return
        if not record.is_finished:
            await self._jetstream.events.tell(record, revision)
            return
        try:
            await self._jetstream.events.tell_end(record, revision)
        except Unanswered as error:
            reason = {"job_id": record.job_id, "error": str(error)}
            logger.warning("event.unsent", extra={**reason, "next": "the reconciler tells of it"})
