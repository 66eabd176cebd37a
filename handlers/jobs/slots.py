"""Slots: how many jobs a handler works on at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    """A job takes one from its fetch to its end; one that only watches or waits lends it to others."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    async def take(self) -> None:
        await self._free.acquire()

    def give_back(self) -> None:
        self._free.release()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Others may use the caller's slot meanwhile."""
        self.give_back()
        try:
            yield
        finally:
            await self.take()
