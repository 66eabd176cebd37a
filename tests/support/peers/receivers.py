"""A receiver of webhooks: takes, refuses or keeps waiting as a test wishes, and knows what it was brought."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.servers import LOOPBACK, free_port


@dataclass(frozen=True, slots=True)
class Brought:
    """One request, as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(slots=True)
class Receiver:
    """`answer` is given the number of the request, from 1 on, and gives a status; 0: no answer at all.

    `more`: header lines of each answer.
    """

    port: int
    answer: Callable[[int], int]
    more: str = ""
    brought: list[Brought] = field(default_factory=list)
    taken: list[Brought] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/hook"

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = (line.partition(":") for line in head.split("\r\n")[1:] if line)
            headers = {name.strip().lower(): value.strip() for name, _, value in lines}
            body = await reader.readexactly(int(headers["content-length"]))
            self.brought.append(Brought(headers, body))
            status = self.answer(len(self.brought))
            if status == 0:
                await reader.read()  # until the other one leaves
                return
            if status < 300:
                self.taken.append(self.brought[-1])
            location = f"Location: http://{LOOPBACK}:{self.port}/elsewhere\r\n" if 300 <= status < 400 else ""
            rest = f"{location}{self.more}Content-Length: 0\r\nConnection: close\r\n\r\n"
            writer.write(f"HTTP/1.1 {status} x\r\n{rest}".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def receiving(answer: Callable[[int], int] = lambda _: 200, more: str = "") -> AsyncIterator[Receiver]:
    receiver = Receiver(free_port(), answer, more)
    server = await asyncio.start_server(receiver.receive, LOOPBACK, receiver.port)
    try:
        yield receiver
    finally:
        server.close()
