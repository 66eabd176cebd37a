"""Keys that were refused: counted by name and hour, so that whoever tries a thousand makes one entry of it."""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Callable

from contracts.reporting.entries import REFUSED_KEY, UNKNOWN, make_act
from gateway.audit.acts import write_act
from gateway.jetstream import JetStream, Refused, Unanswered

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
_Key = tuple[str, str, str]  # name, code, hour


class Refusals:
    """`now` gives the moment as RFC 3339 in UTC. A gateway that is killed forgets the last FLUSH_SECONDS."""

    def __init__(self, jetstream: JetStream, now: Callable[[], str]) -> None:
        self._jetstream = jetstream
        self._now = now
        self._counts: Counter[_Key] = Counter()
        self._unwritten: set[_Key] = set()
        self._gateway = uuid.uuid4().hex[:8]

    def note(self, name: str | None, code: str) -> None:
        """`name` is that of the key; None for one that nobody knows."""
        key = (name or UNKNOWN, code, self._now()[:13])
        self._counts[key] += 1
        self._unwritten.add(key)

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Writes what has been counted since the last time; what cannot be written is written later."""
        for key in sorted(self._unwritten):
            self._unwritten.discard(key)  # before: it may be counted again meanwhile
            try:
                await self._write(key)
            except (Refused, Unanswered) as error:
                logger.debug("refusals.unwritten", extra={"error": str(error)})
                self._unwritten.add(key)
                return
        hour = self._now()[:13]
        for key in [key for key in self._counts if key[2] != hour and key not in self._unwritten]:
            del self._counts[key]

    async def _write(self, key: _Key) -> None:
        name, code, hour = key
        entry = make_act(f"{hour}:00:00.000Z", name, REFUSED_KEY, "refused", code=code, count=self._counts[key])
        await write_act(self._jetstream, entry, f"{name}-{code}-{hour}-{self._gateway}")
