"""The loop that fetches deliveries and works on each in a task of its own, until it is asked to stop."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from handlers.jetstream import NotProvisioned, Unanswered
from handlers.jobs.admission import Admission
from handlers.jobs.claim import Claims
from handlers.jobs.crowd import Crowd
from handlers.jobs.incoming import Delivery
from handlers.jobs.plan import MakePlan
from handlers.jobs.records import Records
from handlers.jobs.refusal import Refusal
from handlers.jobs.runtime import Bucket, Runtime
from handlers.jobs.slots import Slots
from handlers.jobs.tenant_lock import Tenants
from handlers.jobs.waiting import Waiting

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_LEAST_AHEAD, _MOST_AHEAD = 8, 256


class Source(Protocol):
    """Where deliveries come from."""

    @property
    def consumer(self) -> str: ...

    async def fetch(self) -> Delivery | None:
        """The next delivery, None when none came for a while. Raises NotProvisioned, Unanswered."""
        ...

    async def fetch_more(self, count: int) -> Sequence[Delivery]:
        """What else is there now, at most so many. Raises Unanswered."""
        ...

    async def count_pending(self) -> int:
        """Raises Unanswered."""
        ...

    async def hand_back_parked(self) -> None: ...


def open_consumers(
    runtime: Runtime, sources: Sequence[Source], bucket: Bucket, make_plan: MakePlan, slots: Slots
) -> "list[Consumer]":
    """The engine behind sources that share their slots and the bucket: the only place where its parts meet."""
    records, tenants = Records(runtime, bucket), Tenants(runtime.jetstream, runtime.settings.job_retention)
    in_hand: set[str] = set()
    waiting = Waiting(runtime, records, tenants, in_hand)
    claims = Claims(runtime, records, waiting, make_plan)
    admission = Admission(runtime, records, Refusal(runtime, records), claims, tenants, waiting, slots, in_hand)
    return [Consumer(source, admission, slots, runtime.stopping) for source in sources]


class Consumer:
    """One source. Slots are given in turn to whoever has work, so that no crowd of one source starves another's."""

    def __init__(self, source: Source, admission: Admission, slots: Slots, stopping: asyncio.Event) -> None:
        self._source = source
        self._admission = admission
        self._slots = slots
        self._stopping = stopping
        self._crowd = Crowd(admission.park_together, admission.park)
        self._in_hand = 0  # deliveries that have a slot
        self.is_bound = True  # whether the source answered last

    @property
    def is_idle(self) -> bool:
        return not self._in_hand and self._crowd.is_empty

    async def count_pending(self) -> int:
        return await self._source.count_pending()

    async def run(self) -> None:
        """Works until it is asked to stop, and then until every delivery is dealt with or handed back."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._crowd.work())
            while not self._stopping.is_set():
                await self._crowd.wait_for_room()
                delivery = await self._take()
                if delivery is None:
                    continue
                if self._joins_crowd(delivery):
                    self._slots.give_back()
                    await self._look_ahead(tasks)
                else:
                    self._begin(delivery, tasks)
            self._crowd.close()
            await self._source.hand_back_parked()

    async def _take(self) -> Delivery | None:
        """The next delivery, and a slot for it. Nobody holds a slot while waiting for what may never come."""
        await self._slots.take()
        delivery = await self._fetch(waits=False)
        if delivery is not None:
            return delivery
        self._slots.give_back()
        delivery = await self._fetch()
        if delivery is not None and not await self._slots.take_now():
            await delivery.hand_back()  # to another handler, or to this one when it is its turn
            return None
        return delivery

    def _begin(self, delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        """In a slot that is taken."""
        self._in_hand += 1
        tasks.create_task(self._deal_with(delivery))

    async def _look_ahead(self, tasks: asyncio.TaskGroup) -> None:
        """Through the rest of a crowd, in ever larger parts, to the first that may begin."""
        count = _LEAST_AHEAD
        while not self._stopping.is_set():
            await self._crowd.wait_for_room()
            try:
                ahead = await self._source.fetch_more(count)
            except Unanswered:
                return  # the next fetch tells
            others = [delivery for delivery in ahead if not self._joins_crowd(delivery)]
            for delivery in others:
                if await self._slots.take_now():
                    self._begin(delivery, tasks)
                else:
                    await delivery.hand_back()
            if others or len(ahead) < count:
                return
            count = min(2 * count, _MOST_AHEAD)

    def _joins_crowd(self, delivery: Delivery) -> bool:
        if joins := self._admission.is_known_to_wait(delivery):
            self._crowd.add(delivery)
        return joins

    async def _fetch(self, *, waits: bool = True) -> Delivery | None:
        """The next delivery. A fetch is never cancelled: its message would be parked."""
        if self._stopping.is_set():
            return None
        try:
            delivery = await self._source.fetch() if waits else next(iter(await self._source.fetch_more(1)), None)
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
