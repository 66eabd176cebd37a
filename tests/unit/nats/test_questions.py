"""Questions to NATS: each has its own answer, or an end, also where a cancel comes together with the answer."""

import asyncio
from typing import Any

import pytest

from contracts.link.api import Api
from contracts.link.client import LinkClient
from contracts.link.errors import NotSent, Unanswered


class Client(LinkClient):
    """Connected to nobody; keeps where it wants its answers."""

    is_connected = True

    def __init__(self) -> None:
        super().__init__()
        self.replies: list[str] = []
        self.asked = asyncio.Condition()

    async def subscribe(self, *_: Any, **__: Any) -> Any: ...

    async def publish(self, subject: str, *_: Any, reply: str = "", **__: Any) -> None:
        async with self.asked:
            self.replies.append(reply)
            self.asked.notify_all()

    async def wait_until_asked(self, times: int) -> None:
        async with self.asked:
            await self.asked.wait_for(lambda: len(self.replies) == times)

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
