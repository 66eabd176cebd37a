"""`python -m gateway`: wires the parts, serves HTTP until it is told to stop."""

import asyncio
import contextlib
import gc
import logging
import socket
import sys
import time
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
import uvloop
from starlette.types import ASGIApp

from contracts.process.logs import moment
from contracts.process.settings import InvalidSettings
from contracts.process.stopping import heeding_stops
from contracts.reporting import spans
from gateway.audit.refusals import Refusals
from gateway.audit.trail import Trail
from gateway.http.app import Parts, make_app
from gateway.http.connections import CallerConnection, FrontDoor, find_limits
from gateway.http.problems import describe
from gateway.http.routes.audit import AuditRoutes
from gateway.http.routes.batches import BatchRoutes
from gateway.http.routes.health import Health
from gateway.http.routes.interventions import InterventionRoutes
from gateway.http.routes.job_events import EventRoutes
from gateway.http.routes.job_list import ListingRoutes
from gateway.http.routes.jobs import JobRoutes
from gateway.http.routes.queries import QueryRoutes
from gateway.http.routes.tenants import TenantRoutes
from gateway.jetstream import Connection, JetStream
from gateway.jobs.batches import Batches
from gateway.jobs.interventions import Interventions
from gateway.jobs.queries import Answers, Queries
from gateway.jobs.reading import Reader
from gateway.jobs.reconciler import Reconciler
from gateway.jobs.status_responder import StatusResponder
from gateway.jobs.storage import Storage
from gateway.jobs.submission import Submission
from gateway.jobs.unfinished import UnfinishedJobs
from gateway.jobs.waiting import Listeners, Waiting
from gateway.jobs.watch import Watch
from gateway.jobs.writing import Writer
from gateway.keys import Keys, today_utc
from gateway.listening import CannotListen, listen
from gateway.listing.jobs import Listing
from gateway.logs import AccessLog, configure_logs
from gateway.metrics import Metrics
from gateway.settings import WELL_KNOWN_KEY, Environment, GatewaySettings

if TYPE_CHECKING:
    from gateway.webhooks.dispatcher import Dispatcher

logger = logging.getLogger(__name__)

STOP_SECONDS = 10  # for the requests in flight
# Longer than a proxy keeps a connection that it does not use (nginx and the load balancers of clouds: 60 s): where the
# gateway closed it first, a POST could meet its end, and no proxy sends one twice.
IDLE_SECONDS = 75
_KEYS_LOOK_SECONDS = 1.0


def serve(environment: Environment) -> int:
    """Serves until SIGTERM or SIGINT (0), or until NATS closes the connection for good (1). Raises InvalidSettings."""
    access_log = configure_logs(environment.settings.log_level)
    if environment.settings.otel_exporter_otlp_endpoint:
        spans.start("everest-bootstrap-gateway")
    try:
        listener = listen(environment.settings.host, environment.settings.port)
    except CannotListen as error:
        print(error, file=sys.stderr)
        return 1
    if environment.admin_key == WELL_KNOWN_KEY:
        logger.warning(
            "key.well_known",
            extra={"hint": f"ADMIN_API_KEY is {WELL_KNOWN_KEY!r}, which everybody knows: set one of your own"},
        )
    try:
        keys = Keys(environment.admin_key, environment.keys_file, today_utc, time.monotonic)
        connection = Connection(environment.nats, f"gateway-{socket.gethostname()}", "gateway")
        gateway = _Gateway(environment, keys, connection, access_log)
    except InvalidSettings:
        listener.close()
        raise
    # What was loaded by now stays; requests leave little garbage that only a collection finds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(gateway.run(listener))


def utc_now() -> str:
    return moment(time.time())


