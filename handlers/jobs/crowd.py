"""The crowd: deliveries of tenants that are known to be held, which are parked beside the slots.

So a handler sees through ten thousand jobs of one tenant to those of others that were published behind them.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from handlers.jobs.incoming import Delivery

_AT_ONCE = 16
_MOST_BYTES = 32 * 1024 * 1024
_DELIVERY_BYTES = 2048  # beside its body


class Crowd:
    """`park` deals with one delivery."""

    def __init__(self, park: Callable[[Delivery], Coroutine[Any, Any, None]]) -> None:
        self._park = park
        self._waiting: asyncio.Queue[Delivery | None] = asyncio.Queue()
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
        self._waiting.put_nowait(delivery)

    def close(self) -> None:
        """What is not yet dealt with is handed back."""
        self._is_closed = True
        for _ in range(_AT_ONCE):
            self._waiting.put_nowait(None)

    async def work(self) -> None:
        """Until it is closed."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(_AT_ONCE):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while (delivery := await self._waiting.get()) is not None:
            try:
                if self._is_closed:
                    await delivery.hand_back()
                else:
                    await asyncio.create_task(self._park(delivery))  # with log fields of its own
            finally:
                self._bytes -= _size_of(delivery)
                if self._bytes < _MOST_BYTES:
                    self._room.set()


def _size_of(delivery: Delivery) -> int:
    return len(delivery.body) + _DELIVERY_BYTES
