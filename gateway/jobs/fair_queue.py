"""A queue that is fair to accounts: whoever asks for much waits for itself, and the others do not wait for it."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """One line for each account, served in turn. `most` may wait in each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: dict[str, deque[Item]] = {}  # in the order of their turns
        self._waiting = asyncio.Semaphore(0)

    def put(self, account: str, item: Item) -> bool:
        """False when the account's line is full."""
        line = self._lines.setdefault(account, deque())
        if len(line) >= self._most:
            return False
        line.append(item)
        self._waiting.release()
        return True

    async def take(self) -> Item:
        """The first item of the account whose turn it is."""
        await self._waiting.acquire()
        account, line = next(iter(self._lines.items()))
        item = line.popleft()
        del self._lines[account]
        if line:
            self._lines[account] = line
        return item
