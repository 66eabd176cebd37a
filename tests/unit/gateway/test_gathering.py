"""What is written in one turn of the loop leaves at once, in its order, and before the end."""

import asyncio
from typing import Any

from gateway.http.connections import Gathering


class Transport(asyncio.Transport):
    """Keeps what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def write(self, part: Any) -> None:
        self.seen.append(part)

    def close(self) -> None:
        self.seen.append("closed")

    def write_eof(self) -> None:
        self.seen.append("ended")

    def is_closing(self) -> bool:
        return "closed" in self.seen


async def test_the_parts_of_a_turn_leave_together() -> None:
    transport = Transport()
    gathering = Gathering(transport, asyncio.get_running_loop())
    gathering.write(b"head ")
    gathering.write(b"body")
    assert transport.seen == []
    await asyncio.sleep(0)
    gathering.write(b"next")
    await asyncio.sleep(0)
    assert transport.seen == [b"head body", b"next"]


async def test_what_was_written_leaves_before_the_end() -> None:
    for end, told in (("close", "closed"), ("write_eof", "ended")):
        transport = Transport()
        gathering = Gathering(transport, asyncio.get_running_loop())
        gathering.write(b"last")
        getattr(gathering, end)()
        await asyncio.sleep(0)
        assert transport.seen == [b"last", told]


async def test_nothing_is_sent_to_a_peer_that_has_left() -> None:
    transport = Transport()
    gathering = Gathering(transport, asyncio.get_running_loop())
    gathering.write(b"late")
    transport.close()
    await asyncio.sleep(0)
    assert transport.seen == ["closed"]


async def test_the_rest_is_the_transports_own() -> None:
    transport = Transport()
    gathering = Gathering(transport, asyncio.get_running_loop())
    assert not gathering.is_closing()
    gathering.close()
    assert gathering.is_closing()
