"""One tenant, one job at a time: which job works for a user, decided by compare-and-set."""

from contracts import names
from contracts.records import LaterRecord, UnreadableRecord, decode_record
from handlers.jetstream import Conflict
from handlers.jobs.workshop import Store


class Tenants:
    """A holder is live while it is queued or running; finished or unknown, it holds nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, username: str, job_id: str) -> str | None:
        """Takes the tenant for the job, or gives the live job that has it. Raises Unanswered, BucketFull.

        Its own value is written again too: whoever decided on an older one then loses the compare-and-set.
        """
        key = names.tenant_key(username)
        while True:
            entry = await self._store.tenants.read(key)
            holder = (entry.value or b"").decode(errors="replace")
            if holder and holder != job_id and await self._is_live(holder):
                return holder
            try:
                await self._store.tenants.write(key, job_id.encode(), last=entry.revision)
            except Conflict:
                continue
            return None

    async def _is_live(self, job_id: str) -> bool:
        """Queued or running. Asked as a reader asks: record, stream, record."""
        if (live := await self._live_by_record(job_id)) is not None:
            return live
        for kind in names.JOB_KINDS:
            if await self._store.holds_message(names.JOBS_STREAM, names.job_subject(kind, job_id)):
                return True  # it may have no record yet
        return bool(await self._live_by_record(job_id))

    async def _live_by_record(self, job_id: str) -> bool | None:
        entry = await self._store.jobs.read(job_id)
        if entry.value is None:
            return None
        try:
            return not decode_record(entry.value).is_finished
        except LaterRecord:
            return True  # as long as this version cannot tell
        except UnreadableRecord:
            return None  # what the stream says counts
