"""Which jobs have not ended, and which a gateway has ended: by the bucket's headers alone, from its first record on.

Only the last write of a job carries a time to live, so its headers tell whether it has ended. A million records cost
a slow stream of a hundred bytes each, once after a start; a new connection goes on where the last one ended.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from contracts import names
from gateway.jetstream import Feed, JetStream, Message, Unanswered
from gateway.jobs.watch import STREAM, SUBJECTS

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 5.0
TOLD_SECONDS = 6 * 86_400.0  # an event is kept a day longer: what is older is not told again
_LOOK_SECONDS = 1.0
_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """`seen_at` is on the clock of this gateway: no clocks are compared."""

    revision: int
    seen_at: float


class UnfinishedJobs:
    """`sightings` name candidates: whoever acts on one reads its record first."""

    def __init__(self, jetstream: JetStream, clock: Callable[[], float]) -> None:
        self._jetstream = jetstream
        self._clock = clock
        self._next = 1
        self.sightings: dict[str, Sighting] = {}
        self.ends: dict[str, Sighting] = {}  # that a gateway wrote: no delivery makes good what it did not tell

    async def run(self) -> None:
        """Follows until cancelled."""
        while True:
            try:
                await self._follow(await self._open())
            except Unanswered as error:
                logger.debug("unfinished.not_opened", extra={"error": str(error)})
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _open(self) -> Feed:
        state = await self._jetstream.read_stream_state(STREAM)
        if state.last_sequence < self._next - 1:
            # The bucket was lost or made anew: what was counted is not there any more.
            self.sightings.clear()
            self.ends.clear()
            self._next = 1
        return await self._jetstream.replay(STREAM, SUBJECTS, self._take, self._next)

    async def _follow(self, feed: Feed) -> None:
        try:
            while (  # noqa: ASYNC110 - silence is no event
                feed.is_whole and self._jetstream.is_connected and self._clock() - feed.last_heard_at < SILENCE_SECONDS
            ):
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            await feed.close()

    def _take(self, message: Message) -> None:
        self._next = message.sequence + 1
        job_id = message.subject.removeprefix(SUBJECTS[:-1])
        if message.is_deletion or "Nats-TTL" in message.headers:
            self.sightings.pop(job_id, None)
            if names.HEADER_ENDED_BY in message.headers and self._jetstream.age_of(message) < TOLD_SECONDS:
                self.ends[job_id] = Sighting(message.sequence, self._clock())
        else:
            self.sightings[job_id] = Sighting(message.sequence, self._clock())
