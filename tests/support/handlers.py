"""A real handler process for tests, beside a real NATS server and a simulated Everest."""

import asyncio
import json
import os
import signal
import sys
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.simulator import SimulatedEverest, simulated_everest
from tests.support.arrangement import put_tenant
from tests.support.environments import handler_settings
from tests.support.eventually import eventually
from tests.support.forks import Fork, start_fork
from tests.support.gateways import Gateway, running_gateway
from tests.support.servers import LIMIT_SECONDS, ROOT, NatsServer, free_port, nats_server

LEASE_SECONDS = 4.0  # short, so that takeovers are quick
FINISHED = ("succeeded", "failed")
RBAC_IMPORT = f"{sys.executable} -m handlers.rbac_import"


class Handler:
    """One `python -m handlers` in a session of its own."""

    def __init__(self, process: Process | Fork, log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def read_log(self) -> str:
        return self._log.read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.read_log().splitlines() if line.startswith("{")]

    async def wait_for_event(self, event: str, count: int = 1, **fields: str) -> list[dict[str, Any]]:
        """The log lines of an event with these fields, once there are so many."""
        wanted = {"event": event, **fields}

        def look() -> list[dict[str, Any]] | None:
            found = [line for line in self.log_lines() if wanted.items() <= line.items()]
            return found if len(found) >= count else None

        return await eventually(look, lambda: f"{event} is logged:\n{self.read_log()[-3000:]}")

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def wait(self) -> int:
        return await asyncio.wait_for(self.process.wait(), LIMIT_SECONDS)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends it, frozen or not, and gives its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        return await self.wait()


async def start_handler(
    nats_url: str, everest: SimulatedEverest, folder: Path, *arguments: str, **variables: str
) -> Handler:
    """Starts one; the RBAC command is the one that ships with handlers."""
    environment = _environment(ROOT, nats_url, everest, variables)
    log = folder / f"handler-{free_port()}.log"
    with log.open("wb") as output:
        process = await start_fork(
            "handlers",
            *arguments,
            environment=environment,
            stdout=output.fileno(),
            stderr=output.fileno(),
            is_leader=True,
        )
    return Handler(process, log)


async def launch_handler(
    root: Path, nats_url: str, everest: SimulatedEverest, folder: Path, *arguments: str, variables: Mapping[str, str]
) -> Handler:
    """Starts the one of the tree in `root`."""
    environment = _environment(root, nats_url, everest, variables)
    program = (sys.executable, "-m", "handlers", *arguments)
    log = folder / f"handler-{free_port()}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *program, cwd=root, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    return Handler(process, log)


def _environment(root: Path, nats_url: str, everest: SimulatedEverest, variables: Mapping[str, str]) -> dict[str, str]:
    """An empty variable is left out."""
    settings = {"NATS_URL": nats_url, "EVEREST_RBAC_APPLY_CMD": RBAC_IMPORT, "SHUTDOWN_GRACE": "10"}
    environment = {**os.environ, **everest.variables, "PYTHONPATH": str(root), **settings, **variables}
    return {name: value for name, value in environment.items() if value}


@asynccontextmanager
async def running_handler(
    nats_url: str, everest: SimulatedEverest, folder: Path, *arguments: str, **variables: str
) -> AsyncIterator[Handler]:
    """A handler that has bound its consumers. An empty variable is left out."""
    handler = await start_handler(nats_url, everest, folder, *arguments, **variables)
    try:
        await handler.wait_for_event("handler.started")
        yield handler
    finally:
        await handler.stop()


@dataclass(frozen=True, slots=True)
class Service:
    """All of it but the handlers, which tests start as they need them."""

    server: NatsServer
    everest: SimulatedEverest
    gateway: Gateway
    folder: Path
    binds_roles: bool = True

    def handler(self, *arguments: str, **variables: str) -> Any:
        """To be used as `async with service.handler() as handler`."""
        variables = {**self._settings, **variables}
        return running_handler(self.server.url, self.everest, self.folder, *arguments, **variables)

    async def start(self, *arguments: str, nats_url: str = "", **variables: str) -> Handler:
        """One that nobody ends with the test."""
        variables = {**self._settings, **variables}
        return await start_handler(nats_url or self.server.url, self.everest, self.folder, *arguments, **variables)

    @property
    def _settings(self) -> dict[str, str]:
        return {} if self.binds_roles else {"EVEREST_RBAC_APPLY_CMD": ""}

    async def job(self, job_id: str) -> dict[str, Any]:
        return dict((await self.gateway.api.get(f"/jobs/{job_id}")).json())

    async def wait_for_job(self, job_id: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The job, once it is so."""
        seen: list[dict[str, Any]] = []

        async def look() -> bool:
            seen[:] = [await self.job(job_id)]
            return is_so(seen[0])

        await eventually(look, lambda: f"the job is so: {seen}")
        return seen[0]

    async def wait_until_finished(self, job_id: str) -> dict[str, Any]:
        """The result document, once the job has ended."""
        for _ in range(LIMIT_SECONDS):
            job = (await self.gateway.api.get(f"/jobs/{job_id}", params={"wait": "5"})).json()
            if job["status"] in FINISHED:
                return dict((await self.gateway.api.get(f"/jobs/{job_id}/result")).json())
        raise AssertionError(f"the job does not end: {job}")

    async def runs_of(self, *words: str) -> list[dict[str, Any]]:
        """The everestctl runs so far that begin with these words."""
        runs = (await self.everest.effects())["runs"]
        return [run for run in runs if tuple(run["argv"][: len(words)]) == words]

    async def wait_for_run(self, *words: str, count: int = 1) -> dict[str, Any]:
        """The `count`th everestctl that begins with these words, once it runs."""

        async def look() -> dict[str, Any] | None:
            found = await self.runs_of(*words)
            return found[count - 1] if len(found) >= count else None

        return await eventually(look, f"{words} ran {count} times")

    async def have_tenant(self, **request: Any) -> None:
        """As a bootstrap of the administrator's leaves one, without running it."""
        await put_tenant(self.everest, str(uuid.uuid4()), "admin", handler_settings(self.everest.variables), **request)

    async def run_job(self, **request: Any) -> dict[str, Any]:
        """Submits a job and gives its result."""
        return await self.wait_until_finished(await self.gateway.submit(**request))


@asynccontextmanager
async def open_service(
    folder: Path, *, lease_seconds: float = LEASE_SECONDS, binds_roles: bool = True, **everest: Any
) -> AsyncIterator[Service]:
    """`everest` is handed to the simulated cluster.

    Where its handlers bind no roles, a job costs a quarter less: for what is about the protocol alone.
    """
    async with (
        nats_server(folder, lease_seconds=lease_seconds) as server,
        simulated_everest(folder / "everest", **everest) as cluster,
        running_gateway(server.url, folder) as gateway,
    ):
        yield Service(server, cluster, gateway, folder, binds_roles)