class _Gateway:
    """The parts, and the tasks that keep them going."""

    def __init__(self, environment: Environment, keys: Keys, connection: Connection, access_log: AccessLog) -> None:
        """Raises InvalidSettings."""
        settings, clock = environment.settings, time.monotonic
        self._keys = keys
        self._connection = connection
        self._jetstream = jetstream = JetStream(connection)
        self._listeners = listeners = Listeners()
        metrics = Metrics(jetstream, listeners)
        self._watch = Watch(jetstream, listeners, clock, metrics.observe_change)
        reader = Reader(jetstream, self._watch.cache)
        storage = Storage(clock, lambda: jetstream.history.reconnections, metrics.count_unstored)
        writer = Writer(jetstream, self._watch.cache, storage, settings.job_retention)
        submission = Submission(jetstream, reader, storage, clock)
        waiting = Waiting(reader, listeners, clock)
        self._unfinished = UnfinishedJobs(jetstream, clock)
        self._reconciler = Reconciler(
            jetstream,
            self._unfinished,
            reader,
            writer,
            submission,
            clock=clock,
            now=utc_now,
            count=metrics.count_finding,
        )
        self._answers = Answers(jetstream, listeners)
        self._responder = StatusResponder(jetstream, reader, describe)
        self._refusals = Refusals(jetstream, utc_now)
        self._webhooks = webhooks = _open_webhooks(settings, jetstream, metrics)
        find_notices = webhooks.find_notices if webhooks else list[str]
        listing = Listing(jetstream, reader)
        interventions = Interventions(jetstream, reader, writer, submission, utc_now)
        self._batches = batches = Batches(
            jetstream, reader, storage, submission, waiting, interventions, clock=clock, now=utc_now
        )
        queries = Queries(submission, waiting, settings.query_timeout)
        jobs = JobRoutes(submission, waiting, queries)
        door = FrontDoor(find_limits(), metrics.count_closed_connection)
        metrics.watch_keys(lambda: keys.is_broken)
        metrics.watch_connections(door.count_open, door.limits.most)
        self._server = _Server(
            door,
            make_app(
                Parts(
                    jobs=jobs,
                    listing=ListingRoutes(listing),
                    interventions=InterventionRoutes(interventions, jobs),
                    batches=BatchRoutes(batches, queries),
                    events=EventRoutes(jobs, reader, listeners),
                    queries=QueryRoutes(queries),
                    tenants=TenantRoutes(queries, reader, jobs, submission),
                    audit=AuditRoutes(Trail(jetstream)),
                    health=Health(
                        jetstream, storage, listing, keys, metrics, clock, find_notices, settings.gateway_nonce
                    ),
                    metrics=metrics,
                    keys=keys,
                    cache=self._watch.cache,
                    access_log=access_log,
                    settings=settings,
                    refusals=self._refusals,
                )
            ),
        )
        self._has_failed = False

    async def run(self, listener: socket.socket) -> int:
        """Serves until it is stopped; gives the exit code."""
        with heeding_stops(self._stop):
            tasks = [
                asyncio.create_task(self._use_nats(), name="nats"),
                asyncio.create_task(self._watch_keys(), name="keys"),
                asyncio.create_task(self._watch_connection(), name="connection"),
            ]
            for task in tasks:
                task.add_done_callback(self._note_end)
            logger.info("gateway.started", extra={"port": listener.getsockname()[1]})
            try:
                await self._server.serve(sockets=[listener])
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await self._jetstream.close()
            await asyncio.to_thread(spans.stop)
            logger.info("gateway.stopped")
        return 1 if self._has_failed else 0

    async def _use_nats(self) -> None:
        await self._connection.open()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._answers.follow())
            group.create_task(self._jetstream.follow_progress(self._listeners.tell_progress))
            group.create_task(self._batches.run())
            group.create_task(self._refusals.run())
            if self._webhooks is not None:
                group.create_task(self._webhooks.run())
            group.create_task(self._responder.run())
            group.create_task(self._watch.run())
            group.create_task(self._unfinished.run())
            group.create_task(self._reconciler.run())

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(_KEYS_LOOK_SECONDS)
            self._keys.reload()

    async def _watch_connection(self) -> None:
        await self._jetstream.history.closed.wait()
        raise ConnectionError("NATS closed the connection for good; the gateway ends, so that it is started again")

    def _stop(self) -> None:
        logger.info("gateway.stopping", extra={"next": "what is in flight is answered first"})
        self._listeners.stop()
        self._server.should_exit = True

    def _note_end(self, task: "asyncio.Task[None]") -> None:
        """A task that ends although nobody stopped it takes the gateway with it."""
        if task.cancelled() or self._server.should_exit:
            return
        logger.error("task.failed", extra={"task": task.get_name()}, exc_info=task.exception())
        self._has_failed = True
        self._stop()


def _open_webhooks(settings: GatewaySettings, jetstream: JetStream, metrics: Metrics) -> "Dispatcher | None":
    """None where none are declared: what brings them costs nothing then."""
    if settings.webhooks_file is None:
        return None
    from gateway.webhooks.dispatcher import Dispatcher
    from gateway.webhooks.sender import Pace

    pace = Pace(settings.webhook_retry_for)
    dispatcher = Dispatcher(
        jetstream, Path(settings.webhooks_file), pace, metrics.count_webhook, utc_now, time.monotonic
    )
    metrics.watch_webhooks(dispatcher.list_enabled, lambda: dispatcher.is_broken)
    return dispatcher


class _Server(uvicorn.Server):
    """Signals are handled by the gateway: uvicorn would raise them again at the end, and the exit code with them."""

    def __init__(self, door: FrontDoor, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(CallerConnection, door),  # type: ignore[arg-type]  # made by calling it, as a class is
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # nothing here depends on the caller's address
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield
