"""A task that is cancelled ends, also when its answer comes at the same moment."""

import asyncio
from types import SimpleNamespace
from typing import Any

from contracts.link.api import Api


class Client:
    """Asks as the library does: with `asyncio.wait_for`."""

    is_connected = True

    def __init__(self) -> None:
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def request(self, *_: Any, **more: Any) -> Any:
        return await asyncio.wait_for(self.answer, more["timeout"])


async def test_a_cancel_is_not_lost_to_an_answer() -> None:
    client = Client()
    api = Api(client)  # type: ignore[arg-type]  # all of it that is used here
    asking = asyncio.create_task(api.ask("INFO", {}))
    await asyncio.sleep(0)
    client.answer.set_result(SimpleNamespace(data=b"{}"))
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
