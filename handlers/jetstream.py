"""NATS as the handlers use it: deliveries, buckets with compare-and-set, dead letters, events.

The only module of the handlers that imports `nats`. Measured on nats-server 2.15 and nats-py 2.16: a fetch is never
cancelled (its message would be parked until ack_wait), `drain()` is never used (it can block for its whole limit), and
nothing is buffered while disconnected (an old renewal is of no use).
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nats.js.errors
import nats.protocol.parser
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from contracts import names
from contracts.logs import moment
from contracts.settings import InvalidSettings, NatsSettings

logger = logging.getLogger(__name__)

FETCH_SECONDS = 2.0  # a fetch that was waiting when the server restarted hears nothing until its own end
REQUEST_SECONDS = 3.0
CONNECT_SECONDS = 30.0
_NO_MESSAGE = 10037
_WRONG_LAST_SEQUENCE = 10071
_FULL = (10023, 10047, 10077)  # insufficient resources, store failed, maximum bytes exceeded
_INBOX_PREFIX = "_INBOX_handler"
_STATUS_HEADERS = ("Status", "Description")


class Conflict(Exception):
    """Another write came first: the revision is no longer the last."""


class BucketFull(Exception):
    """The bucket has reached its size; smaller values of keys that exist still fit."""


class Unanswered(Exception):
    """NATS did not answer: whether it did what was asked is not known."""


class NotProvisioned(Exception):
    """A stream, consumer or bucket is missing, or this user may not use it."""


# What nats-py raises where the answer is missing; a permission that is missing looks the same.
_SILENCE = (
    asyncio.TimeoutError,
    nats.errors.NoRespondersError,
    nats.errors.OutboundBufferLimitError,
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.StaleConnectionError,
    nats.js.errors.NoStreamResponseError,
    nats.js.errors.ServiceUnavailableError,
    OSError,
)


def _is_no_message(error: BaseException) -> bool:
    """Not the stream: one that is missing, or cannot be read, says nothing of what it holds."""
    return isinstance(error, nats.js.errors.APIError) and error.err_code == _NO_MESSAGE


@dataclass(frozen=True, slots=True)
class Entry:
    """What a bucket holds under a key. `value` is None where there is none; `revision` is then 0, or a tombstone's."""

    value: bytes | None
    revision: int


class Bucket:
    """A JetStream KV bucket. Reads go to the stream's leader; only a write decides."""

    def __init__(self, context: JetStreamContext, name: str) -> None:
        self._context = context
        self._stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."

    async def read(self, key: str) -> Entry:
        """Raises Unanswered."""
        try:
            message = await self._context.get_last_msg(self._stream, self._prefix + key)
        except (*_SILENCE, nats.js.errors.APIError) as error:
            if _is_no_message(error):
                return Entry(None, 0)
            raise Unanswered(f"read of {key}: {error!r}") from error
        if (message.headers or {}).get("KV-Operation"):
            return Entry(None, message.seq or 0)
        return Entry(message.data or b"", message.seq or 0)

    async def write(self, key: str, value: bytes, *, last: int, ttl_seconds: float | None = None) -> int:
        """Writes if `last` is still the key's revision (0: no value yet) and gives the new one.

        Raises Conflict, BucketFull, Unanswered.
        """
        headers = {"Nats-Expected-Last-Subject-Sequence": str(last)}
        if ttl_seconds is not None:
            headers["Nats-TTL"] = f"{max(1, int(ttl_seconds))}s"
        try:
            ack = await self._context.publish(self._prefix + key, value, headers=headers, timeout=REQUEST_SECONDS)
        except nats.js.errors.APIError as error:
            if error.err_code == _WRONG_LAST_SEQUENCE:
                raise Conflict(key) from error
            if error.err_code in _FULL:
                raise BucketFull(f"{key}: {error.description}") from error
            raise Unanswered(f"write of {key}: {error!r}") from error
        except _SILENCE as error:
            raise Unanswered(f"write of {key}: {error!r}") from error
        return ack.seq


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of one message. Only whoever has saved what became of the job may answer it."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    sequence: int
    delivered: int  # how often; it lies after a broker crash, so nothing is decided by it
    published_at: str
    _message: Msg

    @classmethod
    def of(cls, message: Msg) -> "Delivery":
        metadata = message.metadata
        return cls(
            message.subject,
            message.data,
            message.headers or {},
            metadata.sequence.stream,
            metadata.num_delivered or 1,
            moment(metadata.timestamp.timestamp()),
            message,
        )

    async def acknowledge(self) -> None:
        """A confirmed ack. One that stays unanswered is harmless: the next delivery finds the finished record."""
        for _ in range(3):
            try:
                await self._message.ack_sync(timeout=REQUEST_SECONDS)
            except _SILENCE:
                continue
            return
        logger.warning("ack.unconfirmed", extra={"subject": self.subject})

    async def extend(self) -> None:
        """Holds the next delivery back for another ack_wait."""
        await self._answer(b"+WPI")

    async def hand_back(self, delay_seconds: float = 0) -> None:
        """Gives the message to another handler, at once or after a delay that a broker crash forgets."""
        await self._answer(b"-NAK" if not delay_seconds else b'-NAK {"delay": %d}' % int(delay_seconds * 1e9))

    async def terminate(self, reason: str) -> None:
        await self._answer(b"+TERM " + reason.encode())

    async def _answer(self, body: bytes) -> None:
        """Sent without confirmation; lost with the connection, which the next delivery makes good."""
        try:
            await self._message._client.publish(self._message.reply, body)
        except (*_SILENCE, nats.errors.Error) as error:
            logger.warning("answer.lost", extra={"subject": self.subject, "error": repr(error)})


