"""nats-py's client, made to outlive what publishers may send, and to ask at less cost.

At bytes that it did not expect, nats-py stops reading the connection. The same message would come again after each
reconnection, and no handler would ever work on another one.
"""

import asyncio
import itertools
import re
import secrets
from collections.abc import Callable, Iterable

import nats.errors
import nats.protocol.parser
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

# nats-py ends a subject at any blank, the server at a space or a tab only.
_MSG = re.compile(rb"\AMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)\r\n")
_HMSG = re.compile(rb"\AHMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)[ \t]+(\d+)\r\n")
_STATUS_HEADERS = ("Status", "Description")
_STATUS = b"NATS/1.0 "
_NO_RESPONDERS = b"NATS/1.0 503"
_BLANK = re.compile(r"[ \t\r\n]")

Answer = tuple[bytes, bytes]  # its headers, as they came, and its body
Take = Callable[[bytes, bytes], None]  # the headers, as they came, and the body of what is heard


class LinkClient(Client):
    """A client for subjects, headers and bodies of any bytes."""

    def __init__(self) -> None:
        super().__init__()
        nats.protocol.parser.MSG_RE, nats.protocol.parser.HMSG_RE = _MSG, _HMSG
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

    async def ask(self, subject: str, body: bytes, headers: dict[str, str] | None, seconds: float) -> bytes:
        """The body of the answer.

        The library's `request` takes each answer through a queue, a task and a parser of headers, for twice the cost,
        and may lose a cancellation that comes with it: `asyncio.wait_for` does, before Python 3.12.

        Raises TimeoutError, NoRespondersError, and what `publish` raises.
        """
        _, answer = await self._ask(str(next(self._tokens)), subject, body, headers, seconds)
        return answer

    async def ask_for_many(self, subject: str, body: bytes, seconds: float) -> tuple[list[Answer], bytes]:
        """All answers up to the status of the server's that ends them, and that status. Raises as `ask` does."""
        token = str(next(self._tokens))
        answers: list[Answer] = []
        self._gathered[token.encode()] = answers
        try:
            end, _ = await self._ask(token, subject, body, None, seconds)
        finally:
            del self._gathered[token.encode()]
        return answers, end.removeprefix(_STATUS)

    async def publish_many(self, messages: Iterable[tuple[str, str, bytes]]) -> None:
        """Sends subjects, blocks of headers and bodies in one piece: the library takes thrice as long to send each.

        Raises what `publish` raises, and has sent nothing then.
        """
        if not self.is_connected:
            raise nats.errors.OutboundBufferLimitError
        lines: list[bytes] = []
        for subject, block, body in messages:
            if _BLANK.search(subject):
                raise nats.errors.BadSubjectError
            if len(body) > self._max_payload:
                raise nats.errors.MaxPayloadError
            headers = block.encode()
            size = len(headers) + len(body)
            lines += (f"HPUB {subject} {len(headers)} {size}\r\n".encode(), headers, body, b"\r\n")
        await self._send_command(b"".join(lines))
        await self._flush_pending()

    async def _ask(
        self, token: str, subject: str, body: bytes, headers: dict[str, str] | None, seconds: float
    ) -> Answer:
        if not self._inbox:
            await self._open_inbox()
        loop, key = asyncio.get_running_loop(), token.encode()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._asked[key] = answer
        timer = loop.call_later(seconds, _give_up, answer)
        try:
            await self.publish(subject, body, reply=self._inbox + token, headers=headers)
            return await answer
        finally:
            timer.cancel()
            del self._asked[key]

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


def _to_utf8(text: bytes) -> bytes:
    return text.decode(errors="replace").encode()
