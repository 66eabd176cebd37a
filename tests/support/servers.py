"""Real NATS servers for tests: the repository's own configuration, a port and a store of their own, ended by pid."""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from gateway.commands.processes import find_program
from gateway.commands.provision import make_all
from gateway.settings import read_provision_environment
from tests.support.environments import environment
from tests.support.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
LIMIT_SECONDS = 180
_ports = random.SystemRandom()  # hypothesis seeds the other one alike in every worker
_given: set[int] = set()


async def settle(client: Client) -> None:
    """Returns once the server has dealt with all that the client sent before.

    nats-py writes the PING of a flush ahead of what still waits to be written, such as a SUB: only a second one comes
    after that.
    """
    await client.flush()
    await client.flush()


def free_port() -> int:
    """Below the ports that the kernel gives to connections, so that none takes it before its server does.

    Never one that was given before, whose server may be about to listen.
    """
    while True:
        port = _ports.randrange(10_000, 30_000)
        if port in _given:
            continue
        try:
            socket.create_server((LOOPBACK, port)).close()
        except OSError:
            continue
        _given.add(port)
        return port


def find_listened(port: int) -> set[str]:
    """The addresses at which somebody on this machine listens on the port, as the kernel has them."""
    found = set()
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1:4:2]
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                words = (bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
                found.add(socket.inet_ntop(family, b"".join(words)))
    return found


def write_configuration(folder: Path, *parts: str, text: str = "", publishers: str = "") -> Path:
    """A configuration made of files of nats/, in a copy of them where `publishers` have accounts."""
    shutil.copytree(ROOT / "nats", folder, dirs_exist_ok=True)
    (folder / "publishers.conf").write_text(publishers)
    configuration = folder / "test.conf"
    configuration.write_text("\n".join(["server_name: test", *(f"include {part}" for part in parts), text]))
    return configuration


class NatsServer:
    """One nats-server. `restart` proves that it is another process."""

    def __init__(
        self,
        store: Path,
        port: int | None = None,
        configuration: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """`variables` are what the configuration reads beside the three that every node has."""
        self.port = port or free_port()
        self.monitor_port = free_port()
        self._store = store
        self._configuration = configuration or ROOT / "nats" / "server.conf"
        self._variables = variables or {}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"nats://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    async def start(self) -> None:
        self._store.mkdir(parents=True, exist_ok=True)
        variables = {
            "NATS_LISTEN": f"{LOOPBACK}:{self.port}",
            "NATS_MONITOR": f"{LOOPBACK}:{self.monitor_port}",
            "NATS_STORE_DIR": str(self._store),
            **self._variables,
        }
        with (self._store / "server.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                find_program("nats-server"),
                "-c",
                str(self._configuration),
                env={**os.environ, **variables},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        await self._wait_until_ready()

    async def kill(self) -> None:
        """kill -9, and its end awaited."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    async def restart(self) -> None:
        """kill -9, then a new process on the same port and store."""
        before = self.pid
        await self.kill()
        await self.start()
        assert self.pid != before, "the server was not started anew"

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def read_log(self) -> str:
        return (self._store / "server.log").read_text()

    async def provision(
        self, lease_seconds: float = 60, replicas: int = 1, publishers: Sequence[str] = (), **variables: str
    ) -> None:
        """As the command does, in this process. A short lease makes takeovers quick. Raises what `make_all` raises."""
        variables = {"NATS_URL": self.url, "LEASE_SECONDS": str(lease_seconds), **variables}
        with environment(variables):
            settings = read_provision_environment(replicas)
        await make_all(*settings, publishers=publishers)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(number)
        await asyncio.wait_for(self._process.wait(), LIMIT_SECONDS)

    async def _wait_until_ready(self) -> None:
        async def connect() -> bool:
            assert self._process is not None
            assert self._process.returncode is None, self.read_log()[-2000:]
            _, writer = await asyncio.open_connection(LOOPBACK, self.port)
            writer.close()
            return True

        await eventually(connect, "nats-server listens")

    async def wait_until_healthy(self) -> None:
        """In a cluster: it has found the others, and JetStream has a leader."""

        async def look() -> bool:
            return bool((await asyncio.to_thread(self.read_monitor, "healthz")).get("status") == "ok")

        await eventually(look, lambda: f"the server is healthy: {self.read_log()[-2000:]}")

    def read_monitor(self, path: str) -> dict[str, Any]:
        """A page of the monitoring port; empty when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.monitor_port}/{path}", timeout=5) as answer:
                return dict(json.load(answer))
        except OSError:
            return {}

    def count_received(self, name: str) -> int:
        """Messages that have come from the connections whose names begin so."""
        connections = self.read_monitor("connz?limit=1000").get("connections", ())
        return sum(int(one["in_msgs"]) for one in connections if one.get("name", "").startswith(name))


@asynccontextmanager
async def nats_server(
    folder: Path,
    *,
    lease_seconds: float | None = None,
    configuration: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[NatsServer]:
    """A running server, provisioned where a lease is given."""
    server = NatsServer(folder / "nats", configuration=configuration, variables=variables)
    await server.start()
    try:
        if lease_seconds is not None:
            await server.provision(lease_seconds)
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def nats_cluster(
    folder: Path,
    count: int = 3,
    *,
    lease_seconds: float | None = None,
    configuration: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[list[NatsServer]]:
    """A running cluster, provisioned with as many replicas as nodes where a lease is given."""
    ports = [free_port() for _ in range(count)]
    routes = ", ".join(f"nats://{LOOPBACK}:{port}" for port in ports)
    servers = [
        NatsServer(
            folder / f"nats-{number}",
            configuration=configuration or ROOT / "nats" / "cluster.conf",
            variables={
                "NATS_SERVER_NAME": f"nats-{number}",
                "NATS_CLUSTER_LISTEN": f"{LOOPBACK}:{port}",
                "NATS_ROUTES": f"[{routes}]",
                **(variables or {}),
            },
        )
        for number, port in enumerate(ports)
    ]
    try:
        await asyncio.gather(*(server.start() for server in servers))
        await asyncio.gather(*(server.wait_until_healthy() for server in servers))
        if lease_seconds is not None:
            await servers[0].provision(lease_seconds, count)
        yield servers
    finally:
        await asyncio.gather(*(server.stop() for server in servers))
