"""NATS as the gateway uses it: publishing jobs, reading streams and buckets, following changes.

The only module of the gateway that imports `nats`. Nothing is buffered while disconnected: a submit that the caller
was told has failed must not be stored later.
"""

import asyncio
import base64
import logging
import re
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats.errors
import nats.protocol.parser
import nkeys  # type: ignore[import-untyped]  # it ships no types
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from contracts import names
from contracts.logs import moment
from contracts.settings import InvalidSettings, NatsSettings

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 2.0
MANAGE_SECONDS = 10.0  # a replicated stream first elects its leader
HEARTBEAT_SECONDS = 1.0
REPLAY_BITS_PER_SECOND = 4_000_000  # a replay of a million records, of six minutes, must not slow the answers
_ROLE = "gateway"
_REFUSALS = 3
_NO_MESSAGE = 10037
_WRONG_LAST_SEQUENCE = 10071
_TOO_LARGE = (10054,)
_INSUFFICIENT = (10023, 10047)  # insufficient resources, store failed
_MAXIMUM = 10077  # of messages, of bytes, and of messages per subject alike
_NOT_FOUND = (10014, 10059)  # consumer, stream


class Unanswered(Exception):
    """NATS did not answer: whether it did what was asked is not known."""


class NotSent(Unanswered):
    """Nothing was sent, or nobody was there to take it: it was certainly not done."""


class NotProvisioned(Unanswered):
    """A stream, consumer or bucket is missing."""


