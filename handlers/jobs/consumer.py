"""The loop that fetches deliveries and works on each in a task of its own, until it is asked to stop."""

import asyncio
import logging

from handlers.jetstream import NotProvisioned, Source, Unanswered
from handlers.jobs.admission import Admission
from handlers.jobs.slots import Slots

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0


class Consumer:
    """One source, with slots of its own: a short query never waits behind long jobs."""

    def __init__(self, source: Source, admission: Admission, slots: Slots, stopping: asyncio.Event) -> None:
        self._source = source
        self._admission = admission
        self._slots = slots
        self._stopping = stopping
        self._deliveries: set[asyncio.Task[None]] = set()
        self.is_bound = True  # whether the source answered last

    @property
    def is_idle(self) -> bool:
        return not self._deliveries

    async def count_pending(self) -> int:
        return await self._source.count_pending()

    async def run(self) -> None:
        """Works until it is asked to stop, and then until every delivery is dealt with or handed back."""
        while not self._stopping.is_set():
            await self._slots.take()
            if not await self._fetch():
                self._slots.give_back()
        await self._source.hand_back_parked()
        if self._deliveries:
            await asyncio.wait(self._deliveries)

    async def _fetch(self) -> bool:
        """Whether a delivery came and took the slot. A fetch is never cancelled: its message would be parked."""
        try:
            delivery = None if self._stopping.is_set() else await self._source.fetch()
        except (NotProvisioned, Unanswered) as error:
            self.is_bound = False
            logger.warning("fetch.failed", extra={"consumer": self._source.consumer, "error": str(error)})
            await asyncio.sleep(_PAUSE_SECONDS)
            return False
        self.is_bound = True
        if delivery is None:
            return False
        if self._stopping.is_set():
            await delivery.hand_back()
            return False
        task = asyncio.create_task(self._admission.handle(delivery))
        self._deliveries.add(task)
        task.add_done_callback(self._conclude)
        return True

    def _conclude(self, task: "asyncio.Task[None]") -> None:
        self._deliveries.discard(task)
        self._slots.give_back()
        if not task.cancelled() and (error := task.exception()):
            logger.error("delivery.crashed", exc_info=error)
