"""Waiting for a job to finish: `Prefer: wait=N` and `?wait=N`."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from gateway.http.problems import Problem
from gateway.jetstream import Unanswered
from gateway.jobs.listeners import Listeners
from gateway.jobs.reading import Reader
from gateway.jobs.snapshots import Snapshot

MAX_WAIT_SECONDS = 60
# A job is read again this often although nobody told of a change: while the watch is alive it costs a look into the
# memory, else it is what finds the end.
REREAD_SECONDS = 10.0
_MOST_READS = 32  # at a time, when thousands come at once, or read again after the watch was lost
_PAUSE_SECONDS = 0.5

_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wait:
    """How long the caller waits for the end. `headers` confirm a preference."""

    seconds: int = 0
    headers: tuple[tuple[str, str], ...] = ()


def read_wait(request: Request) -> Wait:
    """The wait that the request asks for; over a minute is cut to a minute. Raises Problem."""
    if request.scope["query_string"] and "wait" in request.query_params:
        return Wait(_read_seconds(request.query_params["wait"]))
    for preference in ",".join(request.headers.getlist("prefer")).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            seconds = _read_seconds(value.strip().strip('"'))
            return Wait(seconds, (("Preference-Applied", f"wait={seconds}"),))
    return Wait()


def _read_seconds(text: str) -> int:
    if not _SECONDS.fullmatch(text):
        raise Problem("bad_parameter", "wait must be a whole number of seconds, 0 or more.", parameter="wait")
    return min(int(text), MAX_WAIT_SECONDS)


class Waiting:
    """`clock` counts seconds and never goes back."""

    def __init__(self, reader: Reader, listeners: Listeners, clock: Callable[[], float]) -> None:
        self._reader = reader
        self._listeners = listeners
        self._clock = clock
        self._gate = asyncio.Semaphore(_MOST_READS)

    async def wait_until_finished(self, job_id: str, seconds: float) -> Snapshot | None:
        """The finished job, or what is known when the time is over. Raises Unanswered, UnreadableRecord."""
        if seconds <= 0:
            return await self._reader.read(job_id)
        deadline = self._clock() + seconds
        # Listening comes before reading: an end in between is heard.
        with self._listeners.listen(job_id) as listener:
            snapshot = await self._read_first(job_id, seconds)
            while snapshot is not None and not snapshot.record.is_finished and not self._listeners.is_stopping:
                left = deadline - self._clock()
                if left <= 0:
                    break
                heard = await listener.hear(min(left, REREAD_SECONDS))
                snapshot = heard or await self._read_again(job_id, snapshot, deadline)
            return snapshot

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
