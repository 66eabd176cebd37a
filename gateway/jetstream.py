"""NATS as the gateway uses it: publishing jobs, reading streams and buckets, following changes."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from contracts import names
from contracts.link import connection as link
from contracts.link.api import REQUEST_SECONDS, Api
from contracts.link.buckets import Bucket
from contracts.link.connection import Connection
from contracts.link.core_messages import Question, follow, follow_progress, take_questions
from contracts.link.deliveries import Delivery
from contracts.link.errors import (
    BucketFull,
    Conflict,
    ManagementRefused,
    NodesAway,
    NotLetIn,
    NotProvisioned,
    NotSent,
    Refused,
    TooLarge,
    Unanswered,
)
from contracts.link.events import Events
from contracts.link.feeds import HEARTBEAT_SECONDS, Changes, Feed, Replay
from contracts.link.line import Line
from contracts.link.messages import Message, read_moment
from contracts.link.source import Source
from contracts.link.streams import (
    ConsumerState,
    StreamState,
    find_stream,
    read_batch,
    read_consumer_state,
    read_last,
    read_next,
    read_stream_state,
)
from contracts.process.settings import NatsSettings

__all__ = [
    "HEARTBEAT_SECONDS",
    "REQUEST_SECONDS",
    "BucketFull",
    "Conflict",
    "Connection",
    "ConsumerState",
    "Delivery",
    "Feed",
    "JetStream",
    "ManagementRefused",
    "Message",
    "NodesAway",
    "NotLetIn",
    "NotProvisioned",
    "NotSent",
    "Question",
    "Refused",
    "Source",
    "StreamState",
    "TooLarge",
    "Unanswered",
]


_MOST_UNDELIVERED = 10_000
_FORGOTTEN_SECONDS = 8 * 86_400  # longer than an event is kept: then nothing is lost with the consumer


class JetStream:
    """What the gateway reaches over its connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.api = Api(connection.client)
        self.history = connection.history
        self.line = Line(self.api)
        self.events = Events(connection.client, self.api)

    @property
    def is_connected(self) -> bool:
        return self._connection.is_connected

    def server_now(self) -> float | None:
        """Seconds since 1970 by the server's clock; None before its first answer."""
        return self.api.server_now()

    def age_of(self, message: Message) -> float:
        """Seconds since it was stored, by the server's clock alone; 0 before that is known."""
        return self.seconds_since(message.published_at)

    def seconds_since(self, moment: str) -> float:
        """By the server's clock, which the moment is of; 0 before that is known."""
        now = self.server_now()
        return 0.0 if now is None else max(0.0, now - read_moment(moment))

    async def publish(self, subject: str, body: bytes, headers: dict[str, str], *, timeout: float) -> int:
        """The sequence at which a stream has stored the message.

        Raises Refused, TooLarge, Conflict, NotProvisioned, NotSent, Unanswered.
        """
        try:
            return await self.api.publish(subject, body, headers, timeout)
        except NotSent:
            await self._name_what_is_missing(subject)
            raise

    async def read_last(self, stream: str, subject: str) -> Message | None:
        """The subject's last message. Raises NotProvisioned, Unanswered."""
        return await read_last(self.api, stream, subject)

    async def read_next(self, stream: str, sequence: int, subjects: str) -> Message | None:
        """The first message on the subjects at or after the sequence. Raises NotProvisioned, Unanswered."""
        return await read_next(self.api, stream, sequence, subjects)

    async def read_batch(self, stream: str, sequence: int, count: int) -> list[Message]:
        """Messages at or after the sequence, at once, by a copy that may be behind. Raises NotSent, Unanswered."""
        return await read_batch(self.api, stream, sequence, count)

    async def read_key(self, bucket: str, key: str) -> Message | None:
        """What the bucket holds under the key. Raises NotProvisioned, Unanswered."""
        message = await Bucket(self.api, bucket).read_message(key)
        return None if message is None or message.is_deletion else message

    async def write_key(
        self,
        bucket: str,
        key: str,
        value: bytes,
        *,
        last: int | None = None,
        ttl_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Writes, if `last` is given only when it is still the key's revision. Gives the new revision.

        Raises Conflict, BucketFull, TooLarge, NotProvisioned, NotSent, Unanswered.
        """
        try:
            return await Bucket(self.api, bucket).write(key, value, last=last, ttl_seconds=ttl_seconds, headers=headers)
        except NotSent:
            await self._name_what_is_missing(names.bucket_subject(bucket, key))
            raise

    async def create_keys(self, bucket: str, values: Iterable[tuple[str, bytes]], *, timeout: float) -> None:
        """Writes values of keys that have none yet, all of them or, where one has, none.

        Raises Conflict, BucketFull, TooLarge, NotProvisioned, NotSent, Unanswered.
        """
        try:
            await Bucket(self.api, bucket).create_together(values, timeout)
        except NotSent:
            await self._name_what_is_missing(names.bucket_subject(bucket, ">"))
            raise

    def source(self, stream: str, consumer: str) -> Source:
        return Source(self._connection.client, self.api, stream, consumer)

    async def make_webhook_consumer(self, name: str, ack_wait_seconds: float) -> None:
        """Where a webhook's events are taken from, by all gateways; it begins with what happens from now on.

        The one thing that a service makes. Raises ManagementRefused, NotSent, Unanswered.
        """
        config = {
            "durable_name": name,
            "description": "The events that a webhook brings; made by the gateways",
            "ack_policy": "explicit",
            "deliver_policy": "new",
            "ack_wait": int(ack_wait_seconds * 1e9),
            "max_deliver": -1,
            "max_ack_pending": _MOST_UNDELIVERED,
            "inactive_threshold": _FORGOTTEN_SECONDS * 10**9,
        }
        stream = names.EVENTS_STREAM
        request = {"stream_name": stream, "config": config}
        await self.api.manage(f"CONSUMER.DURABLE.CREATE.{stream}.{name}", request)

    async def read_stream_state(self, stream: str) -> StreamState:
        """Raises NotProvisioned, Unanswered."""
        return await read_stream_state(self.api, stream)

    async def read_consumer_state(self, stream: str, consumer: str) -> ConsumerState:
        """Raises NotProvisioned, Unanswered."""
        return await read_consumer_state(self.api, stream, consumer)

    async def take_questions(self, subject: str, take: Callable[[Question], Awaitable[None]]) -> None:
        """Hands over every request on the subject, shared with the other gateways. Kept over reconnections.

        `take` returns soon: the next one waits for it.
        """
        await take_questions(self._connection.client, subject, "gateway", take)

    async def follow_answers(self, deliver: Callable[[Message], None]) -> None:
        """What the bucket of answers stores from now on, at most once. Kept over reconnections."""
        await follow(self._connection.client, names.ANSWER_SUBJECTS, deliver)

    async def follow_progress(self, deliver: Callable[[str, bytes], None]) -> None:
        """What the steps that run are at, by job, from now on and at most once. Kept over reconnections."""
        await follow_progress(self._connection.client, deliver)

    async def follow_records(self, deliver: Callable[[Message], None]) -> Feed:
        """What the bucket of jobs stores from now on. Raises NotProvisioned, NotSent, Unanswered."""
        stream = names.bucket_stream(names.JOBS_BUCKET)
        feed = Changes(self._connection.client, self.api, stream, names.RECORD_SUBJECTS, deliver)
        try:
            await feed.open()
            if self.history.take_denial(names.RECORD_SUBJECTS):
                raise NotProvisioned("the server's permissions are older than this gateway; see nats/README.md")
        except BaseException:
            await feed.close()
            raise
        return feed

    async def replay(self, stream: str, subjects: str, deliver: Callable[[Message], None], start: int) -> Feed:
        """What the stream holds from a sequence on, at an easy pace, and then what comes."""
        feed = Replay(self.api, stream, subjects, deliver, start)
        await feed.open()
        return feed

    async def close(self) -> None:
        """Sends what is still to be sent, then closes."""
        await self._connection.close()

    async def _name_what_is_missing(self, subject: str) -> None:
        """Where nobody took what was published, the missing stream may be why. Raises NotProvisioned."""
        if self.is_connected and (stream := find_stream(subject)):
            await self.read_stream_state(stream)


async def connect(settings: NatsSettings, name: str, *, role: str = "gateway") -> JetStream:
    """A connection for a command. Raises NotLetIn, InvalidSettings."""
    return JetStream(await link.connect(settings, name, role))
