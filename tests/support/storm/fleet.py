"""Handlers that are started again when they end, each behind a proxy of its own: what faults are done to."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.support.handlers import Handler, Service, start_handler
from tests.support.peers.proxy import Proxy, running_proxy

KINDS = ("kill -9", "SIGSTOP", "SIGTERM", "NATS restart", "connection cut", "gateway kill -9")
_RESTART_SECONDS = 0.2


class Supervisor:
    """A place that is always taken by some handler, as a Deployment sees to it."""

    def __init__(self, service: Service, proxy: Proxy, variables: dict[str, str]) -> None:
        self._service = service
        self._variables = variables
        self.proxy = proxy
        self.handlers: list[Handler] = []
        self.wrong_ends: list[str] = []
        self._stopped: set[int] = set()  # by SIGTERM: they must end with 0

    @property
    def handler(self) -> Handler:
        return self.handlers[-1]

    async def keep(self) -> None:
        """Until cancelled; then the last one is ended."""
        try:
            while True:
                handler = await start_handler(
                    self.proxy.url, self._service.everest, self._service.folder, **self._variables
                )
                self.handlers.append(handler)
                code = await handler.process.wait()
                if code != -signal.SIGKILL and (handler.pid not in self._stopped or code != 0):
                    self.wrong_ends.append(f"pid {handler.pid} ended with {code}: {handler.read_log()[-1500:]}")
                await asyncio.sleep(_RESTART_SECONDS)
        finally:
            if self.handlers:
                await self.handler.stop(signal.SIGKILL)

    @property
    def is_up(self) -> bool:
        return bool(self.handlers) and self.handler.process.returncode is None

    def kill(self) -> None:
        if self.is_up:
            self.handler.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        """Only one that has set its signals up: a signal during the start of Python ends it otherwise."""
        if self.is_up and "handler.started" in self.handler.read_log():
            self._stopped.add(self.handler.pid)
            self.handler.send_signal(signal.SIGTERM)

    async def freeze(self, seconds: float) -> None:
        if not self.is_up:
            return
        handler = self.handler
        handler.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        if handler.process.returncode is None:
            handler.send_signal(signal.SIGCONT)

    async def cut(self, seconds: float) -> None:
        self.proxy.cut()
        await asyncio.sleep(seconds)
        self.proxy.mend()


class Faults:
    """Does random things to the supervisors and to NATS, as its seed says."""

    def __init__(
        self,
        service: Service,
        supervisors: list[Supervisor],
        lease_seconds: float,
        seed: int,
        kinds: Sequence[str] = KINDS,
    ) -> None:
        self.kinds = kinds
        self._service = service
        self._supervisors = supervisors
        self._lease_seconds = lease_seconds
        self._random = random.Random(seed)
        self._deck: list[str] = []
        self._restarting = asyncio.Lock()
        self.done: Counter[str] = Counter()

    async def do_one(self) -> None:
        """One of a deck of all kinds, which is shuffled anew when it is empty."""
        if not self._deck:
            self._deck = self._random.sample(self.kinds, len(self.kinds))
        kind = self._deck.pop()
        supervisor = self._random.choice(self._supervisors)
        await self._do(kind, supervisor)
        self.done[kind] += 1

    async def _do(self, kind: str, supervisor: Supervisor) -> None:
        match kind:
            case "kill -9":
                supervisor.kill()
            case "SIGSTOP":
                await supervisor.freeze(self._lease_seconds * self._random.uniform(1.1, 2.5))
            case "SIGTERM":
                supervisor.stop()
            case "NATS restart":
                async with self._restarting:
                    await self._service.server.kill()
                    await asyncio.sleep(self._random.choice((0, 1, self._lease_seconds * 1.2)))
                    await self._service.server.start()
            case "gateway kill -9":
                async with self._restarting:
                    await self._service.gateway.restart()
            case "connection cut":
                await supervisor.cut(self._lease_seconds * self._random.uniform(0.1, 2))

    async def pause(self) -> None:
        await asyncio.sleep(self._lease_seconds * self._random.uniform(0.1, 0.8))

    def pick_seconds(self) -> float:
        """How long an installation of operators takes now: longer than a takeover, sometimes."""
        return self._random.choice((0.2, 0.2, 0.5, self._lease_seconds, 2.2 * self._lease_seconds))


@asynccontextmanager
async def running_fleet(service: Service, count: int, **variables: str) -> AsyncIterator[list[Supervisor]]:
    """`count` supervisors that are kept until the end."""
    async with asyncio.TaskGroup() as group:
        opened = [running_proxy(service.server) for _ in range(count)]
        supervisors = [Supervisor(service, await proxy.__aenter__(), variables) for proxy in opened]
        keepers = [group.create_task(supervisor.keep()) for supervisor in supervisors]
        try:
            yield supervisors
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.wait(keepers)
            for proxy in opened:
                await proxy.__aexit__(None, None, None)
