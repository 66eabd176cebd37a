"""Callers who wait for a job to change: thousands of them cost one watch, not a poll each."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.jobs.snapshots import Snapshot

_MAX_UNREAD = 64


class Listener:
    """Hears of one job. After a `None` the job must be read again: something may have been missed."""

    __slots__ = ("_future", "_unread")

    def __init__(self) -> None:
        self._unread: deque[Snapshot | None] = deque(maxlen=_MAX_UNREAD)
        self._future: asyncio.Future[None] | None = None

    def tell(self, snapshot: Snapshot | None) -> None:
        self._unread.append(snapshot)
        if self._future:
            _wake(self._future)

    async def hear(self, timeout: float) -> Snapshot | None:
        """The next change in order; None when the time is over or when the job must be read again."""
        if not self._unread and timeout > 0:
            # A timer of its own: thousands wait at once, and a timeout that cancels the task costs each twice as much.
            loop = asyncio.get_running_loop()
            self._future = loop.create_future()
            timer = loop.call_later(timeout, _wake, self._future)
            try:
                await self._future
            finally:
                timer.cancel()
                self._future = None
        return self._unread.popleft() if self._unread else None


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class Listeners:
    """All who wait in this gateway, by job."""

    def __init__(self) -> None:
        self._by_job: dict[str, set[Listener]] = {}
        self.is_stopping = False

    @contextmanager
    def listen(self, job_id: str) -> Iterator[Listener]:
        listener = Listener()
        self._by_job.setdefault(job_id, set()).add(listener)
        try:
            yield listener
        finally:
            others = self._by_job[job_id]
            others.discard(listener)
            if not others:
                del self._by_job[job_id]

    def is_interested(self, job_id: str) -> bool:
        return job_id in self._by_job

    def tell(self, job_id: str, snapshot: Snapshot | None) -> None:
        for listener in self._by_job.get(job_id, ()):
            listener.tell(snapshot)

    def tell_all(self) -> None:
        """Changes may have been missed: everybody reads again."""
        for job_id in self._by_job:
            self.tell(job_id, None)

    def stop(self) -> None:
        """The gateway stops: nobody waits any longer."""
        self.is_stopping = True
        self.tell_all()

    def count(self) -> int:
        return sum(map(len, self._by_job.values()))
