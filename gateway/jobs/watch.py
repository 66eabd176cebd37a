"""The one watch of this gateway on the bucket: it keeps the cache true and tells whoever waits.

It starts at "new", for a replay of a million records would choke it, and is never repaired: after a silence, a gap
or a disconnect everything it fed is dropped, a new feed is opened, and who waits reads again.
"""

import asyncio
import logging
from collections.abc import Callable

from contracts import names
from contracts.codes import CODES
from contracts.records import UnreadableRecord
from gateway.jetstream import HEARTBEAT_SECONDS, Feed, JetStream, Message, NotProvisioned, Unanswered
from gateway.jobs.job_cache import JobCache
from gateway.jobs.reading import record_snapshot
from gateway.jobs.waiting import Listeners

logger = logging.getLogger(__name__)

STREAM = names.bucket_stream(names.JOBS_BUCKET)
SUBJECTS = names.bucket_subject(names.JOBS_BUCKET, ">")
SILENCE_SECONDS = 2.5 * HEARTBEAT_SECONDS
_LOOK_SECONDS = 0.25
_PAUSE_SECONDS = 1.0


class Watch:
    """`observe` hears of every change, also of jobs that nobody asks for; `clock` is that of the feed."""

    def __init__(
        self,
        jetstream: JetStream,
        listeners: Listeners,
        clock: Callable[[], float],
        observe: Callable[[Message], None],
    ) -> None:
        self._jetstream = jetstream
        self._listeners = listeners
        self._clock = clock
        self._observe = observe
        self._feed: Feed | None = None
        self._is_told = False
        self.cache = JobCache(clock, jetstream.server_now, self.is_alive)

    def is_alive(self) -> bool:
        feed = self._feed
        return (
            feed is not None
            and feed.is_whole
            and self._jetstream.is_connected
            and self._clock() - feed.last_heard_at < SILENCE_SECONDS
        )

    async def run(self) -> None:
        """Keeps a feed open until cancelled."""
        while True:
            try:
                feed = await self._jetstream.follow_records(self._take)
            except Unanswered as error:
                self._tell_of_failure(error)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self._is_told = False
            await self._follow(feed)

    def _tell_of_failure(self, error: Unanswered) -> None:
        """What somebody has to do something about is told once."""
        if isinstance(error, NotProvisioned) and not self._is_told:
            self._is_told = True
            hint = CODES["not_provisioned"].hint
            logger.warning("nats.not_provisioned", extra={"error": str(error), "hint": hint, "next": "it looks again"})
        else:
            logger.debug("watch.not_opened", extra={"error": str(error)})

    async def _follow(self, feed: Feed) -> None:
        try:
            self._feed = feed
            # What changed before this feed began was seen by nobody.
            self._forget()
            logger.info("watch.opened")
            while self.is_alive():  # noqa: ASYNC110 - silence is no event
                await asyncio.sleep(_LOOK_SECONDS)
            logger.warning("watch.lost", extra={"next": "answers come from NATS until a new watch is open"})
        finally:
            self._feed = None
            self._forget()
            await feed.close()

    def _forget(self) -> None:
        self.cache.clear()
        self._listeners.tell_all()

    def _take(self, message: Message) -> None:
        # Who waits comes first, whatever the observer makes of the record.
        self._tell(message)
        self._observe(message)

    def _tell(self, message: Message) -> None:
        job_id = message.subject.removeprefix(SUBJECTS[:-1])
        if not (self.cache.is_interested(job_id) or self._listeners.is_interested(job_id)):
            return
        snapshot = None
        if not message.is_deletion:
            try:
                snapshot = record_snapshot(message)
            except UnreadableRecord:
                logger.warning("record.unreadable", extra={"job_id": job_id})
        self.cache.update(job_id, snapshot)
        self._listeners.tell(job_id, snapshot)
