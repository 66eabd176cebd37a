"""NATS as the handlers use it: deliveries, buckets with compare-and-set, dead letters, events."""

import asyncio
from collections.abc import Callable

from contracts import names
from contracts.link import connection as link
from contracts.link.api import Api
from contracts.link.buckets import Bucket, Entry
from contracts.link.connection import Connection
from contracts.link.core_messages import publish_progress
from contracts.link.deliveries import Delivery
from contracts.link.errors import BucketFull, Conflict, NotLetIn, NotProvisioned, NotSent, Refused, TooLarge, Unanswered
from contracts.link.events import Events
from contracts.link.line import Line, Place
from contracts.link.source import Source
from contracts.link.streams import read_last
from contracts.process.settings import NatsSettings

__all__ = [
    "Bucket",
    "BucketFull",
    "Conflict",
    "Delivery",
    "Entry",
    "JetStream",
    "NotLetIn",
    "NotProvisioned",
    "NotSent",
    "Place",
    "Refused",
    "Source",
    "TooLarge",
    "Unanswered",
]

REQUEST_SECONDS = 3.0


class JetStream:
    """What a handler reaches over its connection."""

    def __init__(self, connection: Connection, on_closed: Callable[[], None]) -> None:
        self._connection = connection
        self._api = Api(connection.client, REQUEST_SECONDS)
        self._closing = asyncio.create_task(_await_end(connection, on_closed))
        self.jobs = Bucket(self._api, names.JOBS_BUCKET)
        self.answers = Bucket(self._api, names.ANSWERS_BUCKET)
        self.tenants = Bucket(self._api, names.TENANTS_BUCKET)
        self.cancels = Bucket(self._api, names.CANCELS_BUCKET)
        self.line = Line(self._api)
        self.events = Events(connection.client, self._api)

    def source(self, stream: str, consumer: str) -> Source:
        return Source(self._connection.client, self._api, stream, consumer)

    @property
    def is_connected(self) -> bool:
        return self._connection.is_connected

    async def holds_message(self, stream: str, subject: str) -> bool:
        """Whether the stream still holds a message on the subject, which may be a pattern.

        Raises NotProvisioned, Unanswered.
        """
        return await read_last(self._api, stream, subject) is not None

    async def publish_job(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Puts a job back into the queue. Raises Refused, also when it is there; Unanswered."""
        try:
            await self._api.publish(subject, body, headers)
        except TooLarge as error:
            raise Unanswered(f"{subject}: {error!r}") from error

    async def publish_progress(self, job_id: str, body: bytes) -> None:
        """At most once."""
        await publish_progress(self._connection.client, job_id, body)

    async def write_dead_letter(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Raises Unanswered."""
        try:
            await self._api.publish(subject, body, headers)
        except (Refused, TooLarge) as error:
            raise Unanswered(f"{subject}: {error!r}") from error

    async def close(self) -> None:
        """Sends what is still to be sent, then closes."""
        self._closing.cancel()
        await self._connection.close()


async def connect(settings: NatsSettings, name: str, on_closed: Callable[[], None]) -> JetStream:
    """A connection that reconnects for ever. `on_closed` is called when the server ended it for good.

    Raises NotLetIn, InvalidSettings.
    """
    return JetStream(await link.connect(settings, name, "handler"), on_closed)


async def _await_end(connection: Connection, on_closed: Callable[[], None]) -> None:
    await connection.history.closed.wait()
    on_closed()
