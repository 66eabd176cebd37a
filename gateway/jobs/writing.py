"""Writing a record from the gateway: what a person or the reconciler decides, never what a handler does."""

import uuid
from dataclasses import replace

import orjson

from contracts import names
from contracts.documents import event_document
from contracts.records import JobRecord, encode_record, fit
from gateway.jetstream import BucketFull, JetStream, Unanswered
from gateway.jobs.job_cache import JobCache
from gateway.jobs.storage import Storage


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
        stream = f"KV_{names.JOBS_BUCKET}"
        try:
            revision = await self._jetstream.write_key(
                names.JOBS_BUCKET, record.job_id, body, last=last, ttl_seconds=ttl_seconds
            )
            self._storage.note_stored(stream)
        except (BucketFull, Unanswered):
            self._storage.note_unstored(stream)
            raise
        finally:
            # The caller's next read must see what was written, also when the answer was lost.
            self._cache.drop(record.job_id)
        await self._jetstream.publish_event(record.job_id, orjson.dumps(event_document(record, revision)))
        return revision
