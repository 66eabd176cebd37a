"""What every job of this handler works with."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from contracts.documents import progress_document
from contracts.names import is_query
from contracts.records import JobRecord, Progress
from handlers.clock import monotonic
from handlers.commands.running import Command, Completed, Watcher
from handlers.jetstream import Entry, Place
from handlers.metrics import Metrics
from handlers.settings import HandlerSettings

logger = logging.getLogger(__name__)

_OUTDATED_SECONDS = 60.0


class Bucket(Protocol):
    """A bucket in which only compare-and-set writes decide."""

    async def read(self, key: str) -> Entry:
        """Raises Unanswered."""
        ...

    async def write(self, key: str, value: bytes, *, last: int, ttl_seconds: float | None = None) -> int:
        """Writes over revision `last` and gives the new one. Raises Conflict, BucketFull, Unanswered."""
        ...


class BatchBucket(Bucket, Protocol):
    """One that takes many new keys at once."""

    async def create_together(self, values: Iterable[tuple[str, bytes]], seconds: float) -> None:
        """Writes keys that have no value yet, all or none. Raises Conflict, BucketFull, TooLarge, Unanswered."""
        ...


class Line(Protocol):
    """Who waits for which tenant, in the order in which they came."""

    async def join(self, tenant: str, job_id: str) -> None:
        """Takes the last place; who has one keeps it. Raises BucketFull, Unanswered."""
        ...

    async def join_together(self, places: Sequence[tuple[str, str]], seconds: float) -> None:
        """The same for tenants and jobs, in order. Raises BucketFull, Unanswered."""
        ...

    async def first(self, tenant: str) -> Place | None:
        """Raises Unanswered."""
        ...

    async def leave(self, place: Place) -> None:
        """Raises Unanswered."""
        ...


class Events(Protocol):
    """Telling of transitions."""

    async def tell(self, record: JobRecord, revision: int) -> None:
        """At most once."""
        ...

    async def tell_end(self, record: JobRecord, revision: int) -> None:
        """Returns once it is kept. Raises Unanswered."""
        ...

    async def tell_end_once(self, record: JobRecord, revision: int) -> bool:
        """Where it is not kept yet. Raises Unanswered."""
        ...


class Store(Protocol):
    """Where jobs are kept."""

    @property
    def jobs(self) -> BatchBucket: ...

    @property
    def answers(self) -> Bucket: ...

    @property
    def tenants(self) -> Bucket: ...

    @property
    def cancels(self) -> Bucket: ...

    @property
    def line(self) -> Line: ...

    @property
    def events(self) -> Events: ...

    async def publish_progress(self, job_id: str, body: bytes) -> None: ...

    async def publish_job(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Raises Refused, Unanswered."""
        ...

    async def holds_message(self, stream: str, subject: str) -> bool:
        """Raises Unanswered."""
        ...

    async def write_dead_letter(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Raises Unanswered."""
        ...


class CommandRunner(Protocol):
    """What runs commands, and ends those of a lease that nobody renews."""

    async def run(self, command: Command, lease: str | None = None, watch: Watcher | None = None) -> Completed: ...

    def renew(self, lease: str, until: float) -> None: ...

    def end(self, lease: str) -> None: ...


@dataclass(slots=True)
class Runtime:
    """`lease_seconds` are those of the leases that this handler takes."""

    jetstream: Store
    commands: CommandRunner
    settings: HandlerSettings
    metrics: Metrics
    stopping: asyncio.Event
    lease_seconds: float
    simulated: bool
    delayed_until: float = 0  # monotonic: until when a delivery of ours is handed back
    outdated_until: float = 0  # monotonic: so long ago is a record of a later version that it may come again

    def note_delay(self, seconds: float) -> None:
        self.delayed_until = max(self.delayed_until, monotonic() + seconds)

    def note_later_record(self) -> None:
        self.outdated_until = monotonic() + _OUTDATED_SECONDS

    @property
    def is_outdated(self) -> bool:
        """Whether jobs come that only a newer handler can work on: then this one is not ready."""
        return monotonic() < self.outdated_until

    async def publish_transition(self, record: JobRecord, revision: int) -> None:
        """Tells who listens, now or later. Of an end it returns once that is kept. Raises Unanswered then.

        Of a query nobody is told: who asked waits for it.
        """
        if is_query(record.kind):
            return
        if record.is_finished:
            await self.jetstream.events.tell_end(record, revision)
        else:
            await self.jetstream.events.tell(record, revision)

    async def tell_end_once(self, record: JobRecord, revision: int) -> None:
        """Where whoever ended it may have died before it was told. Raises Unanswered."""
        if not is_query(record.kind) and await self.jetstream.events.tell_end_once(record, revision):
            logger.info("event.repeated", extra={"status": record.status.value})

    async def publish_progress(self, job_id: str, step: str, progress: Progress) -> None:
        """Tells who listens what a step is at."""
        await self.jetstream.publish_progress(job_id, orjson.dumps(progress_document(job_id, step, progress)))
