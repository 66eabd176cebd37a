"""What rows work with: a folder, real processes that end with it, and the load generator."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.commands.processes import Child, start
from tests.laboratory.benchmarks.load import Order, Report
from tests.laboratory.benchmarks.postgresql import make_command
from tests.simulator import simulated_everest
from tests.support.gateways import KEY, Gateway, running_gateway
from tests.support.handlers import RBAC_IMPORT
from tests.support.servers import LIMIT_SECONDS, LOOPBACK, ROOT, NatsServer, free_port, nats_cluster

KEY_HEADER = {"X-Admin-Key": KEY}
_STOP_SECONDS = 60
_LEASE_SECONDS = 60.0


class UnexpectedAnswer(Exception):
    """The load was answered in another way than the figure is about."""


class Bench:
    """Starts what a row needs. All of it ends when the row does, however that comes."""

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._log = stack.enter_context((folder / "processes.log").open("ab"))

    async def start_nats(
        self, store: Path | None = None, configuration: Path | None = None, *, provisioned: bool = True
    ) -> NatsServer:
        """A server on a store of its own, unless one is given."""
        server = NatsServer(store or self.folder / f"nats-{free_port()}", configuration=configuration)
        self._stack.push_async_callback(server.stop)
        await server.start()
        if provisioned:
            with contextlib.redirect_stdout(sys.stderr):  # what it says is no part of the table
                await server.provision()
        return server

    async def start_cluster(self) -> NatsServer:
        """Three servers, every stream on each of them; gives the first."""
        with contextlib.redirect_stdout(sys.stderr):
            cluster = await self._stack.enter_async_context(
                nats_cluster(self.folder / "cluster", lease_seconds=_LEASE_SECONDS)
            )
        return cluster[0]

    async def start_gateway(self, server: NatsServer, **variables: Any) -> Gateway:
        return await self._stack.enter_async_context(running_gateway(server.url, self.folder, **variables))

    async def start_everest(self) -> Mapping[str, str]:
        """The simulated Everest; gives a handler's variables."""
        everest = await self._stack.enter_async_context(simulated_everest(self.folder / "everest"))
        return {**everest.variables, "EVEREST_RBAC_APPLY_CMD": RBAC_IMPORT}

    async def start_handler(self, server: NatsServer, variables: Mapping[str, str]) -> Child:
        """Started, and maybe not yet working. `variables` say where its tools are."""
        return await self._start_python("handler", ["-m", "handlers"], {"NATS_URL": server.url, **variables})

    async def start_bare(self, documents: Mapping[str, bytes]) -> int:
        """The bare Starlette application; gives its port."""
        folder = self.folder / f"documents-{free_port()}"
        folder.mkdir()
        for name, body in documents.items():
            (folder / name).write_bytes(body)
        port = free_port()
        await self._start_python("bare", ["-m", "tests.laboratory.benchmarks.bare", str(port), str(folder)], {})
        await _wait_for_port(port)
        return port

    async def start_inserting(self) -> int:
        """Starlette in front of a PostgreSQL of its own; gives its port. Raises PassedOver."""
        port, database_port = free_port(), free_port()
        command, folder = await make_command(database_port)
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        await self._start("postgresql", command, os.environ)
        await _wait_for_port(database_port)
        arguments = ["-m", "tests.laboratory.benchmarks.inserting", str(port), str(database_port)]
        await self._start_python("inserting", arguments, {})
        await _wait_for_port(port)
        return port

    async def load(self, port: int, paths: list[str], status: int, **order: Any) -> Report:
        """Runs the generator to its end. Raises UnexpectedAnswer."""
        report = Report(**json.loads(await self.run_program("load", stdin=_encode_order(port, paths, **order))))
        if set(report.statuses) != {str(status)}:
            raise UnexpectedAnswer(f"{report.statuses} instead of {status}")
        return report

    @contextlib.asynccontextmanager
    async def held(self, port: int, paths: list[str], clients: int) -> AsyncIterator[None]:
        """So many callers, each with one request that is not answered yet."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.laboratory.benchmarks.load",
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(_encode_order(port, paths, clients=clients, requests=clients, hold=True))
            line = await asyncio.wait_for(process.stdout.readline(), LIMIT_SECONDS)
            if line != b"held\n":
                raise UnexpectedAnswer("the callers could not connect")
            yield
            process.stdin.close()
            report = json.loads(await asyncio.wait_for(process.stdout.readline(), LIMIT_SECONDS))
            if report["statuses"]:
                raise UnexpectedAnswer(f"callers did not wait: {report['statuses']}")
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def run_program(
        self, name: str, *arguments: str, variables: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> str:
        """Runs a program of this package to its end; gives what it printed. Raises UnexpectedAnswer."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"tests.laboratory.benchmarks.{name}",
            *arguments,
            cwd=ROOT,
            env={**os.environ, **(variables or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
        )
        try:
            output, _ = await process.communicate(stdin)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise UnexpectedAnswer(f"{name} ended with {process.returncode}")
        return output.decode()

    async def _start_python(self, name: str, arguments: list[str], variables: Mapping[str, str]) -> Child:
        return await self._start(
            name, [sys.executable, *arguments], {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        )

    async def _start(self, name: str, argv: list[str], environment: Mapping[str, str]) -> Child:
        child = await start(name, argv, environment, output=self._log.fileno())
        self._stack.push_async_callback(child.stop, _STOP_SECONDS)
        return child


def _encode_order(port: int, paths: list[str], **order: Any) -> bytes:
    return json.dumps(asdict(Order(port, paths, headers=KEY_HEADER, **order))).encode() + b"\n"


async def _wait_for_port(port: int) -> None:
    for _ in range(LIMIT_SECONDS * 20):
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise UnexpectedAnswer(f"nothing listens on port {port}")


def resident_megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise UnexpectedAnswer(f"process {pid} is gone")
