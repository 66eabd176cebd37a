"""The front door: how many connections there may be, how long each may keep silent, how large its headers may be.

Who sends nothing makes room for who comes: at the limit, the connection that has been silent for longest is closed.
Where all are at work, a reserve beyond the limit answers health and key-holders, one short request each.
"""

import asyncio
import logging
import resource
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.http.problems import Problem, problem_response

logger = logging.getLogger(__name__)

_MOST_FILES = 65_536  # asked for, where the machine lets us
_OTHER_FILES = 128  # the log, NATS, files of the documentation that are being sent
_MOST_CONNECTIONS = 20_000
_LOG_SECONDS = 10.0
_LINGER_SECONDS = 2.0
_MOST_THROWN_BYTES = 1024 * 1024


class Closing(StrEnum):
    """Why the gateway closed a connection."""

    SILENT = "silent"  # to make room, or because no request came in time
    HEADER_SLOW = "header_slow"
    HEADER_LARGE = "header_large"
    BODY_SLOW = "body_slow"  # of a request that was answered without it
    UNREAD = "unread"  # the peer does not take its answer
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Limits:
    """`most` connections, and `reserve` beyond them. `held_bytes` is what all unfinished header sections may take."""

    most: int
    reserve: int
    header_bytes: int = 32 * 1024
    held_bytes: int = 16 * 1024 * 1024
    first_byte_seconds: float = 10
    header_seconds: float = 10
    body_seconds: float = 10
    unread_seconds: float = 20


def find_limits() -> Limits:
    """From the limit of open files, which is raised as far as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    reserve = 32 if wanted > 4 * _OTHER_FILES else 8
    return Limits(max(16, min(_MOST_CONNECTIONS, wanted - _OTHER_FILES - reserve)), reserve)


Group = dict["CallerConnection", int]


class FrontDoor:
    """All connections of this gateway. `count` is told of each that it closes, and why."""

    def __init__(self, limits: Limits, count: Callable[[str], None]) -> None:
        self.limits = limits
        self._count = count
        self._open: set[CallerConnection] = set()
        # Those that may be closed to make room, each the longest first, with the bytes of their unfinished headers.
        self._silent: Group = {}
        self._reading: Group = {}
        self._unread: Group = {}
        self._held_bytes = 0
        self._untold: dict[str, int] = {}

    def count_open(self) -> int:
        return len(self._open)

    def admit(self, connection: "CallerConnection") -> bool:
        """Makes room. False where there is none; a connection of the reserve is marked as such."""
        limits = self.limits
        if len(self._open) >= limits.most and not self._evict():
            if len(self._open) >= limits.most + limits.reserve:
                self.tell(Closing.REFUSED)
                return False
            connection.is_extra = True
        self._open.add(connection)
        self.note_silent(connection)
        return True

    def note_silent(self, connection: "CallerConnection") -> None:
        """Nothing of a request has come, or the last one is answered."""
        self._move(connection, self._silent)

    def note_reading(self, connection: "CallerConnection", size: int) -> None:
        """So many bytes of a header section have come, and not its end."""
        if connection.group is not self._reading:
            self._move(connection, self._reading)
        self._held_bytes += size - self._reading[connection]
        self._reading[connection] = size
        while self._held_bytes > self.limits.held_bytes:
            oldest = next(iter(self._reading))
            oldest.close(Closing.HEADER_SLOW)
            self._move(oldest, None)

    def note_working(self, connection: "CallerConnection") -> None:
        self._move(connection, None)

    def note_unread(self, connection: "CallerConnection") -> None:
        """Its peer does not take what it is sent."""
        self._move(connection, self._unread)

    def leave(self, connection: "CallerConnection") -> None:
        self._open.discard(connection)
        self._move(connection, None)

    def tell(self, reason: Closing) -> None:
        """Counted each time, logged as a sum every few seconds."""
        self._count(reason.value)
        if not self._untold:
            asyncio.get_running_loop().call_later(_LOG_SECONDS, self._log)
            logger.warning("connections.closed", extra={"reason": reason.value, "open": len(self._open)})
        self._untold[reason.value] = self._untold.get(reason.value, 0) + 1

    def _log(self) -> None:
        logger.warning("connections.closed", extra={"reasons": dict(self._untold), "open": len(self._open)})
        self._untold.clear()

    def _evict(self) -> bool:
        for group in (self._silent, self._reading, self._unread):
            if group:
                oldest = next(iter(group))
                oldest.close(Closing.SILENT)
                self.leave(oldest)
                return True
        return False

    def _move(self, connection: "CallerConnection", group: Group | None) -> None:
        if connection.group is not None:
            self._held_bytes -= connection.group.pop(connection)
        connection.group = group
        if group is not None:
            group[connection] = 0


class Gathering:
    """What answers are written to: a part waits for the next one where the answer's length says that more is to come.

    uvicorn writes the head of an answer and its body apart: two calls of the system, and two packets to read.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._part = b""
        self.answer: RequestResponseCycle | None = None  # that is being written
        self.is_closing = transport.is_closing

    def write(self, part: bytes) -> None:
        assert self.answer is not None
        if self._part:
            part, self._part = self._part + part, b""
        elif self.answer.expected_content_length and self.answer.scope["method"] != "HEAD":
            self._part = part
            return
        self._transport.write(part)

    def close(self) -> None:
        if self._part and not self.is_closing():  # an answer that broke off; the peer may have left meanwhile
            self._transport.write(self._part)
        self._transport.close()


