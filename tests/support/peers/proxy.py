"""A TCP proxy between a handler and its NATS server, which cuts the connection, or holds it at a chosen message."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.support.servers import LOOPBACK, NatsServer

_READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Publish:
    """What a client publishes, headers included in `payload`."""

    subject: str
    payload: bytes


class Proxy:
    """Lets everything through, until it is told otherwise."""

    def __init__(self, target: NatsServer) -> None:
        self._target = target
        self._pipes: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self._stop_at: Callable[[Publish], bool] | None = None
        self._is_sent = False
        self._reached = asyncio.Event()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._listener is not None
        return f"nats://{LOOPBACK}:{self._listener.sockets[0].getsockname()[1]}"

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._serve, LOOPBACK, 0)

    async def close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        self._drop()

    def cut(self) -> None:
        """Ends every connection and takes no new one until `mend`."""
        self._is_cut = True
        self._drop()

    def mend(self) -> None:
        self._is_cut = False

    def stop_at(self, reached: Callable[[Publish], bool], *, sent: bool = False) -> None:
        """At the first publish that fits, nothing passes any more in either direction. `sent`: but that publish does.

        Messages of the server are then held back too, so that the handler never learns what came of it.
        """
        self._reached.clear()
        self._is_sent = sent
        self._stop_at = reached

    async def wait_until_stopped(self) -> None:
        await self._reached.wait()

    def _drop(self) -> None:
        for writer in self._pipes:
            writer.transport.abort()
        self._pipes.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._target.port)
        except OSError:
            writer.transport.abort()
            return
        self._pipes |= {writer, server_writer}
        try:
            await asyncio.gather(self._pass_publishes(reader, server_writer), self._pass(server_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # one side is gone: so is the other
        finally:
            for end in (writer, server_writer):
                self._pipes.discard(end)
                end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while received := await reader.read(_READ_BYTES):
            if self._reached.is_set():
                continue
            writer.write(received)
            await writer.drain()
        raise ConnectionResetError

    async def _pass_publishes(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line = await reader.readuntil(b"\r\n")
            words = line.split()
            if words[0] not in (b"PUB", b"HPUB"):
                self._forward(writer, line)
                continue
            payload = await reader.readexactly(int(words[-1]) + 2)
            is_there = self._stop_at is not None and self._stop_at(Publish(words[1].decode(), payload[:-2]))
            if not is_there or self._is_sent:
                self._forward(writer, line + payload)
                await writer.drain()
            if is_there:
                self._stop_at = None
                self._reached.set()

    def _forward(self, writer: asyncio.StreamWriter, content: bytes) -> None:
        if not self._reached.is_set():
            writer.write(content)


@asynccontextmanager
async def running_proxy(target: NatsServer) -> AsyncIterator[Proxy]:
    proxy = Proxy(target)
    await proxy.open()
    try:
        yield proxy
    finally:
        with contextlib.suppress(OSError):
            await proxy.close()
