"""Callers who wait for a job to change or to end: thousands of them cost one watch, not a poll each."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from gateway.jetstream import Unanswered
from gateway.jobs.job_cache import Snapshot
from gateway.jobs.reading import Reader

# A job is read again this often although nobody told of a change: while the watch is alive it costs a look into the
# cache, else it is what finds the end.
REREAD_SECONDS = 10.0
Left = Callable[[], Awaitable[None]]  # returns when the caller has gone
_MOST_READS = 32  # at a time, when thousands come at once, or read again after the watch was lost
_PAUSE_SECONDS = 0.5
_MAX_UNREAD = 64


class Listener:
    """Hears of one job. After a `None` the job must be read again: something may have been missed."""

    __slots__ = ("_future", "_hears_progress", "_progress", "_unread", "has_left")

    def __init__(self, *, hears_progress: bool = False) -> None:
        self._unread: deque[Snapshot | None] = deque(maxlen=_MAX_UNREAD)
        self._future: asyncio.Future[None] | None = None
        self._hears_progress = hears_progress
        self._progress: bytes | None = None
        self.has_left = False

    def tell(self, snapshot: Snapshot | None) -> None:
        self._unread.append(snapshot)
        self._wake()

    def tell_progress(self, progress: bytes) -> None:
        """The newest alone counts; it wakes who listens for it as the end of the time would."""
        if self._hears_progress:
            self._progress = progress
            self._wake()

    def take_progress(self) -> bytes | None:
        """What the running step is at, where that was told since it was asked for last."""
        progress, self._progress = self._progress, None
        return progress

    def _wake(self) -> None:
        if self._future:
            _wake(self._future)

    def leave(self) -> None:
        """Whoever waits for it is gone."""
        self.has_left = True
        self.tell(None)

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
    def listen(self, job_id: str, *, hears_progress: bool = False) -> Iterator[Listener]:
        listener = Listener(hears_progress=hears_progress)
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

    def tell_progress(self, job_id: str, progress: bytes) -> None:
        for listener in self._by_job.get(job_id, ()):
            listener.tell_progress(progress)

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


@asynccontextmanager
async def _told_of_leaving(listener: Listener, left: Left | None) -> AsyncIterator[None]:
    if left is None:
        yield
        return
    leaving = asyncio.create_task(_tell_of_leaving(listener, left))
    try:
        yield
    finally:
        leaving.cancel()
        await asyncio.wait({leaving})


async def _tell_of_leaving(listener: Listener, left: Left) -> None:
    await left()
    listener.leave()


class Waiting:
    """`clock` counts seconds and never goes back."""

    def __init__(self, reader: Reader, listeners: Listeners, clock: Callable[[], float]) -> None:
        self._reader = reader
        self._listeners = listeners
        self._clock = clock
        self._gate = asyncio.Semaphore(_MOST_READS)

    @property
    def is_stopping(self) -> bool:
        """Whether nobody waits any longer, however much time there was."""
        return self._listeners.is_stopping

    async def wait_until_finished(self, job_id: str, seconds: float, left: Left | None = None) -> Snapshot | None:
        """The finished job, or what is known when the time is over or the caller has left.

        Raises Unanswered, UnreadableRecord.
        """
        if seconds <= 0:
            return await self._reader.read(job_id)
        # Listening comes before reading: an end in between is heard.
        with self._listeners.listen(job_id) as listener:
            async with _told_of_leaving(listener, left):
                return await self._follow(listener, job_id, seconds)

    async def _follow(self, listener: Listener, job_id: str, seconds: float) -> Snapshot | None:
        deadline = self._clock() + seconds
        snapshot = await self._read_first(job_id, seconds)
        while snapshot is not None and not snapshot.record.is_finished and not self._is_over(listener):
            remaining = deadline - self._clock()
            if remaining <= 0:
                break
            heard = await listener.hear(min(remaining, REREAD_SECONDS))
            snapshot = heard or await self._read_again(job_id, snapshot, deadline)
        return snapshot

    def _is_over(self, listener: Listener) -> bool:
        return listener.has_left or self._listeners.is_stopping

    async def _read_first(self, job_id: str, limit_seconds: float) -> Snapshot | None:
        """Callers who wait have time: all at once they would be more than NATS answers within a request's limit."""
        if snapshot := self._reader.recall(job_id):
            return snapshot
        try:
            async with asyncio.timeout(limit_seconds), self._gate:
                return await self._reader.read(job_id)
        except TimeoutError:
            raise Unanswered(f"{job_id} was not read in time") from None

    async def _read_again(self, job_id: str, known: Snapshot, deadline: float) -> Snapshot | None:
        """NATS may restart while somebody waits: only a silence that lasts to the deadline is an error."""
        try:
            async with self._gate:
                return await self._reader.read(job_id)
        except Unanswered:
            if self._clock() >= deadline or self._listeners.is_stopping:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
            return known
