"""What a stream stores, told as it comes: a feed of changes, and one that begins at the beginning.

Neither needs a consumer of its own: who may create one names the subject that it delivers to, and with that may write
wherever the server itself may.
"""

import asyncio
import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import nats.errors
from nats.aio.subscription import Subscription

from contracts.link.api import Api
from contracts.link.client import LinkClient
from contracts.link.errors import NotProvisioned, NotSent, Unanswered
from contracts.link.messages import Message, read_republished
from contracts.link.streams import read_next, read_stream_state

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
_REPLAY_PAUSE_SECONDS = 0.001  # a replay of a million records must not slow the answers


class Feed(ABC):
    """It is whole until it misses a message, and never repairs itself. `last_heard_at` is monotonic."""

    def __init__(self, deliver: Callable[[Message], None]) -> None:
        self._deliver = deliver
        self._task: asyncio.Task[None] | None = None
        self.last_heard_at = time.monotonic()
        self.is_whole = True

    async def open(self) -> None:
        """Raises NotProvisioned, NotSent, Unanswered."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @abstractmethod
    async def _run(self) -> None: ...

    def _hear(self) -> None:
        self.last_heard_at = time.monotonic()


class Changes(Feed):
    """All that the stream stores from now on, republished by its leader: one subscription, no consumer.

    The leader tells the last sequence at each heartbeat, so that a silence is known to be one.
    """

    def __init__(
        self, client: LinkClient, api: Api, stream: str, subjects: str, deliver: Callable[[Message], None]
    ) -> None:
        """`subjects` are those that the stream republishes to."""
        super().__init__(deliver)
        self._client = client
        self._api = api
        self._stream = stream
        self._subjects = subjects
        self._subscription: Subscription | None = None
        self._last = 0  # the highest sequence that was heard of

    async def open(self) -> None:
        if not self._client.is_connected:
            raise NotSent("disconnected")
        self._subscription = await self._client.listen(self._subjects, self._take)
        state = await read_stream_state(self._api, self._stream)
        if not state.republishes:
            raise NotProvisioned(f"{self._stream} tells nobody what it stores; run python -m gateway provision")
        self._last = max(self._last, state.last_sequence)
        await super().open()

    async def close(self) -> None:
        await super().close()
        if self._subscription is not None:
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._subscription.unsubscribe()

    async def _run(self) -> None:
        known = self._last
        while self.is_whole:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            if self._last < known:
                self.is_whole = False  # what the leader stored a heartbeat ago has not come
                return
            try:
                known = (await read_stream_state(self._api, self._stream)).last_sequence
            except Unanswered as error:
                logger.debug("heartbeat.missing", extra={"error": str(error)})
                continue
            self._hear()

    def _take(self, headers: bytes, body: bytes) -> None:
        stored = read_republished(headers, body)
        sequence = stored.sequence
        if self._last and sequence > self._last + 1:
            self.is_whole = False
            return
        self._last = max(self._last, sequence)
        self._hear()
        self._deliver(stored)


class Replay(Feed):
    """All that the stream holds from a sequence on, oldest first and at an easy pace, and then what comes."""

    def __init__(self, api: Api, stream: str, subjects: str, deliver: Callable[[Message], None], start: int) -> None:
        super().__init__(deliver)
        self._api = api
        self._stream = stream
        self._subjects = subjects
        self._next = start

    async def _run(self) -> None:
        while True:
            try:
                message = await read_next(self._api, self._stream, self._next, self._subjects)
            except Unanswered as error:
                logger.debug("replay.unanswered", extra={"error": str(error)})
                await asyncio.sleep(HEARTBEAT_SECONDS)
                continue
            self._hear()
            if message is None:
                await asyncio.sleep(HEARTBEAT_SECONDS)
                continue
            self._next = message.sequence + 1
            self._deliver(message)
            await asyncio.sleep(_REPLAY_PAUSE_SECONDS)
