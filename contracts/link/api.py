"""Requests to JetStream: publishing, and the server's own API, with every answer turned into its meaning."""

import asyncio
import itertools
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import nats.errors
import orjson

from contracts.link.client import Answer, LinkClient
from contracts.link.errors import (
    Conflict,
    ManagementRefused,
    NodesAway,
    NotProvisioned,
    NotSent,
    Refused,
    TooLarge,
    Unanswered,
)
from contracts.link.messages import read_moment, shorten_moment

REQUEST_SECONDS = 2.0
MANAGE_SECONDS = 10.0  # a replicated stream first elects its leader
_PIECE = 100  # messages of a batch that are sent at once
_SILENCES = (nats.errors.Error, TimeoutError, OSError, orjson.JSONDecodeError)
_WHOLE = (b"204", b"404")  # the end of several answers, and that there are none
_NO_MESSAGE = (10037, 10057)  # to read, to delete
_WRONG_LAST_SEQUENCE = (10071, 10164)  # the second of replicated streams, while another write is on its way
_TOO_LARGE = 10054
_INSUFFICIENT = (10023, 10047)  # insufficient resources, store failed
_MAXIMUM = 10077  # of messages, of bytes, and of messages per subject alike
_NOT_ALLOWED = (10166, 10174)  # the stream takes no times to live, no atomic batches
_NOT_FOUND = (10014, 10059)  # consumer, stream
_OFFLINE = "peer offline"  # one of several reasons for which no peers are suitable (10005)


class NoMessage(Exception):
    """The stream holds no such message. Not the stream: one that cannot be read says nothing of what it holds."""


class Api:
    """What one connection may ask. `seconds` is how long an answer may take where nothing else is said."""

    def __init__(self, client: LinkClient, seconds: float = REQUEST_SECONDS) -> None:
        self._client = client
        self._seconds = seconds
        self._server_time: tuple[float, float] | None = None  # by its clock, and when by ours that never goes back

    def server_now(self) -> float | None:
        """Seconds since 1970 by the server's clock, as its last answer tells; None before the first."""
        if self._server_time is None:
            return None
        told, heard_at = self._server_time
        return told + time.monotonic() - heard_at

    async def publish(self, subject: str, body: bytes, headers: dict[str, str], seconds: float | None = None) -> int:
        """The sequence at which a stream has stored the message.

        Raises Refused, TooLarge, Conflict, NotSent, Unanswered.
        """
        answer = await self._request(subject, body, headers, seconds or self._seconds)
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        raise _meaning(subject, error)

    async def publish_together(
        self, messages: Iterable[tuple[str, bytes]], headers: dict[str, str], seconds: float
    ) -> None:
        """Stores subjects and bodies, with headers that all have, in order, all or none: an atomic batch (ADR-50).

        At least one. They are taken and sent by and by: the server stages while the next are made. It keeps what is
        staged apart, and forgets it where the last one does not come.

        Raises Conflict, Refused, TooLarge, NotSent, Unanswered.
        """
        headers = headers | {"Nats-Batch-Id": uuid.uuid4().hex}
        rest = iter(messages)
        number, last = 1, next(rest)
        while piece := list(itertools.islice(rest, _PIECE)):
            await self._stage([last, *piece[:-1]], headers, number)
            number, last = number + len(piece), piece[-1]
        ending = {"Nats-Batch-Sequence": str(number), "Nats-Batch-Commit": "1"}
        await self.publish(*last, headers | ending, seconds)

    async def _stage(self, messages: Sequence[tuple[str, bytes]], headers: dict[str, str], first: int) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        start = f"NATS/1.0\r\n{lines}Nats-Batch-Sequence: "
        numbered = enumerate(messages, start=first)
        try:
            self._client.send_many((subject, f"{start}{number}\r\n\r\n", body) for number, (subject, body) in numbered)
            await asyncio.sleep(0)  # it is sent at the loop's next turn
        except nats.errors.MaxPayloadError:
            raise TooLarge(f"{messages[0][0]} or another of its batch") from None
        except (nats.errors.Error, OSError) as error:
            raise NotSent(f"{messages[0][0]} and others: {error!r}") from error

    async def ask(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to an operation. Raises NoMessage, NotProvisioned, NotSent, Unanswered."""
        answer = await self._operate(operation, request, self._seconds)
        error = answer.get("error")
        if error is None:
            if "ts" in answer:
                self._server_time = (read_moment(shorten_moment(answer["ts"])), time.monotonic())
            return answer
        if error.get("err_code") in _NO_MESSAGE:
            raise NoMessage
        if error.get("err_code") in _NOT_FOUND:
            raise NotProvisioned(f"{operation}: {error.get('description')}; run python -m gateway provision")
        raise Unanswered(f"{operation}: {error.get('description')}")

    async def manage(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Makes or changes a stream or consumer. Raises NodesAway, ManagementRefused, NotSent, Unanswered."""
        answer = await self._operate(operation, request, MANAGE_SECONDS)
        if error := answer.get("error"):
            description = str(error.get("description"))
            refusal = NodesAway if _OFFLINE in description else ManagementRefused
            raise refusal(f"{operation}: {description}")
        return answer

    async def find(self, operation: str) -> dict[str, Any] | None:
        """The answer of an INFO operation; None where there is no such thing.

        Raises ManagementRefused, NotSent, Unanswered.
        """
        answer = await self._operate(operation, {}, MANAGE_SECONDS)
        error = answer.get("error")
        if error is None:
            return answer
        if error.get("err_code") in _NOT_FOUND:
            return None
        raise ManagementRefused(f"{operation}: {error.get('description')}")

    async def _operate(self, operation: str, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        return await self._request(f"$JS.API.{operation}", orjson.dumps(request), None, seconds)

    async def ask_for_many(self, operation: str, request: dict[str, Any]) -> list[Answer]:
        """All answers to an operation that gives several, none where nothing is found.

        Raises NotSent where the stream takes no such question, Unanswered.
        """
        subject = f"$JS.API.{operation}"
        try:
            answers, end = await self._client.ask_for_many(subject, orjson.dumps(request), self._seconds)
        except _SILENCES as error:
            raise _failure(subject, error) from error
        if not end.startswith(_WHOLE):
            raise Unanswered(f"{subject}: {end.decode(errors='replace').strip()}")
        return answers

    async def _request(
        self, subject: str, body: bytes, headers: dict[str, str] | None, seconds: float
    ) -> dict[str, Any]:
        try:
            _, answer = await self._client.ask(subject, body, headers, seconds)
            meaning: dict[str, Any] = orjson.loads(answer)
            return meaning
        except _SILENCES as error:
            raise _failure(subject, error) from error


def _failure(subject: str, error: Exception) -> Exception:
    """What it means where there is no answer."""
    if isinstance(error, nats.errors.MaxPayloadError):
        return TooLarge(subject)
    if isinstance(error, nats.errors.NoRespondersError | nats.errors.OutboundBufferLimitError):
        return NotSent(f"{subject}: {error!r}")
    return Unanswered(f"{subject}: {error!r}")


def _meaning(subject: str, error: dict[str, Any]) -> Exception:
    """What an error of a stream means to who published."""
    code, description = error.get("err_code"), error.get("description", "")
    if code in _WRONG_LAST_SEQUENCE:
        return Conflict(subject)
    if code == _TOO_LARGE:
        return TooLarge(subject)
    if code == _MAXIMUM or code in _INSUFFICIENT:
        return Refused(description)
    if code in _NOT_ALLOWED:
        return NotProvisioned(f"{subject}: {description}; run python -m gateway provision")
    return Unanswered(f"{subject}: {description}")