class Refused(Exception):
    """The stream does not take the message. The server uses one code for a full stream and a full subject."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.is_duplicate = "per subject" in description


class TooLarge(Exception):
    """The message is larger than the stream or the server takes."""


class Conflict(Exception):
    """Another write came first: the revision is no longer the last."""


class ManagementRefused(Exception):
    """The server does not make or change a stream or consumer as asked."""


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message. `published_at` is RFC 3339 in UTC, by the server's clock."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    sequence: int
    published_at: str

    @property
    def is_deletion(self) -> bool:
        """Whether it marks the end of a key of a bucket."""
        return "KV-Operation" in self.headers or "Nats-Marker-Reason" in self.headers


@dataclass(frozen=True, slots=True)
class StreamState:
    """`max_bytes` is -1 where there is no limit."""

    messages: int
    size_bytes: int
    max_bytes: int
    first_sequence: int
    last_sequence: int
    first_at: str | None


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """`pending` wait for a first delivery, `unacknowledged` are being worked on or were handed back."""

    pending: int
    unacknowledged: int
    delivered_sequence: int
    ack_wait_seconds: float


# nats-py ends a subject at any blank, the server at a space or a tab only.
_MSG = re.compile(rb"\AMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)\r\n")
_HMSG = re.compile(rb"\AHMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)[ \t]+(\d+)\r\n")


class _Client(Client):
    """Outlives what publishers may ask: at bytes that it did not expect, nats-py stops reading the connection."""

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
        message: Msg = super()._build_message(sid, _to_utf8(subject), _to_utf8(reply), data, headers)
        return message


def _to_utf8(text: bytes) -> bytes:
    return text.decode(errors="replace").encode()


class JetStream:
    """The gateway's connection, which may be away at any moment and comes back by itself."""

    def __init__(self, client: Client, history: "ConnectionHistory") -> None:
        self._client = client
        self.history = history

    @property
    def is_connected(self) -> bool:
        return self._client.is_connected

    async def publish(self, subject: str, body: bytes, headers: dict[str, str], *, timeout: float) -> int:
        """The sequence at which a stream has stored the message.

        Raises Refused, TooLarge, Conflict, NotSent, Unanswered.
        """
        try:
            answer = await self._request(subject, body, headers, timeout)
        except nats.errors.MaxPayloadError:
            raise TooLarge(subject) from None
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        code, description = error.get("err_code"), error.get("description", "")
        if code == _WRONG_LAST_SEQUENCE:
            raise Conflict(subject)
        if code in _TOO_LARGE:
            raise TooLarge(subject)
        if code == _MAXIMUM or code in _INSUFFICIENT:
            raise Refused(description)
        raise Unanswered(f"{subject}: {description}")

    async def read_last(self, stream: str, subject: str) -> Message | None:
        """The subject's last message. Raises Unanswered."""
        return await self._get_message(stream, {"last_by_subj": subject})

    async def read_next(self, stream: str, sequence: int, subjects: str) -> Message | None:
        """The first message on the subjects at or after the sequence. Raises Unanswered."""
        return await self._get_message(stream, {"seq": sequence, "next_by_subj": subjects})

    async def read_key(self, bucket: str, key: str) -> Message | None:
        """What the bucket holds under the key. Raises Unanswered."""
        message = await self.read_last(f"KV_{bucket}", f"$KV.{bucket}.{key}")
        return None if message is None or message.is_deletion else message

    async def write_key(
        self, bucket: str, key: str, value: bytes, *, last: int | None = None, ttl_seconds: float | None = None
    ) -> int:
        """Writes, if `last` is given only when it is still the key's revision. Gives the new revision.

        Raises Conflict, Refused, TooLarge, Unanswered.
        """
        headers = {} if last is None else {"Nats-Expected-Last-Subject-Sequence": str(last)}
        if ttl_seconds is not None:
            headers["Nats-TTL"] = f"{max(1, int(ttl_seconds))}s"
        return await self.publish(f"$KV.{bucket}.{key}", value, headers, timeout=REQUEST_SECONDS)

    async def publish_event(self, job_id: str, body: bytes) -> None:
        """At most once: who needs certainty reads the record."""
        try:
            await self._client.publish(names.event_subject(job_id), body)
        except (nats.errors.Error, OSError) as error:
            logger.warning("event.lost", extra={"job_id": job_id, "error": repr(error)})

    async def read_stream_state(self, stream: str) -> StreamState:
        """Raises Unanswered, NotProvisioned."""
        answer = await self._ask(f"STREAM.INFO.{stream}", {})
        state = answer["state"]
        return StreamState(
            state["messages"],
            state["bytes"],
            answer["config"].get("max_bytes", -1),
            state["first_seq"],
            state["last_seq"],
            state.get("first_ts") if state["messages"] else None,
        )

    async def read_consumer_state(self, stream: str, consumer: str) -> ConsumerState:
        """Raises Unanswered, NotProvisioned."""
        answer = await self._ask(f"CONSUMER.INFO.{stream}.{consumer}", {})
        return ConsumerState(
            answer["num_pending"],
            answer["num_ack_pending"],
            answer["delivered"]["stream_seq"],
            answer["config"]["ack_wait"] / 1e9,
        )

    async def answer_requests(self, subject: str, answer: Callable[[str], Awaitable[bytes]]) -> None:
        """Answers every request on the subject, shared with the other gateways. Kept over reconnections."""

        async def respond(message: Msg) -> None:
            if message.reply:
                await self._client.publish(message.reply, await answer(message.subject))

        await self._client.subscribe(subject, queue="gateway", cb=respond)

    async def open_feed(
        self, stream: str, subjects: str, deliver: Callable[[Message], None], *, start_sequence: int | None
    ) -> "Feed":
        """Follows a stream from now on; or from a sequence on, headers only, at an easy pace. Raises Unanswered."""
        feed = Feed(self._client, deliver)
        start: dict[str, Any] = {"deliver_policy": "new"}
        if start_sequence is not None:
            start = {
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": start_sequence,
                "headers_only": True,
                "rate_limit_bps": REPLAY_BITS_PER_SECOND,
            }
        try:
            await feed.open()
            await self._ask(
                f"CONSUMER.CREATE.{stream}",
                {
                    "stream_name": stream,
                    "config": {
                        **start,
                        "deliver_subject": feed.inbox,
                        "filter_subject": subjects,
                        "ack_policy": "none",
                        "max_deliver": 1,
                        "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
                        "flow_control": True,
                        "inactive_threshold": int(30e9),  # the server forgets a gateway that is gone
                        "mem_storage": True,
                        "num_replicas": 1,
                    },
                },
            )
        except BaseException:
            await feed.close()
            raise
        return feed

    async def manage(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Makes or changes a stream or consumer by the server's own API. Raises ManagementRefused, Unanswered."""
        answer: dict[str, Any] = await self._request(
            f"$JS.API.{operation}", orjson.dumps(request), None, MANAGE_SECONDS
        )
        if error := answer.get("error"):
            raise ManagementRefused(f"{operation}: {error.get('description')}")
        return answer

    async def read_management(self, operation: str) -> dict[str, Any] | None:
        """The answer of an INFO operation; None where there is no such thing. Raises ManagementRefused, Unanswered."""
        answer: dict[str, Any] = await self._request(f"$JS.API.{operation}", b"", None, MANAGE_SECONDS)
        error = answer.get("error")
        if error is None:
            return answer
        if error.get("err_code") in _NOT_FOUND:
            return None
        raise ManagementRefused(f"{operation}: {error.get('description')}")

    async def close(self) -> None:
        """Sends what is still to be sent, then closes."""
        self.history.is_closing = True
        try:
            await asyncio.wait_for(self._client.flush(timeout=1), 2)
        except (nats.errors.Error, TimeoutError, OSError):
            logger.info("nats.flush_failed")
        await self._client.close()

    async def _get_message(self, stream: str, query: dict[str, Any]) -> Message | None:
        try:
            answer = await self._ask(f"STREAM.MSG.GET.{stream}", query)
        except _NoMessage:
            return None
        return _read_message(answer["message"])

    async def _ask(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await self._request(
            f"$JS.API.{operation}", orjson.dumps(request), None, REQUEST_SECONDS
        )
        error = answer.get("error")
        if error is None:
            return answer
        if error.get("err_code") == _NO_MESSAGE:
            raise _NoMessage
        if error.get("err_code") in _NOT_FOUND:
            raise NotProvisioned(f"{operation}: {error.get('description')}; run python -m gateway provision")
        raise Unanswered(f"{operation}: {error.get('description')}")

    async def _request(self, subject: str, body: bytes, headers: dict[str, str] | None, timeout: float) -> Any:
        """Raises NotSent, Unanswered, MaxPayloadError."""
        if not self._client.is_connected:
            raise NotSent("disconnected")
        try:
            answer = await self._client.request(subject, body, timeout=timeout, headers=headers)
            return orjson.loads(answer.data)
        except nats.errors.MaxPayloadError:
            raise
        except (nats.errors.NoRespondersError, nats.errors.OutboundBufferLimitError) as error:
            raise NotSent(f"{subject}: {error!r}") from error
        except (nats.errors.Error, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise Unanswered(f"{subject}: {error!r}") from error


class _NoMessage(Exception):
    """The stream holds no such message."""


class Feed:
    """An ordered push consumer of its own. It is whole until it misses a message, and never repairs itself."""

    def __init__(self, client: Client, deliver: Callable[[Message], None]) -> None:
        self._client = client
        self._deliver = deliver
        self._subscription: Subscription | None = None
        self._next = 1  # the consumer's own count of deliveries
        self.inbox = ""
        self.last_heard_at = time.monotonic()
        self.is_whole = True

    async def open(self) -> None:
        """Raises NotSent."""
        if not self._client.is_connected:
            raise NotSent("disconnected")
        self.inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(self.inbox, cb=self._take)

    async def close(self) -> None:
        if self._subscription is not None:
            try:
                await self._subscription.unsubscribe()
            except (nats.errors.Error, OSError):
                logger.debug("feed.unsubscribe_failed")

    async def _take(self, message: Msg) -> None:
        self.last_heard_at = time.monotonic()
        headers = message.headers or {}
        if headers.get("Status") == "100":
            await self._take_control(message, headers)
            return
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<nanoseconds>.<pending>
        tokens = message.reply.split(".")
        if int(tokens[-3]) != self._next:
            self.is_whole = False
            return
        self._next += 1
        published_at = moment(int(tokens[-2]) / 1e9)
        self._deliver(Message(message.subject, message.data, headers, int(tokens[-4]), published_at))

    async def _take_control(self, message: Msg, headers: Mapping[str, str]) -> None:
        """A heartbeat tells the last delivery; flow control wants an answer before more is sent."""
        if message.reply:
            await self._client.publish(message.reply)
        elif stalled := headers.get("Nats-Consumer-Stalled"):
            await self._client.publish(stalled)
        last = headers.get("Nats-Last-Consumer")
        if last is not None and int(last) >= self._next:
            self.is_whole = False


def _read_message(stored: dict[str, Any]) -> Message:
    """The answer of STREAM.MSG.GET."""
    seconds, _, fraction = stored["time"].removesuffix("Z").partition(".")
    return Message(
        stored["subject"],
        base64.b64decode(stored.get("data", "")),
        _read_headers(base64.b64decode(stored["hdrs"])) if "hdrs" in stored else {},
        stored["seq"],
        f"{seconds}.{fraction[:3]:0<3}Z",
    )


def _read_headers(block: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in block.decode("utf-8", "replace").split("\r\n")[1:])
    return {name.strip(): value.strip() for name, separator, value in lines if separator}


class ConnectionHistory:
    """What has happened to a connection since the process began."""

    def __init__(self) -> None:
        self.reconnections = 0
        self.last_error = ""
        self.refusals = 0
        self.refusal = ""  # what the server said; a connection that it then resets says less
        self.refused = asyncio.Event()  # the credentials, and more than once: it was no server that just started
        self.closed = asyncio.Event()
        self.is_closing = False  # by ourselves: nothing to warn of

    async def on_error(self, error: Exception) -> None:
        self.last_error = repr(error)
        logger.warning("nats.error", extra={"error": self.last_error})
        if "authorization violation" in self.last_error.lower():
            self.refusals += 1
            self.refusal = self.last_error
            if self.refusals >= _REFUSALS:
                self.refused.set()

    async def on_close(self) -> None:
        """The library has given up for good, which it does for refused credentials among others."""
        if not self.is_closing:
            logger.info("nats.closed")
        self.closed.set()

    async def on_disconnect(self) -> None:
        if self.is_closing:
            return
        logger.warning("nats.disconnected", extra={"next": "reconnecting; requests are answered with 503"})

    async def on_reconnect(self) -> None:
        self.reconnections += 1
        logger.info("nats.reconnected")


class Connection:
    """A connection that is made in the background, so that the gateway answers while NATS is still away."""

    def __init__(self, settings: NatsSettings, name: str, role: str = _ROLE) -> None:
        """`role` names the inbox that its user may subscribe to. Raises InvalidSettings for unreadable files."""
        self._client = _Client()
        self._history = ConnectionHistory()
        self._options = _options(settings, name, role, self._history)
        self.jetstream = JetStream(self._client, self._history)

    async def open(self) -> None:
        """Returns once a server has taken it, however long that takes."""
        await self._client.connect(**self._options)
        logger.info("nats.connected")


async def connect(settings: NatsSettings, name: str, timeout: float = 30, *, role: str = _ROLE) -> JetStream:
    """A connection for a command. Raises NotSent when no server takes it in time, InvalidSettings.

    Refused credentials end it at once: the library itself would try them for ever.
    """
    connection = Connection(settings, name, role)
    history = connection.jetstream.history
    opening = asyncio.create_task(connection.open())
    refusal = asyncio.create_task(history.refused.wait())
    done, _ = await asyncio.wait({opening, refusal}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    for task in {opening, refusal} - done:
        task.cancel()
    if opening not in done:
        await asyncio.gather(opening, return_exceptions=True)
        raise NotSent(
            f"no server at {settings.nats_url} let us in: {history.refusal or history.last_error or 'no answer'}"
        )
    opening.result()
    return connection.jetstream


def _options(settings: NatsSettings, name: str, role: str, history: ConnectionHistory) -> dict[str, Any]:
    return {
        "servers": settings.servers,
        "name": name,
        "inbox_prefix": f"_INBOX_{role}".encode(),
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 1,
        "connect_timeout": 5,
        "ping_interval": 10,
        "max_outstanding_pings": 2,
        "drain_timeout": 2,
        "pending_size": 0,
        "error_cb": history.on_error,
        "closed_cb": history.on_close,
        "disconnected_cb": history.on_disconnect,
        "reconnected_cb": history.on_reconnect,
        **_credentials(settings),
    }


def _credentials(settings: NatsSettings) -> dict[str, Any]:
    """nats-py would log in in clear text to a server without TLS, so the handshake always comes first."""
    try:
        password = settings.nats_password
        if settings.nats_password_file:
            password = Path(settings.nats_password_file).read_text().strip()
        for file in (settings.nats_creds_file, settings.nats_nkey_file):
            if file:
                Path(file).read_bytes()  # the library would find out only when it connects
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
    except (OSError, UnicodeDecodeError, ssl.SSLError) as error:
        raise InvalidSettings([f"a file of the NATS settings cannot be used: {error}"]) from None
    return {name: value for name, value in options.items() if value is not None}


def make_user_key() -> tuple[str, str]:
    """A new nkey of a NATS user: its public key, and the seed, which is secret."""
    seed = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    return nkeys.from_seed(bytearray(seed)).public_key.decode(), seed.decode()
