"""One run: jobs are submitted while something is wrong, and the end is judged as that of `make chaos`."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.chaos import Run
from tests.simulator import simulated_everest
from tests.support.gateways import running_gateway
from tests.support.handlers import Service
from tests.support.servers import NatsServer
from tests.support.storm.oracle import Witness, judge

LEASE_SECONDS = 5.0
PACE_SECONDS = 0.3  # faster than jobs end, so that some wait for others of their tenant
JOB_SECONDS = 2.0  # what an installation of operators takes

Disturb = Callable[[], Awaitable[None]]


class PassedOver(Exception):
    """This cannot be tried here, and why."""


async def run_jobs(
    service: Service,
    disturb: Disturb,
    *,
    jobs: int,
    lease_seconds: float,
    pace_seconds: float = PACE_SECONDS,
    in_bulk: bool = False,
) -> Run:
    """The jobs come, one after the other or as one batch, while `disturb` does what it does; judged when all ended."""
    started_at = time.monotonic()
    await service.everest.set_faults(job_seconds=JOB_SECONDS)
    run = Run(service, int(started_at), lease_seconds)
    witness = Witness()
    watching = asyncio.create_task(witness.watch(service.server.url))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(run.submit_batch(jobs) if in_bulk else run.submit(jobs, pace_seconds))
            group.create_task(_complete(disturb))
        await run.settle()
        run.verdict = await judge(service, run.accepted, witness)
    finally:
        watching.cancel()
        await asyncio.wait({watching})
    run.seconds = time.monotonic() - started_at
    return run


async def _complete(disturb: Disturb) -> None:
    await disturb()


@contextlib.asynccontextmanager
async def open_service(folder: Path, server: NatsServer, urls: str, **gateway: Any) -> AsyncIterator[Service]:
    """Around servers that run and are provisioned. `gateway` are variables of the gateway's own."""
    async with simulated_everest(folder / "everest") as everest, running_gateway(urls, folder, **gateway) as front:
        yield Service(server, everest, front, folder)
