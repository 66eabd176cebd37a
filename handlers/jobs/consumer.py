"""The loop that fetches deliveries and works on each in a task of its own, until it is asked to stop."""

import asyncio
import logging
from typing import Protocol

from handlers.jetstream import NotProvisioned, Unanswered
from handlers.jobs.admission import Admission
from handlers.jobs.claim import Claims
from handlers.jobs.incoming import Delivery
from handlers.jobs.plan import MakePlan
from handlers.jobs.records import Records
from handlers.jobs.refusal import Refusal
from handlers.jobs.slots import Slots
from handlers.jobs.tenant_lock import Tenants
from handlers.jobs.waiting import Waiting
from handlers.jobs.workshop import Workshop

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0


class Source(Protocol):
    """Where deliveries come from."""

    @property
    def consumer(self) -> str: ...

    async def fetch(self) -> Delivery | None:
        """The next delivery, None when none came for a while. Raises NotProvisioned, Unanswered."""
        ...

    async def count_pending(self) -> int:
        """Raises Unanswered."""
        ...

    async def hand_back_parked(self) -> None: ...


def open_consumer(shop: Workshop, source: Source, make_plan: MakePlan, slots: Slots) -> "Consumer":
    """The engine behind one source: the only place where its parts meet."""
    records, tenants = Records(shop), Tenants(shop.jetstream)
    waiting = Waiting(shop, records, tenants)
    claims = Claims(shop, records, waiting, make_plan)
    admission = Admission(shop, records, Refusal(shop, records), claims, tenants, waiting, slots)
    return Consumer(source, admission, slots, shop.stopping)


class Consumer:
    """One source, with slots of its own: a short query never waits behind long jobs."""

    def __init__(self, source: Source, admission: Admission, slots: Slots, stopping: asyncio.Event) -> None:
        self._source = source
        self._admission = admission
        self._slots = slots
        self._stopping = stopping
        self._in_hand = 0  # deliveries
        self.is_bound = True  # whether the source answered last

    @property
    def is_idle(self) -> bool:
        return not self._in_hand

    async def count_pending(self) -> int:
        return await self._source.count_pending()

    async def run(self) -> None:
        """Works until it is asked to stop, and then until every delivery is dealt with or handed back."""
        async with asyncio.TaskGroup() as deliveries:
            while not self._stopping.is_set():
                await self._slots.take()
                delivery = await self._fetch()
                if delivery is None:
                    self._slots.give_back()
                else:
                    self._in_hand += 1
                    deliveries.create_task(self._deal_with(delivery))
            await self._source.hand_back_parked()

    async def _fetch(self) -> Delivery | None:
        """The next delivery. A fetch is never cancelled: its message would be parked."""
        try:
            delivery = None if self._stopping.is_set() else await self._source.fetch()
        except (NotProvisioned, Unanswered) as error:
            self.is_bound = False
            logger.warning("fetch.failed", extra={"consumer": self._source.consumer, "error": str(error)})
            await asyncio.sleep(_PAUSE_SECONDS)
            return None
        self.is_bound = True
        if delivery is not None and self._stopping.is_set():
            await delivery.hand_back()
            return None
        return delivery

    async def _deal_with(self, delivery: Delivery) -> None:
        try:
            await self._admission.handle(delivery)
        except Exception:  # of this delivery alone: it comes again
            logger.exception("delivery.crashed")
        finally:
            self._in_hand -= 1
            self._slots.give_back()
