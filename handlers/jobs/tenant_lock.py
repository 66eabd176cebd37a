"""One tenant, one job at a time: which job works for a user, decided by compare-and-set."""

from contracts import names
from contracts.records import LaterRecord, UnreadableRecord, decode_record
from handlers.jetstream import Conflict
from handlers.jobs.runtime import Store

# How much longer than an ended record its tenant's key is kept: far longer than a job works after it took its tenant.
# Later the key names a job that nobody knows, which is as if there were none: so the bucket forgets who is gone.
_KEPT_BEYOND_SECONDS = 30 * 86_400.0


class Tenants:
    """A holder is live while it is queued or running; finished or unknown, it holds nothing.

    `retention_seconds`: how long the record of an ended job is kept.
    """

    def __init__(self, store: Store, retention_seconds: float) -> None:
        self._store = store
        self._kept_seconds = retention_seconds + _KEPT_BEYOND_SECONDS

    async def take(self, tenant: str, job_id: str) -> str | None:
        """Takes the tenant for the job, or gives the live job that has it. Raises Unanswered, BucketFull.

        Its own value is written again too: whoever decided on an older one then loses the compare-and-set.
        """
        key = names.tenant_key(tenant)
        while True:
            entry = await self._store.tenants.read(key)
            holder = (entry.value or b"").decode(errors="replace")
            if holder and holder != job_id and await self._is_live(holder):
                return holder
            try:
                await self._store.tenants.write(
                    key, job_id.encode(), last=entry.revision, ttl_seconds=self._kept_seconds
                )
            except Conflict:
                continue
            return None

    async def find_holder(self, tenant: str) -> str | None:
        """The live job that has the tenant. Raises Unanswered."""
        entry = await self._store.tenants.read(names.tenant_key(tenant))
        holder = (entry.value or b"").decode(errors="replace")
        return holder if holder and await self._is_live(holder) else None

    async def _is_live(self, job_id: str) -> bool:
        """Queued or running. Asked as a reader asks: record, stream, record.

        One that waits for its tenant itself is live while it has a message; parked, it has none and holds nothing.
        """
        if (live := await self._live_by_record(job_id)) is not None:
            return live
        if await self._has_message(job_id):
            return True
        return bool(await self._live_by_record(job_id))

    async def _live_by_record(self, job_id: str) -> bool | None:
        """None where the stream decides."""
        entry = await self._store.jobs.read(job_id)
        if entry.value is None:
            return None
        try:
            record = decode_record(entry.value)
        except LaterRecord:
            return True  # as long as this version cannot tell
        except UnreadableRecord:
            return None
        return None if record.is_waiting else not record.is_finished

    async def _has_message(self, job_id: str) -> bool:
        """Of any kind: it may have no record yet, which would tell."""
        return await self._store.holds_message(names.JOBS_STREAM, names.job_subjects(names.JOBS_STREAM, job_id))
