"""The crowd: deliveries of tenants that are known to be held, which are parked beside the slots.

So a handler sees through ten thousand jobs of one tenant to those of others that were published behind them. They are
parked many together, at a fraction of what each costs alone; what cannot be, because it is not new, one by one.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from handlers.jobs.incoming import Delivery

logger = logging.getLogger(__name__)

_TOGETHER = 256
_AT_ONCE = 16
_MOST_BYTES = 32 * 1024 * 1024
_DELIVERY_BYTES = 2048  # beside its body


class Crowd:
    """`park_together` deals with many deliveries and gives those that are left, `park` with one."""

    def __init__(
        self,
        park_together: Callable[[Sequence[Delivery]], Coroutine[Any, Any, Sequence[Delivery]]],
        park: Callable[[Delivery], Coroutine[Any, Any, None]],
    ) -> None:
        self._park_together = park_together
        self._park = park
        self._new: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._left: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._is_closed = False

    @property
    def is_empty(self) -> bool:
        return not self._bytes

    async def wait_for_room(self) -> None:
        """Until as much is held as may be."""
        await self._room.wait()

    def add(self, delivery: Delivery) -> None:
        self._bytes += _size_of(delivery)
        if self._bytes >= _MOST_BYTES:
            self._room.clear()
        self._new.put_nowait(delivery)

    def close(self) -> None:
        """What is not yet dealt with is handed back."""
        self._is_closed = True
        self._new.put_nowait(None)

    async def work(self) -> None:
        """Until it is closed."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(_AT_ONCE):
                workers.create_task(self._work())
            while (first := await self._new.get()) is not None:
                await self._deal_with([first, *self._take_more()])
            for _ in range(_AT_ONCE):
                self._left.put_nowait(None)

    def _take_more(self) -> list[Delivery]:
        """What else is there now."""
        taken: list[Delivery] = []
        while len(taken) < _TOGETHER - 1 and not self._new.empty():
            delivery = self._new.get_nowait()
            if delivery is None:
                self._new.put_nowait(None)  # it is the last: the end is still to be seen
                break
            taken.append(delivery)
        return taken

    async def _deal_with(self, deliveries: Sequence[Delivery]) -> None:
        left = deliveries
        try:
            if not self._is_closed:
                left = await asyncio.create_task(self._park_together(deliveries))  # with log fields of its own
        except Exception:  # of these together: each is looked at by itself
            logger.exception("crowd.crashed")
        remaining = {id(delivery) for delivery in left}
        for delivery in deliveries:
            if id(delivery) in remaining:
                self._left.put_nowait(delivery)
            else:
                self._forget(delivery)

    async def _work(self) -> None:
        while (delivery := await self._left.get()) is not None:
            try:
                if self._is_closed:
                    await delivery.hand_back()
                else:
                    await asyncio.create_task(self._park(delivery))  # with log fields of its own
            except Exception:  # of this delivery alone: it comes again
                logger.exception("delivery.crashed")
            finally:
                self._forget(delivery)

    def _forget(self, delivery: Delivery) -> None:
        self._bytes -= _size_of(delivery)
        if self._bytes < _MOST_BYTES:
            self._room.set()


def _size_of(delivery: Delivery) -> int:
    return len(delivery.body) + _DELIVERY_BYTES
