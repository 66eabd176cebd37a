"""`python -m gateway`: wires the parts, serves HTTP until it is told to stop."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Generator

import uvicorn
import uvloop
from starlette.applications import Starlette

from contracts.settings import InvalidSettings
from gateway.app import Parts, make_app
from gateway.health import Health
from gateway.jetstream import Connection
from gateway.job_routes import JobRoutes
from gateway.keys import Keys, today_utc
from gateway.listeners import Listeners
from gateway.logs import configure_logs
from gateway.queries import Queries
from gateway.query_routes import QueryRoutes
from gateway.reading import Reader
from gateway.settings import WELL_KNOWN_KEY, Environment
from gateway.submission import Submission
from gateway.waiting import Waiting
from gateway.watch import Watch

logger = logging.getLogger(__name__)

STOP_SECONDS = 10  # for the requests in flight
_KEYS_LOOK_SECONDS = 1.0


def serve(environment: Environment) -> int:
    """Serves until SIGTERM or SIGINT (0), or until NATS closes the connection for good (1)."""
    configure_logs(environment.settings.log_level)
    try:
        listener = _listen(environment.settings.host, environment.settings.port)
    except OSError as error:
        reason = f"port {environment.settings.port} cannot be listened on: {error.strerror}; set PORT to another"
        print(reason, file=sys.stderr)
        return 1
    if environment.admin_key == WELL_KNOWN_KEY:
        logger.warning(
            "key.well_known",
            extra={"hint": f"ADMIN_API_KEY is {WELL_KNOWN_KEY!r}, which everybody knows: set one of your own"},
        )
    try:
        keys = Keys(environment.admin_key, environment.keys_file, today_utc)
        connection = Connection(environment.nats, f"gateway-{socket.gethostname()}")
    except InvalidSettings as error:
        listener.close()
        print("\n".join(error.problems), file=sys.stderr)
        return 1
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Gateway(environment, keys, connection, listener).run())


class _Gateway:
    """The parts, and the tasks that keep them going."""

    def __init__(self, environment: Environment, keys: Keys, connection: Connection, listener: socket.socket) -> None:
        self._environment = environment
        self._keys = keys
        self._connection = connection
        self._listener = listener
        self._jetstream = connection.jetstream
        self._listeners = Listeners()
        clock = time.monotonic
        self._watch = Watch(self._jetstream, self._listeners, clock, lambda message: None)
        self._reader = Reader(self._jetstream, self._watch.memory)
        self._submission = Submission(self._jetstream, self._reader, clock)
        self._waiting = Waiting(self._reader, self._listeners, clock)
        self._clock = clock
        self._has_failed = False

    async def run(self) -> int:
        server = _Server(self._make_app())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, server)
        tasks = [
            asyncio.create_task(self._use_nats(), name="nats"),
            asyncio.create_task(self._watch_keys(), name="keys"),
            asyncio.create_task(self._watch_connection(server), name="connection"),
        ]
        for task in tasks:
            task.add_done_callback(lambda task: self._end_with(task, server))
        logger.info("gateway.started", extra={"port": self._environment.settings.port})
        try:
            await server.serve(sockets=[self._listener])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        is_closed = self._jetstream.history.closed.is_set()
        await self._jetstream.close()
        logger.info("gateway.stopped")
        return 1 if is_closed or self._has_failed else 0

    def _make_app(self) -> Starlette:
        queries = Queries(self._submission, self._waiting, self._environment.settings.query_timeout)
        return make_app(
            Parts(
                jobs=JobRoutes(self._submission, self._waiting),
                queries=QueryRoutes(queries, self._jetstream, self._reader),
                health=Health(self._jetstream, self._clock),
                keys=self._keys,
                observe=lambda method, route, status, seconds: None,
            )
        )

    def _stop(self, server: "_Server") -> None:
        logger.info("gateway.stopping", extra={"next": "what is in flight is answered first"})
        self._listeners.stop()
        server.should_exit = True

    def _end_with(self, task: "asyncio.Task[None]", server: "_Server") -> None:
        """A task that ends although nobody stopped it takes the gateway with it."""
        if task.cancelled() or task.exception() is None:
            return
        logger.error("task.failed", extra={"task": task.get_name()}, exc_info=task.exception())
        self._has_failed = True
        self._stop(server)

    async def _use_nats(self) -> None:
        await self._connection.open()
        await self._watch.run()

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(_KEYS_LOOK_SECONDS)
            self._keys.reload()

    async def _watch_connection(self, server: "_Server") -> None:
        await self._jetstream.history.closed.wait()
        if not server.should_exit:
            logger.error("nats.lost", extra={"next": "the gateway ends, so that it is started again"})
            self._stop(server)


class _Server(uvicorn.Server):
    """Signals are handled by the gateway: uvicorn would raise them again at the end, and the exit code with them."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)
