"""A running handler: wires its parts, works, and leaves nothing behind."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from contracts import names
from contracts.codes import Failure
from contracts.process.logs import LogFormatter, Repeats
from contracts.process.stopping import heeding_stops
from contracts.protocol import ACK_WAIT_PART
from contracts.records import UnreadableRecord, decode_record
from contracts.reporting import spans
from handlers.clock import monotonic
from handlers.commands.running import Commands
from handlers.jetstream import JetStream, NotLetIn, Source, Unanswered, connect
from handlers.jobs.consumer import Consumer, open_consumers
from handlers.jobs.runtime import Runtime
from handlers.jobs.slots import Slots
from handlers.kinds import Surroundings, make_plan
from handlers.metrics import open_metrics
from handlers.results import StepFailed
from handlers.settings import Environment
from handlers.tools.kubeconfig import is_simulated
from handlers.tools.versions import ClusterFacts

logger = logging.getLogger(__name__)

_QUERY_SLOTS = 1
_BIND_PAUSE_SECONDS = 1.0
_IDLE_PAUSE_SECONDS = 0.25


async def serve(environment: Environment, commands: Commands, until_idle_seconds: float | None = None) -> int:
    """Works until SIGTERM or SIGINT, or until idle. Gives the exit code. Raises InvalidSettings."""
    started_at = monotonic()
    configure_logs(environment.settings.log_level)
    if environment.settings.otel_exporter_otlp_endpoint:
        spans.start("everest-bootstrap-handler")
    stopping = asyncio.Event()
    with heeding_stops(stopping.set):
        return await _serve(environment, commands, stopping, until_idle_seconds, started_at)


async def _serve(
    environment: Environment,
    commands: Commands,
    stopping: asyncio.Event,
    until_idle_seconds: float | None,
    started_at: float,
) -> int:
    closed = asyncio.Event()

    def end() -> None:
        closed.set()
        stopping.set()

    try:
        jetstream = await _connect(environment, end, stopping)
    except NotLetIn as error:
        logger.error("start.failed", extra={"error": str(error)})
        return 1
    if jetstream is None:
        return 0
    await _work(environment, jetstream, commands, stopping, until_idle_seconds, started_at)
    was_closed = closed.is_set()
    await jetstream.close()
    await asyncio.to_thread(spans.stop)
    logger.info("handler.stopped", extra={"closed_by_server": was_closed})
    return 1 if was_closed else 0


async def _connect(environment: Environment, end: Callable[[], None], stopping: asyncio.Event) -> JetStream | None:
    """None when the handler is asked to stop before a server has let it in. Raises NotLetIn, InvalidSettings."""
    name = f"handler-{socket.gethostname()}-{os.getpid()}"
    connecting = asyncio.create_task(connect(environment.nats, name, end))
    stop = asyncio.create_task(stopping.wait())
    await asyncio.wait({connecting, stop}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stop, connecting):
        task.cancel()  # without effect on one that is done
    await asyncio.wait({stop, connecting})
    return None if connecting.cancelled() else connecting.result()


async def _work(
    environment: Environment,
    jetstream: JetStream,
    commands: Commands,
    stopping: asyncio.Event,
    until_idle_seconds: float | None,
    started_at: float,
) -> None:
    settings = environment.settings
    sources = [jetstream.source(stream, consumer) for stream, consumer in names.CONSUMERS]
    ack_wait_seconds, *_ = [await _bind(source, stopping) for source in sources]
    if stopping.is_set():
        return
    metrics = open_metrics(settings.metrics_port)
    runtime = Runtime(
        jetstream=jetstream,
        commands=commands,
        settings=settings,
        metrics=metrics,
        stopping=stopping,
        lease_seconds=ack_wait_seconds / ACK_WAIT_PART,
        simulated=is_simulated(settings.kubeconfig),
    )
    plan = partial(make_plan, Surroundings(settings, ClusterFacts(), partial(_find_caller, jetstream)))
    consumers = [
        *open_consumers(runtime, sources[:-1], jetstream.jobs, plan, Slots(settings.handler_concurrency)),
        *open_consumers(runtime, sources[-1:], jetstream.answers, plan, Slots(_QUERY_SLOTS)),
    ]
    metrics.observe_start(monotonic() - started_at)
    logger.info(
        "handler.started", extra={"concurrency": settings.handler_concurrency, "lease_seconds": runtime.lease_seconds}
    )
    async with asyncio.TaskGroup() as group:
        for consumer in consumers:
            group.create_task(consumer.run())
        if until_idle_seconds is not None:
            group.create_task(_stop_when_idle(until_idle_seconds, consumers, runtime))
        if settings.ready_file:
            group.create_task(_keep_ready(Path(settings.ready_file), environment, commands, runtime, consumers))


async def _keep_ready(
    file: Path, environment: Environment, commands: Commands, runtime: Runtime, consumers: list[Consumer]
) -> None:
    from handlers.preflight.checking import find_problem  # only who is probed pays for it
    from handlers.preflight.readiness import keep_ready

    async def look() -> str | None:
        if not all(consumer.is_bound for consumer in consumers):
            return "NATS or its consumers do not answer"
        if runtime.is_outdated:
            return "there are jobs of a later version, which only a newer handler can work on"
        return await find_problem(environment, commands)

    await keep_ready(file, look, runtime.stopping)


async def _bind(source: Source, stopping: asyncio.Event) -> float:
    """Waits until the consumer is there: provisioning may come after the handler."""
    failures = Repeats()
    while not stopping.is_set():
        try:
            return await source.bind()
        except Unanswered as error:
            if failures.is_due(str(error)):
                logger.warning("bind.failed", extra={"error": str(error), "times": failures.count(str(error))})
            await _wait(stopping, _BIND_PAUSE_SECONDS)
    return 0


async def _find_caller(jetstream: JetStream, job_id: str) -> str | None:
    """Who asked for a job; None where no record of it is kept. Raises StepFailed."""
    try:
        entry = await jetstream.jobs.read(job_id) if names.is_job_id(job_id) else None
        return decode_record(entry.value).caller if entry and entry.value else None
    except Unanswered:
        raise StepFailed(Failure("timed_out", f"NATS did not say who asked for the job {job_id}.")) from None
    except UnreadableRecord:
        return None


async def _stop_when_idle(seconds: float, consumers: list[Consumer], runtime: Runtime) -> None:
    """Stops the handler when for so long nothing was pending and no job was its own, delayed ones included."""
    idle_since = monotonic()
    while not runtime.stopping.is_set():
        await _wait(runtime.stopping, min(_IDLE_PAUSE_SECONDS, seconds / 4))
        if not all(consumer.is_idle for consumer in consumers) or monotonic() < runtime.delayed_until:
            idle_since = monotonic()
        elif monotonic() - idle_since >= seconds:
            if await _nothing_pending(consumers):
                logger.info("handler.idle", extra={"seconds": seconds})
                runtime.stopping.set()
            else:
                idle_since = monotonic()


async def _nothing_pending(consumers: list[Consumer]) -> bool:
    try:
        return not any([await consumer.count_pending() for consumer in consumers])
    except Unanswered:
        return False


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def configure_logs(level: str) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LogFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
