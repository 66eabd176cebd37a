"""One tenant, one job at a time: which job works for a user, decided by compare-and-set."""

from collections.abc import Awaitable, Callable

from contracts.records import UnreadableRecord, decode_record
from handlers.jetstream import Conflict
from handlers.jobs.workshop import Bucket


class Tenants:
    """`is_queued` tells whether the stream still holds a job's message: such a job may have no record yet."""

    def __init__(self, tenants: Bucket, jobs: Bucket, is_queued: Callable[[str], Awaitable[bool]]) -> None:
        self._tenants = tenants
        self._jobs = jobs
        self._is_queued = is_queued

    async def take(self, username: str, job_id: str) -> str | None:
        """Takes the tenant for the job, or gives the live job that has it. Raises Unanswered, BucketFull.

        Its own value is written again too: whoever decided on an older one then loses the compare-and-set.
        """
        while True:
            entry = await self._tenants.read(username)
            holder = (entry.value or b"").decode(errors="replace")
            if holder and holder != job_id and await self._is_live(holder):
                return holder
            try:
                await self._tenants.write(username, job_id.encode(), last=entry.revision)
            except Conflict:
                continue
            return None

    async def _is_live(self, job_id: str) -> bool:
        """Queued or running. Asked as a reader asks: record, stream, record."""
        if (live := await self._live_by_record(job_id)) is not None:
            return live
        if await self._is_queued(job_id):
            return True
        return bool(await self._live_by_record(job_id))

    async def _live_by_record(self, job_id: str) -> bool | None:
        entry = await self._jobs.read(job_id)
        if entry.value is None:
            return None
        try:
            return not decode_record(entry.value).is_finished
        except UnreadableRecord:
            return None  # what the stream says counts
