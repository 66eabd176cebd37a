"""nats-py's client, made to outlive what publishers may send, and to ask at less cost.

At bytes that it did not expect, nats-py stops reading the connection. The same message would come again after each
reconnection, and no handler would ever work on another one.
"""

import asyncio
import itertools
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import nats.errors
import nats.protocol.parser
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from contracts import names

# nats-py ends a subject at any blank, the server at a space or a tab only.
_MSG = re.compile(rb"\AMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)\r\n")
_HMSG = re.compile(rb"\AHMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)[ \t]+(\d+)\r\n")
_STATUS_HEADERS = ("Status", "Description")
_STATUS = b"NATS/1.0 "
_NO_RESPONDERS = b"NATS/1.0 503"
_BLANK = re.compile(r"[ \t\r\n]")
_LINE_END = re.compile(r"[\r\n]")

Answer = tuple[bytes, bytes]  # its headers, as they came, and its body
Take = Callable[[bytes, bytes], None]  # the headers, as they came, and the body of what is heard


class LinkClient(Client):
    """A client for subjects, headers and bodies of any bytes."""

    def __init__(self) -> None:
        super().__init__()
        nats.protocol.parser.MSG_RE, nats.protocol.parser.HMSG_RE = _MSG, _HMSG
        self._will_write = False  # at the loop's next turn
        self._inbox = ""  # none before the first question
        self._inbox_bytes = b""
        self._tokens = itertools.count()
        self._asked: dict[bytes, asyncio.Future[Answer]] = {}
        self._gathered: dict[bytes, list[Answer]] = {}
        self._listeners: dict[int, Take] = {}

    async def listen(self, subjects: str, take: Take) -> Subscription:
        """Hands over each message as it is read, so all that comes before an answer is taken before the answer.

        The library takes each through a parser of headers, a queue and a task, at four times the cost: who stores a
        thousand records hears of each of them ahead of the acknowledgement.
        """
        number = self._sid + 1  # of the next subscription, whose first message may come at once
        self._listeners[number] = take
        try:
            return await self.subscribe(subjects)
        finally:
            if number not in self._subs:
                self._listeners.pop(number, None)

    async def ask(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None, seconds: float, token: str | None = None
    ) -> Answer:
        """The answer. `token` names the question, where several answers are gathered before that one.

        The library's `request` takes each answer through a queue, a task and a parser of headers, for twice the cost,
        and may lose a cancellation that comes with it: `asyncio.wait_for` does, before Python 3.12.

        Raises TimeoutError, NoRespondersError, OutboundBufferLimitError while disconnected, MaxPayloadError.
        """
        self._check_connected()
        if not self._inbox:
            await self._open_inbox()
        token = token or str(next(self._tokens))
        message = self._encode(subject, self._inbox + token, _encode_headers(headers), body)
        loop, key = asyncio.get_running_loop(), token.encode()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._asked[key] = answer
        timer = loop.call_later(seconds, _give_up, answer)
        try:
            self._send(message)
            return await answer
        finally:
            timer.cancel()
            del self._asked[key]

    async def ask_for_many(self, subject: str, body: bytes, seconds: float) -> tuple[list[Answer], bytes]:
        """All answers up to the status of the server's that ends them, and that status. Raises as `ask` does."""
        token = str(next(self._tokens))
        answers: list[Answer] = []
        self._gathered[token.encode()] = answers
        try:
            end, _ = await self.ask(subject, body, None, seconds, token)
        finally:
            del self._gathered[token.encode()]
        return answers, end.removeprefix(_STATUS)

    def send_many(self, messages: Iterable[tuple[str, str, bytes]]) -> None:
        """Sends subjects, blocks of headers and bodies in one piece: the library takes thrice as long to send each.

        Raises OutboundBufferLimitError while disconnected, MaxPayloadError, and has sent nothing then.
        """
        self._check_connected()
        self._send(b"".join([self._encode(subject, "", block.encode(), body) for subject, block, body in messages]))

    def _check_connected(self) -> None:
        """Nothing is kept for later: who is told that it was not sent may send it again."""
        if not self.is_connected:
            raise nats.errors.OutboundBufferLimitError

    def _encode(self, subject: str, reply: str, block: bytes, body: bytes) -> bytes:
        """A message as it is sent; without headers where the block is empty.

        The server would close the connection of who sends a subject with a blank, or more than it takes.

        Raises MaxPayloadError; ValueError for a subject that none is: NATS was not asked, and never could be.
        """
        if _BLANK.search(subject):
            raise ValueError(f"no subject: {subject!r}")
        size = len(block) + len(body)
        if size > self._max_payload:
            raise nats.errors.MaxPayloadError
        if not block:
            return b"".join((f"PUB {subject} {reply} {size}\r\n".encode(), body, b"\r\n"))
        return b"".join((f"HPUB {subject} {reply} {len(block)} {size}\r\n".encode(), block, body, b"\r\n"))

    def _send(self, message: bytes) -> None:
        """Written with all that is sent in this turn of the loop: the library wakes a task for it.

        What is not written when the connection is lost, the next one sends, as it does with the library's own.
        """
        self._pending.append(message)
        self._pending_data_size += len(message)
        if not self._will_write:
            self._will_write = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._will_write = False
        if self._pending and self._transport and self.is_connected:
            with suppress(OSError, RuntimeError):  # it is being lost, which the task that reads finds
                self._transport.writelines(self._pending)
                self._pending, self._pending_data_size = [], 0

    async def _open_inbox(self) -> None:
        """Its name is a secret: who knew it could answer."""
        self._inbox = f"{self._inbox_prefix.decode()}.{secrets.token_hex(12)}."
        self._inbox_bytes = self._inbox.encode()
        await self.subscribe(f"{self._inbox}*")

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        if take := self._listeners.get(sid):
            await self._hand_over(take, headers or b"", data)
            return
        if not self._inbox or not subject.startswith(self._inbox_bytes):
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        token, headers = subject[len(self._inbox_bytes) :], headers or b""  # nats-py has None where there are none
        answer, gathered = self._asked.get(token), self._gathered.get(token)
        if answer is None or answer.done():
            return  # it came too late
        if headers.startswith(_NO_RESPONDERS):
            answer.set_exception(nats.errors.NoRespondersError())
        elif gathered is None or headers.startswith(_STATUS):
            answer.set_result((headers, data))
        else:
            gathered.append((headers, data))

    async def _hand_over(self, take: Take, headers: bytes, body: bytes) -> None:
        try:
            take(headers, body)
        except Exception as error:  # as the library does: an error of one who listens must not end the reading
            await self._error_cb(error)

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self._listeners.pop(sid, None)

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


def _give_up(answer: "asyncio.Future[Answer]") -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def _encode_headers(headers: Mapping[str, str] | None) -> bytes:
    """The block of headers, empty for None. No value ends its line. Raises ValueError as `_encode` does."""
    if headers is None:
        return b""
    if not all(map(names.HEADER_NAME.fullmatch, headers)):
        raise ValueError(f"no names of headers: {list(headers)}")
    if _LINE_END.search("".join(headers.values())):
        headers = {name: _LINE_END.sub(" ", value) for name, value in headers.items()}
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"NATS/1.0\r\n{lines}\r\n".encode()


def _to_utf8(text: bytes) -> bytes:
    return text.decode(errors="replace").encode()
