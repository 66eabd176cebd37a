"""`python -m gateway standalone`: a NATS server with a data folder, the gateway and handlers, on one machine.

A handler that dies is started again; one that cannot use its settings ends all, as the end of NATS or of the gateway
does; SIGTERM ends all in order.
"""

import asyncio
import contextlib
import fcntl
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from contracts.process.stopping import heeding_stops
from gateway.commands.embedded_server import LOCAL_PUBLISHER, EmbeddedServer
from gateway.commands.processes import Child, ProgramMissing, start
from gateway.listening import CannotListen, listen
from gateway.settings import StandaloneEnvironment, StandaloneSettings

_NATS_READY_SECONDS = 60
_RESTART_PAUSES = (0.5, 1, 2, 5, 10)
_SOUND_SECONDS = 60  # a handler that lived so long was well: its death is a first one
_STOP_MARGIN_SECONDS = 15
_BAD_SETTINGS = 2  # a handler's exit code: another start would find the same
_LOOPBACK = "127.0.0.1"


class CannotStart(Exception):
    """Something outside is in the way; the message says what to do."""


def stand_alone(environment: StandaloneEnvironment, handlers: int) -> int:
    """Runs until told to stop (0), NATS or the gateway ends by itself (1), or a handler's settings are bad (2)."""
    try:
        return asyncio.run(_Standalone(environment, handlers).run())
    except (CannotStart, ProgramMissing) as error:
        print(error, file=sys.stderr)
        return 1


class _Standalone:
    def __init__(self, environment: StandaloneEnvironment, handlers: int) -> None:
        self._settings = environment.settings
        self._handlers = handlers
        self._stopping = asyncio.Event()
        self._exit_code = 0
        self._cause = ""  # why all is stopped, where nobody asked for it
        # How another NATS is reached must not reach the one that is started here.
        variables = {name: value for name, value in environment.variables.items() if not name.startswith("NATS_")}
        self._variables = {
            **variables,
            "HOST": self._settings.host,
            "NATS_URL": f"nats://{_LOOPBACK}:{self._settings.nats_port}",
            "NATS_LISTEN": f"{_LOOPBACK}:{self._settings.nats_port}",
            "NATS_MONITOR": f"{_LOOPBACK}:-1",  # any free port: two on one machine never meet
        }
        self._server = EmbeddedServer(Path(self._settings.data_dir).resolve())

    async def run(self) -> int:
        lock = _lock_folder(self._settings)
        _check_ports(self._settings)
        _prepare(self._server)
        with heeding_stops(self._stopping.set):
            await self._run_with_nats(lock)
        if self._cause:  # once more, as the last word: stopping takes long, and logs much
            print(f"everything is stopped, because {self._cause}", file=sys.stderr)
        return self._exit_code

    async def _run_with_nats(self, lock: int) -> None:
        variables = {**self._variables, **self._server.variables}
        # The server holds the lock too: a store is free again only when nobody writes to it any more.
        nats = await start("nats-server", self._server.argv, variables, handed=(lock,))
        os.close(lock)
        try:
            await self._run_beside(nats)
        finally:
            await nats.stop(_STOP_MARGIN_SECONDS)

    async def _run_beside(self, nats: Child) -> None:
        async with self._watching(nats):
            await _wait_for_port(self._settings.nats_port, self._stopping)
            if self._stopping.is_set() or not await self._provision():
                return
            gateway = await self._start_as("gateway", "gateway", "gateway")
            try:
                async with self._watching(gateway), asyncio.TaskGroup() as group:
                    for _ in range(self._handlers):
                        group.create_task(self._keep_handler())
                    await self._stopping.wait()
            finally:
                await gateway.stop(_STOP_MARGIN_SECONDS)

    async def _start_as(self, role: str, name: str, *module: str) -> Child:
        """A child that comes into NATS by its role."""
        variables = {**self._variables, **self._server.log_in_as(role)}
        return await start(name, [sys.executable, "-m", *module], variables)

    async def _provision(self) -> bool:
        command = await self._start_as(
            "provisioner", "provision", "gateway", "provision", "--give-out-again", "--publisher", LOCAL_PUBLISHER
        )
        self._exit_code = await command.wait()
        return self._exit_code == 0

    async def _keep_handler(self) -> None:
        """A handler, started again when it dies, until all is told to stop."""
        deaths = 0
        while not self._stopping.is_set():
            started_at = time.monotonic()
            handler = await self._start_as("handler", "handler", "handlers")
            ended = asyncio.create_task(handler.wait())
            stopped = asyncio.create_task(self._stopping.wait())
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await handler.stop(self._settings.shutdown_grace + _STOP_MARGIN_SECONDS)
                return
            stopped.cancel()
            if ended.result() == _BAD_SETTINGS:
                self._end_all("the handler cannot use its settings, as it says above", _BAD_SETTINGS)
                return
            if time.monotonic() - started_at > _SOUND_SECONDS:
                deaths = 0
            pause = _RESTART_PAUSES[min(deaths, len(_RESTART_PAUSES) - 1)]
            deaths += 1
            print(f"a handler ended with {ended.result()}; the next starts in {pause} s", file=sys.stderr)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    @contextlib.asynccontextmanager
    async def _watching(self, child: Child) -> AsyncIterator[None]:
        task = asyncio.create_task(self._end_with(child))
        try:
            yield
        finally:
            task.cancel()

    async def _end_with(self, child: Child) -> None:
        code = await child.wait()
        if not self._stopping.is_set():
            self._end_all(f"{child.name} ended with {code}", 1)

    def _end_all(self, cause: str, exit_code: int) -> None:
        self._cause, self._exit_code = cause, exit_code
        print(f"{cause}; everything else is stopped now", file=sys.stderr)
        self._stopping.set()


def _prepare(server: EmbeddedServer) -> None:
    try:
        server.prepare()
    except OSError as error:
        raise CannotStart(f"DATA_DIR cannot be used: {error}") from None


def _lock_folder(settings: StandaloneSettings) -> int:
    """The descriptor of a lock: nats-server itself would let two servers write to one store."""
    try:
        Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
        lock = os.open(Path(settings.data_dir) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart(f"DATA_DIR cannot be used: {error}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise CannotStart(f"DATA_DIR {settings.data_dir} is in use by another standalone; set another") from None
    return lock


def _check_ports(settings: StandaloneSettings) -> None:
    if settings.port == settings.nats_port:
        raise CannotStart(f"port {settings.port} cannot be both PORT and NATS_PORT; set one of them to another")
    for name, host, port in (("NATS_PORT", _LOOPBACK, settings.nats_port), ("PORT", settings.host, settings.port)):
        try:
            listen(host, port, setting=name).close()
        except CannotListen as error:
            raise CannotStart(str(error)) from None


async def _wait_for_port(port: int, stopping: asyncio.Event) -> None:
    for _ in range(_NATS_READY_SECONDS * 20):
        if stopping.is_set():
            return
        try:
            _, writer = await asyncio.open_connection(_LOOPBACK, port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise CannotStart(f"nats-server does not listen on port {port}; see its log above")