class CallerConnection(HttpToolsProtocol):
    """uvicorn's connection, with limits of time and size before a request is whole and after it is answered."""

    def __init__(self, door: FrontDoor, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._door = door
        self._timer: asyncio.TimerHandle | None = None
        self._header_size: int | None = None  # None: no header section is being read
        self._chunk_size = 0
        self._has_completed = False  # a message, in the bytes that are being read
        self._is_closed = False
        self._thrown_bytes = 0
        self.is_extra = False
        self.group: Group | None = None  # of those that may be closed to make room

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._gathering = Gathering(transport)
        if self._door.admit(self):
            self._limit(self._door.limits.first_byte_seconds, Closing.SILENT)
        else:
            self._answer(Problem("too_many_connections", headers={"Retry-After": "5"}))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.leave(self)
        self._unlimit()
        super().connection_lost(exc)
        # uvicorn leaves it where the peer reset the connection: it would be told as one that takes no answer.
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        if self._is_closed:
            self._throw_away(len(data))
            return
        was_reading, self._has_completed, self._chunk_size = self._header_size is not None, False, len(data)
        super().data_received(data)
        if self._is_closed:
            return
        if self._header_size is None:
            if self._is_waiting and self._timer is None:  # for a request; these bytes are none
                self._limit(self._door.limits.first_byte_seconds, Closing.SILENT)
            return
        if was_reading or not self._has_completed:
            self._header_size += self._chunk_size
        if self._header_size > self._door.limits.header_bytes:
            self._refuse_headers()
            return
        if not was_reading:
            self._limit(self._door.limits.header_seconds, Closing.HEADER_SLOW)
        self._door.note_reading(self, self._header_size)

    def _throw_away(self, size: int) -> None:
        self._thrown_bytes += size
        if self._thrown_bytes > _MOST_THROWN_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_size = 0
        if self.is_extra:
            self.scope["state"]["is_extra"] = True

    def on_headers_complete(self) -> None:
        most = (self._header_size or 0) + self._chunk_size
        self._header_size = None
        self._unlimit()
        if self._is_closed:
            return
        if most > self._door.limits.header_bytes and self._measure_headers() > self._door.limits.header_bytes:
            self._refuse_headers()
            return
        self._door.note_working(self)
        super().on_headers_complete()
        if self.is_extra:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._gathering.answer, cycle.transport = cycle, cast("asyncio.Transport", self._gathering)
        super()._start_asgi_task(cycle, app)

    def _measure_headers(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        if not self._is_closed:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._has_completed = True
        if self._is_closed:
            return
        super().on_message_complete()
        self.scope["state"]["is_whole"] = True
        if self.cycle.response_complete:
            self._unlimit()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_waiting:
            return  # The next of several that came together is at work.
        self._door.note_silent(self)
        if self.transport.is_closing():
            self._limit(self._door.limits.unread_seconds, Closing.UNREAD)
        elif self.cycle.more_body:
            self._limit(self._door.limits.body_seconds, Closing.BODY_SLOW)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._door.note_unread(self)
        self._limit(self._door.limits.unread_seconds, Closing.UNREAD)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unlimit()
        if self._is_waiting:
            self._door.note_silent(self)
        else:
            self._door.note_working(self)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._limit(self._door.limits.unread_seconds, Closing.UNREAD)

    def close(self, reason: Closing) -> None:
        """At once, whatever it was doing."""
        self._door.tell(reason)
        self._is_closed = True
        self.transport.abort()

    @property
    def _is_waiting(self) -> bool:
        """For a request: none is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _limit(self, seconds: float, reason: Closing) -> None:
        self._unlimit()
        self._timer = self.loop.call_later(seconds, self.close, reason)

    def _unlimit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse_headers(self) -> None:
        """What still comes is thrown away for a moment: closing at once would cost the peer the answer."""
        self._door.tell(Closing.HEADER_LARGE)
        self._door.note_silent(self)
        self._answer(Problem("headers_too_large"))
        self.transport.write_eof()
        self._unlimit()
        self._timer = self.loop.call_later(_LINGER_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Of uvicorn, where its parser gives up: also at a method that no standard knows."""
        self._answer(Problem("not_http"))
        self.transport.close()

    def _answer(self, problem: Problem) -> None:
        """By itself: no request is passed on."""
        self._is_closed = True
        answer = problem_response(problem)
        lines = [f"HTTP/1.1 {answer.status_code} {problem.code}".encode(), b"connection: close"]
        lines += [name + b": " + value for name, value in answer.raw_headers]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + bytes(answer.body))
