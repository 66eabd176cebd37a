"""Questions to NATS: each has its own answer, or an end, also where a cancel comes together with the answer."""

import asyncio
from typing import Any, cast

import pytest
from nats.aio.transport import Transport

from contracts.link.api import Api
from contracts.link.client import LinkClient
from contracts.link.errors import NotSent, Unanswered


class Client(LinkClient):
    """Connected to nobody; keeps where it wants its answers."""

    is_connected = True

    def __init__(self) -> None:
        super().__init__()
        self.replies: list[str] = []
        self._sent: asyncio.Queue[bytes] = asyncio.Queue()

    async def subscribe(self, *_: Any, **__: Any) -> Any: ...

    def _send(self, message: bytes) -> None:
        self._sent.put_nowait(message)

    async def wait_until_asked(self, times: int) -> None:
        for _ in range(times):
            message = await self._sent.get()
            self.replies.append(message.split()[2].decode())

    @property
    def has_sent_nothing(self) -> bool:
        return self._sent.empty()

    async def answer(self, reply: str, body: bytes, headers: bytes = b"") -> None:
        await self._process_msg(1, reply.encode(), b"", body, headers)


async def start_asking(client: Client, seconds: float = 60) -> "asyncio.Task[dict[str, Any]]":
    asking = asyncio.create_task(Api(client, seconds).ask("INFO", {}))
    await client.wait_until_asked(1)
    return asking


async def test_a_cancel_is_not_lost_to_an_answer() -> None:
    client = Client()
    asking = await start_asking(client)
    await client.answer(client.replies[0], b"{}")
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()


async def test_an_answer_that_comes_late_or_twice_is_nobodys() -> None:
    client = Client()
    asking = await start_asking(client)
    for body in (b'{"which": 1}', b'{"which": 2}'):
        await client.answer(client.replies[0], body)
    assert await asking == {"which": 1}
    await client.answer(client.replies[0], b"{}")


async def test_who_waits_in_vain_is_told() -> None:
    client = Client()
    asking = await start_asking(client, seconds=0.01)
    with pytest.raises(Unanswered):
        await asking
    await client.answer(client.replies[0], b"{}")


async def test_where_nobody_takes_it_nothing_was_sent() -> None:
    client = Client()
    asking = await start_asking(client)
    await client.answer(client.replies[0], b"", b"NATS/1.0 503\r\n\r\n")
    with pytest.raises(NotSent):
        await asking


async def test_each_question_has_its_own_answer() -> None:
    client = Client()
    asking = [asyncio.create_task(Api(client).ask("INFO", {})) for _ in range(3)]
    await client.wait_until_asked(3)
    for number, reply in reversed([*enumerate(client.replies)]):
        await client.answer(reply, b'{"which": %d}' % number)
    assert [answer["which"] for answer in await asyncio.gather(*asking)] == [0, 1, 2]


@pytest.mark.parametrize("headers", [{"Ever\nest": "x"}, {"": "x"}, {"a:b": "x"}])
async def test_a_header_that_is_none_is_not_sent(headers: dict[str, str]) -> None:
    """That is a fault of who made it: as a silence of NATS it would be tried again for ever."""
    client = Client()
    with pytest.raises(ValueError, match="no names of headers"):
        await Api(client).publish("everest.v1.jobs.bootstrap.a", b"{}", headers)
    assert client.has_sent_nothing


async def test_a_subject_that_is_none_is_not_sent() -> None:
    client = Client()
    with pytest.raises(ValueError, match="no subject"):
        await Api(client).publish("everest.v1.jobs.bootstrap.a b", b"{}", {})
    assert client.has_sent_nothing


async def test_what_is_asked_in_one_turn_is_written_at_once_and_no_value_ends_its_line() -> None:
    client, written = LinkClient(), Written()
    client._status, client._transport, client._inbox = LinkClient.CONNECTED, cast(Transport, written), "_INBOX."
    headers = {"Name": "a\r\nB: c"}
    asking = [asyncio.create_task(client.ask(f"subject.{number}", b"body", headers, 60)) for number in range(2)]
    message = b"HPUB subject.%d _INBOX.%d 27 31\r\nNATS/1.0\r\nName: a  B: c\r\n\r\nbody\r\n"
    assert await written.parts.get() == [message % (0, 0), message % (1, 1)]
    for task in asking:
        task.cancel()
    await asyncio.wait(asking)


class Written:
    """A transport that keeps what is written at a time."""

    def __init__(self) -> None:
        self.parts: asyncio.Queue[list[bytes]] = asyncio.Queue()

    def writelines(self, parts: list[bytes]) -> None:
        self.parts.put_nowait(parts)
