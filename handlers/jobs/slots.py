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

    async def take_now(self) -> bool:
        """False when none is free."""
        if self._free.locked():
            return False
        await self._free.acquire()  # which does not wait then
        return True

    def give_back(self) -> None:
        self._free.release()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """One for as long as the caller needs it."""
        await self.take()
        try:
            yield
        finally:
            self.give_back()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Others may use the caller's slot meanwhile."""
        self.give_back()
        try:
            yield
        finally:
            await self.take()
