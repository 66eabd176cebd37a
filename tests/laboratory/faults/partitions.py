"""Three nodes whose connections can be parted in any way: each calls each other through a wire of its own."""

import asyncio
import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import nats.errors
import nats.js.errors

from contracts import names
from tests.support.servers import LOOPBACK, ROOT, NatsServer, free_port

NODES = (0, 1, 2)
_READ_BYTES = 65536
# Nodes tell each other where others can be reached, and would connect around the wires: nothing listens there.
_ADVERTISED = f"{LOOPBACK}:1"

Pair = tuple[int, int]
PAIRS: tuple[Pair, ...] = ((0, 1), (0, 2), (1, 2))


class Wire:
    """Where one node calls another. Silent it takes everything and passes nothing on, as a network that loses it."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._passes = asyncio.Event()
        self._passes.set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None

    @property
    def address(self) -> str:
        assert self._listener is not None
        return f"nats://{LOOPBACK}:{self._listener.sockets[0].getsockname()[1]}"

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._serve, LOOPBACK, 0)

    def silence(self) -> None:
        self._passes.clear()

    def cut(self) -> None:
        """Ends what is open; new connections are as silent as the old ones."""
        self._passes.clear()
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    def mend(self) -> None:
        self._passes.set()

    def close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        try:
            await self._passes.wait()
            there_reader, there = await asyncio.open_connection(LOOPBACK, self._target_port)
            self._ends.add(there)
            ways = (self._pass(reader, there), self._pass(there_reader, writer))
            await asyncio.wait({asyncio.create_task(way) for way in ways}, return_when=asyncio.FIRST_COMPLETED)
            there.transport.abort()
        except OSError:
            pass  # the node is not up: whoever called tries again
        finally:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while received := await reader.read(_READ_BYTES):
                await self._passes.wait()
                writer.write(received)
                await writer.drain()


class Cluster:
    """`wires` by who calls whom."""

    def __init__(self, servers: list[NatsServer], wires: dict[Pair, Wire]) -> None:
        self.servers = servers
        self.wires = wires

    @property
    def urls(self) -> str:
        return ",".join(server.url for server in self.servers)

    def part(self, pairs: Collection[Pair], *, silent: bool = True) -> None:
        for one, other in pairs:
            for wire in (self.wires[one, other], self.wires[other, one]):
                wire.silence() if silent else wire.cut()

    def mend(self) -> None:
        for wire in self.wires.values():
            wire.mend()

    async def find_leader(self) -> int:
        """The number of the node that leads the job stream."""
        client = await nats.connect([server.url for server in self.servers])
        try:
            while True:
                with contextlib.suppress(nats.errors.Error, nats.js.errors.Error):
                    info = await client.jetstream(timeout=2).stream_info(names.JOBS_STREAM)
                    if info.cluster and info.cluster.leader:
                        return int(info.cluster.leader.rpartition("-")[2])
                await asyncio.sleep(0.2)
        finally:
            await client.close()


def pairs_of(node: int) -> list[Pair]:
    return [pair for pair in PAIRS if node in pair]


@asynccontextmanager
async def running_cluster(folder: Path, lease_seconds: float) -> AsyncIterator[Cluster]:
    """Provisioned with three copies of everything."""
    ports = [free_port() for _ in NODES]
    wires = {(caller, called): Wire(ports[called]) for caller, called in itertools.permutations(NODES, 2)}
    await asyncio.gather(*(wire.open() for wire in wires.values()))
    configuration = _write_configuration(folder / "nats")
    servers = [
        NatsServer(
            folder / f"nats-{node}",
            configuration=configuration,
            variables={
                "NATS_SERVER_NAME": f"nats-{node}",
                "NATS_CLUSTER_LISTEN": f"{LOOPBACK}:{ports[node]}",
                "NATS_ROUTES": f"[{', '.join(wire.address for (caller, _), wire in wires.items() if caller == node)}]",
            },
        )
        for node in NODES
    ]
    try:
        await asyncio.gather(*(server.start() for server in servers))
        await asyncio.gather(*(server.wait_until_healthy() for server in servers))
        await servers[0].provision(lease_seconds, len(NODES))
        yield Cluster(servers, wires)
    finally:
        await asyncio.gather(*(server.stop() for server in servers))
        for wire in wires.values():
            wire.close()


def _write_configuration(folder: Path) -> Path:
    shutil.copytree(ROOT / "nats", folder)
    configuration = folder / "cluster.conf"
    text = configuration.read_text()
    line = "  name: everest\n"
    assert line in text
    configuration.write_text(text.replace(line, f'{line}  advertise: "{_ADVERTISED}"\n'))
    return configuration