class Source:
    """A durable pull consumer that this handler is bound to."""

    def __init__(self, context: JetStreamContext, stream: str, consumer: str) -> None:
        self._context = context
        self.stream = stream
        self.consumer = consumer
        self._subscription: JetStreamContext.PullSubscription | None = None

    async def bind(self) -> float:
        """Binds and gives the consumer's ack_wait in seconds. Raises NotProvisioned, Unanswered."""
        try:
            info = await self._context.consumer_info(self.stream, self.consumer)
            self._subscription = await self._context.pull_subscribe_bind(durable=self.consumer, stream=self.stream)
        except nats.js.errors.NotFoundError as error:
            raise NotProvisioned(f"consumer {self.consumer} of stream {self.stream} is missing") from error
        except (*_SILENCE, nats.js.errors.APIError) as error:
            raise Unanswered(f"consumer {self.consumer} of stream {self.stream}: {error!r}") from error
        return float(info.config.ack_wait or 0)

    async def fetch(self) -> Delivery | None:
        """The next delivery, or None within FETCH_SECONDS. Never cancel it. Raises NotProvisioned, Unanswered."""
        assert self._subscription is not None, "bind comes first"
        try:
            (message,) = await self._subscription.fetch(1, timeout=FETCH_SECONDS)
        except nats.js.errors.ServiceUnavailableError as error:
            raise NotProvisioned(f"consumer {self.consumer} of stream {self.stream} does not answer") from error
        except TimeoutError:
            return None
        except (*_SILENCE, nats.errors.Error, nats.js.errors.APIError) as error:
            raise Unanswered(repr(error)) from error
        return Delivery.of(message)

    async def count_pending(self) -> int:
        """Messages that wait for a first delivery. Raises Unanswered."""
        try:
            info = await self._context.consumer_info(self.stream, self.consumer)
        except (*_SILENCE, nats.js.errors.APIError) as error:
            raise Unanswered(repr(error)) from error
        return info.num_pending or 0

    async def hand_back_parked(self) -> None:
        """Hands back what arrived after the last fetch had ended."""
        if self._subscription is None:
            return
        while True:
            try:
                message = await self._subscription._sub.next_msg(timeout=0.05)
            except (*_SILENCE, nats.errors.Error):
                return
            if message.headers is None or "Status" not in message.headers:
                await Delivery.of(message).hand_back()


# nats-py ends a subject at any blank, the server at a space or a tab only.
_MSG = re.compile(rb"\AMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)\r\n")
_HMSG = re.compile(rb"\AHMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)[ \t]+(\d+)\r\n")


class _Client(Client):
    """Outlives what publishers may send: at bytes that it did not expect, nats-py stops reading the connection.

    The same message would come again after each reconnection, and no handler would ever work on another one.
    """

    def __init__(self) -> None:
        super().__init__()
        nats.protocol.parser.MSG_RE, nats.protocol.parser.HMSG_RE = _MSG, _HMSG

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except (UnicodeDecodeError, IndexError):
            return None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        if headers and reply.startswith(b"$JS.ACK."):
            # A delivery, and no status of the server: nats-py takes it for one by headers that anybody can send.
            headers = {name: value for name, value in headers.items() if name not in _STATUS_HEADERS}
        message: Msg = super()._build_message(sid, _to_utf8(subject), _to_utf8(reply), data, headers)
        return message


def _to_utf8(text: bytes) -> bytes:
    return text.decode(errors="replace").encode()


