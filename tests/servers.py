"""Real NATS servers for tests: the repository's own configuration, a port and a store of their own, ended by pid."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.processes import find_program

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"
LIMIT_SECONDS = 60


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


class NatsServer:
    """One nats-server. `restart` proves that it is another process."""

    def __init__(self, store: Path, port: int | None = None, configuration: Path | None = None) -> None:
        self.port = port or free_port()
        self.monitor_port = free_port()
        self._store = store
        self._configuration = configuration or ROOT / "nats" / "server.conf"
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

    async def provision(self, lease_seconds: float = 60, replicas: int = 1) -> None:
        """The real command. A short lease makes takeovers quick."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            "provision",
            "--replicas",
            str(replicas),
            cwd=ROOT,
            env={**os.environ, "NATS_URL": self.url, "LEASE_SECONDS": str(lease_seconds)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()

    async def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(number)
        await asyncio.wait_for(self._process.wait(), LIMIT_SECONDS)

    async def _wait_until_ready(self) -> None:
        assert self._process is not None
        for _ in range(LIMIT_SECONDS * 20):
            assert self._process.returncode is None, (self._store / "server.log").read_text()[-2000:]
            try:
                _, writer = await asyncio.open_connection(LOOPBACK, self.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        raise AssertionError("nats-server does not listen")


@asynccontextmanager
async def nats_server(folder: Path, *, lease_seconds: float | None = None) -> AsyncIterator[NatsServer]:
    """A running server, provisioned where a lease is given."""
    server = NatsServer(folder / "nats")
    await server.start()
    try:
        if lease_seconds is not None:
            await server.provision(lease_seconds)
        yield server
    finally:
        await server.stop()
