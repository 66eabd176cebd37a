"""Jobs that wait for their tenant: parked without a message, so that waiting costs nothing, and woken one by one.

A job is parked in this order: its record says that it waits, it takes a place in the tenant's line, its message is
acknowledged, and then it is looked whether the tenant is still held. The holder's end is saved first, then the next
job's message is published again, and then the holder's message is acknowledged. So one of the two always sees the
other; where a handler dies between its writes, its message comes again, or the reconciler wakes the line.
Many jobs are parked in the same order, each stage for all of them before the next.
A place is given up when its job has ended: until then a job that is woken and finds the tenant taken keeps it.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import orjson

from contracts import names
from contracts.records import TENANT_BUSY, JobRecord, LaterRecord, Status, encode_record, headers_of
from handlers.clock import monotonic, utc_now
from handlers.jetstream import BucketFull, Conflict, Refused, TooLarge, Unanswered
from handlers.jobs.incoming import Incoming
from handlers.jobs.records import Records
from handlers.jobs.runtime import Runtime
from handlers.jobs.tenant_lock import Tenants

logger = logging.getLogger(__name__)

_GATHER_SECONDS = 0.05  # many jobs park at once: one look at their tenant is enough for all of them
_KNOWN_SECONDS = 1.0  # so long a tenant that was found held is taken for held
_PAUSE_SECONDS = 1.0
_TOGETHER_SECONDS = 5.0


class Waiting:
    """The line of each tenant, and what this handler knows of who holds it."""

    def __init__(self, runtime: Runtime, records: Records, tenants: Tenants, in_hand: set[str]) -> None:
        self._runtime = runtime
        self._records = records
        self._tenants = tenants
        self._in_hand = in_hand
        self._held_until: dict[str, float] = {}
        self._looking: set[str] = set()

    def note_held(self, tenant: str) -> None:
        self._held_until[tenant] = monotonic() + _KNOWN_SECONDS

    @property
    def knows_any(self) -> bool:
        return bool(self._held_until)

    def is_known_held(self, tenant: str) -> bool:
        """Whether the tenant was found held a moment ago. It may be free by now: then `look_again` finds out."""
        if self._held_until.get(tenant, 0) > monotonic():
            return True
        self._held_until.pop(tenant, None)
        return False

    async def park(self, tenant: str, record: JobRecord, revision: int) -> bool:
        """Before its message is given up. False when another write of the record came first.

        Raises BucketFull, Unanswered: then it keeps its message.
        """
        if not record.is_waiting:
            body = encode_record(record.waiting(TENANT_BUSY, utc_now()))
            try:
                await self._runtime.jetstream.jobs.write(record.job_id, body, last=revision)
            except Conflict:
                return False
        await self._runtime.jetstream.line.join(tenant, record.job_id)
        return True

    async def park_together(self, records: Mapping[str, Sequence[JobRecord]]) -> bool:
        """The same for new records, by tenant. False where one of them is not new, or nobody knows what came of it."""
        now = utc_now()
        bodies = {
            record.job_id: encode_record(record.waiting(TENANT_BUSY, now)) for new in records.values() for record in new
        }
        places = [(tenant, record.job_id) for tenant, new in records.items() for record in new]
        try:
            await self._runtime.jetstream.jobs.create_together(bodies.items(), _TOGETHER_SECONDS)
            await self._runtime.jetstream.line.join_together(places, _TOGETHER_SECONDS)
        except (Conflict, BucketFull, TooLarge, Unanswered):
            return False
        return True

    async def look_again(self, tenant: str) -> None:
        """After a message was given up: the holder may have ended before the new place could be seen."""
        if tenant in self._looking:
            return  # somebody looks, and has not begun to
        self._looking.add(tenant)
        await asyncio.sleep(_GATHER_SECONDS)
        self._looking.discard(tenant)
        while True:  # once also while it stops: whoever holds the tenant may have seen nobody wait
            try:
                if await self._tenants.find_holder(tenant) is None:
                    await self.wake(tenant)
                else:
                    self.note_held(tenant)
                return
            except Unanswered:
                if self._runtime.stopping.is_set():
                    return
                await asyncio.sleep(_PAUSE_SECONDS)

    async def conclude(self, incoming: Incoming, ended: JobRecord) -> None:
        """The job's end is saved: who waits for its tenant is next, also where an earlier owner had no time for it."""
        if incoming.tenant is not None:
            await self.wake(incoming.tenant)
        await self.give_up(incoming)
        if ended.status is Status.FAILED and not names.is_query(ended.kind):
            await self._publish_reopened(incoming.job_id)

    async def give_up(self, incoming: Incoming) -> None:
        """Its message: what comes from now on is published anew."""
        self._in_hand.discard(incoming.job_id)
        await incoming.delivery.acknowledge()

    async def _publish_reopened(self, job_id: str) -> None:
        """A person who retried before the message was given up could not publish it: it was there already."""
        try:
            record, _ = await self._records.read(job_id)
            if record is not None and record.status is Status.QUEUED and not record.is_waiting:
                await self._publish(record)
        except (LaterRecord, Unanswered) as error:
            logger.warning("job.not_looked_at", extra={"error": repr(error), "next": "the reconciler publishes it"})

    async def first(self, tenant: str) -> JobRecord | None:
        """The first in the tenant's line that has not ended; places before it are given up.

        Raises LaterRecord, Unanswered.
        """
        line = self._runtime.jetstream.line
        while (place := await line.first(tenant)) is not None:
            record, _ = await self._records.read(place.job_id)
            if record is not None and not record.is_finished and record.request is not None:
                return record
            await line.leave(place)
        return None

    async def wake(self, tenant: str) -> None:
        """Publishes the tenant's next job again; it may be there already. Raises Unanswered."""
        self._held_until.pop(tenant, None)
        try:
            record = await self.first(tenant)
        except LaterRecord as error:
            logger.warning("job.not_woken", extra={"error": str(error), "next": "a newer gateway wakes it"})
            return
        if record is not None:
            await self._publish(record)

    async def _publish(self, record: JobRecord) -> None:
        subject, body = names.job_subject(record.kind, record.job_id), orjson.dumps(record.request)
        try:
            await self._runtime.jetstream.publish_job(subject, body, headers_of(record))
        except Refused as error:
            if not error.is_duplicate:
                logger.warning("job.not_woken", extra={"job_id": record.job_id, "next": "the reconciler wakes it"})
            return
        logger.info("job.woken", extra={"woken": record.job_id})