class JetStream:
    """The handler's connection and what it reaches."""

    def __init__(self, client: Client, callbacks: "_Callbacks") -> None:
        self._client = client
        self._callbacks = callbacks
        self._context = client.jetstream(timeout=REQUEST_SECONDS)
        self.jobs = Bucket(self._context, names.JOBS_BUCKET)
        self.tenants = Bucket(self._context, names.TENANTS_BUCKET)
        self.cancels = Bucket(self._context, names.CANCELS_BUCKET)

    def source(self, stream: str, consumer: str) -> Source:
        return Source(self._context, stream, consumer)

    @property
    def is_connected(self) -> bool:
        return self._client.is_connected

    async def holds_message(self, stream: str, subject: str) -> bool:
        """Whether the stream still holds a message on the subject. Raises Unanswered."""
        try:
            await self._context.get_last_msg(stream, subject)
        except (*_SILENCE, nats.js.errors.APIError) as error:
            if _is_no_message(error):
                return False
            raise Unanswered(f"read of {subject}: {error!r}") from error
        return True

    async def publish_event(self, job_id: str, body: bytes) -> None:
        """At most once: who needs certainty reads the record."""
        try:
            await self._client.publish(names.event_subject(job_id), body)
        except (*_SILENCE, nats.errors.Error) as error:
            logger.warning("event.lost", extra={"error": repr(error)})

    async def write_dead_letter(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Raises Unanswered."""
        try:
            await self._context.publish(subject, body, headers=headers, timeout=REQUEST_SECONDS)
        except (*_SILENCE, nats.js.errors.APIError) as error:
            raise Unanswered(repr(error)) from error

    async def close(self) -> None:
        """Sends what is still to be sent, then closes."""
        self._callbacks.is_closing = True
        try:
            await self._client.flush(timeout=2)
        except (*_SILENCE, nats.errors.Error):
            logger.warning("nats.flush_failed")
        await self._client.close()


async def connect(settings: NatsSettings, name: str, on_closed: Callable[[], None]) -> JetStream:
    """A connection that reconnects for ever. `on_closed` is called when the server ended it for good.

    Raises Unanswered when no server takes it within CONNECT_SECONDS, InvalidSettings for files that cannot be read.
    """
    callbacks = _Callbacks(on_closed)
    client = _Client()
    try:
        await asyncio.wait_for(
            client.connect(
                settings.servers,
                name=name,
                inbox_prefix=_INBOX_PREFIX.encode(),
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                connect_timeout=5,
                ping_interval=10,
                max_outstanding_pings=2,
                drain_timeout=2,
                pending_size=0,
                error_cb=callbacks.on_error,
                closed_cb=callbacks.on_close,
                disconnected_cb=callbacks.on_disconnect,
                reconnected_cb=callbacks.on_reconnect,
                **_credentials(settings),
            ),
            CONNECT_SECONDS,
        )
    except TimeoutError as error:
        raise Unanswered(
            f"no server at {settings.nats_url} let us in: {callbacks.last_error or 'no answer'}"
        ) from error
    return JetStream(client, callbacks)


class _Callbacks:
    def __init__(self, on_closed: Callable[[], None]) -> None:
        self._on_closed = on_closed
        self.last_error = ""
        self.is_closing = False  # by ourselves: nothing to warn of

    async def on_error(self, error: Exception) -> None:
        self.last_error = repr(error)
        logger.warning("nats.error", extra={"error": self.last_error})

    async def on_close(self) -> None:
        if not self.is_closing:
            logger.error("nats.closed")
            self._on_closed()

    async def on_disconnect(self) -> None:
        if self.is_closing:
            return
        logger.warning("nats.disconnected")

    async def on_reconnect(self) -> None:
        logger.info("nats.reconnected")


def _credentials(settings: NatsSettings) -> dict[str, Any]:
    """nats-py would log in in clear text to a server without TLS, so the handshake always comes first."""
    try:
        password = settings.nats_password
        if settings.nats_password_file:
            password = Path(settings.nats_password_file).read_text().strip()
        options: dict[str, Any] = {
            "user": settings.nats_user,
            "password": password,
            "user_credentials": settings.nats_creds_file,
            "nkeys_seed": settings.nats_nkey_file,
        }
        if settings.nats_tls_ca or settings.nats_tls_cert or any(url.startswith("tls:") for url in settings.servers):
            context = ssl.create_default_context(cafile=settings.nats_tls_ca)
            if settings.nats_tls_cert:
                context.load_cert_chain(settings.nats_tls_cert, settings.nats_tls_key)
            options |= {"tls": context, "tls_handshake_first": True}
    except (OSError, ssl.SSLError) as error:
        raise InvalidSettings([f"a NATS credentials or TLS file cannot be used: {error}"]) from None
    return {name: value for name, value in options.items() if value is not None}
