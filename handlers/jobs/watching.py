"""Watching a record that another handler holds: it is taken over only when it stands still for a full lease."""

import asyncio

from contracts.protocol import RENEWAL_PART
from handlers.clock import monotonic
from handlers.jetstream import Unanswered
from handlers.jobs.incoming import Delivery
from handlers.jobs.runtime import Bucket, Runtime
from handlers.jobs.slots import Slots

_PAUSE_PART = 1 / 24  # of a lease: how often a watched record is read


class Watch:
    """One watch of one record, on this handler's own clock."""

    def __init__(
        self, runtime: Runtime, bucket: Bucket, slots: Slots, delivery: Delivery, job_id: str, lease_seconds: float
    ) -> None:
        self._runtime = runtime
        self._bucket = bucket
        self._slots = slots
        self._delivery = delivery
        self._job_id = job_id
        self._lease_seconds = lease_seconds
        self._extend_at = float("-inf")

    async def stands_still(self, revision: int) -> bool:
        """True when nobody wrote the record for a full lease. Meanwhile others use the slot.

        A handler that is to stop hands the delivery back, and does not know.
        """
        async with self._slots.lent():
            ends_at = monotonic() + self._lease_seconds
            while (left := ends_at - monotonic()) > 0:
                if self._runtime.stopping.is_set():
                    await self._delivery.hand_back()
                    return False
                await self._extend()
                await asyncio.sleep(min(left, self._lease_seconds * _PAUSE_PART))
                try:
                    entry = await self._bucket.read(self._job_id)
                except Unanswered:
                    ends_at = monotonic() + self._lease_seconds  # silence of NATS is no silence of the owner
                    continue
                if entry.revision != revision:
                    return False
        return True

    async def _extend(self) -> None:
        """At the pace of this handler's own consumer, whatever the watched lease is."""
        if monotonic() >= self._extend_at:
            await self._delivery.extend()
            self._extend_at = monotonic() + self._runtime.lease_seconds * RENEWAL_PART
