"""Rows of the crowd: ten thousand who wait, and a hundred thousand submits at once."""

import asyncio
import json
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import nats

from contracts import names
from tests.laboratory.benchmarks.bench import Bench, UnexpectedAnswer, resident_megabytes
from tests.laboratory.benchmarks.figures import Figure, Goal, make_ratio
from tests.laboratory.benchmarks.gateway_rows import REQUEST, SUBMIT
from tests.laboratory.benchmarks.records import finished_record
from tests.laboratory.benchmarks.tools import make_tools
from tests.support.gateways import Gateway, helping_hand, running_gateway
from tests.support.servers import LIMIT_SECONDS, NatsServer

WAITERS = 10_000
BURST = 100_000
_ROUNDS = 3
_CLIENTS = 16
_POLL_SECONDS = 3.0
_PAGE = 100_000  # subjects that the server names at once


async def measure_waiters(bench: Bench) -> AsyncGenerator[Figure]:
    """Each waits for a job of its own, which nobody works on. A new gateway each round: memory is not given back."""
    server = await bench.start_nats()
    finished = finished_record()
    async with helping_hand(server) as hand:
        await hand.write(finished)
    async with running_gateway(server.url, bench.folder) as gateway:
        waited = [f"/jobs/{job_id}?wait=60" for job_id in await _submit_many(bench, gateway, WAITERS)]
    polled = f"/jobs/{finished.job_id}"
    kilobytes: list[float] = []
    crowded: list[float] = []
    alone: list[float] = []
    for _ in range(_ROUNDS):
        async with running_gateway(server.url, bench.folder) as gateway:
            poll = partial(bench.load, gateway.port, [polled], 200, clients=_CLIENTS, seconds=_POLL_SECONDS)
            await poll()
            alone.append((await poll()).rate)
            before = resident_megabytes(gateway.process.pid)
            async with bench.held(gateway.port, waited, WAITERS):
                await _wait_for_waiters(gateway)
                kilobytes.append((resident_megabytes(gateway.process.pid) - before) * 1024 / WAITERS)
                crowded.append((await poll()).rate)
    yield Figure(f"memory per waiter, {WAITERS:,} on one gateway", Goal(at_most=40, unit="KB"), kilobytes)
    title = f"poll, {_CLIENTS} clients, while {WAITERS:,} wait, against none waiting"
    yield make_ratio(title, Goal(at_least=0.8), crowded, alone, unit="/s")


async def measure_burst(bench: Bench) -> AsyncGenerator[Figure]:
    """Once, and not drained: every job that was accepted is in the queue or has a record."""
    tools = make_tools(bench.folder / "tools", pause_seconds=0.5)
    server = await bench.start_nats()
    gateway = await bench.start_gateway(server)
    await bench.start_handler(server, tools.variables)
    answers = bench.folder / "answers"
    report = await bench.load(
        gateway.port,
        [SUBMIT],
        202,
        method="POST",
        body=REQUEST,
        clients=64,
        requests=BURST,
        answers=str(answers),
    )
    accepted = _read_ids(answers)
    if report.count != BURST or len(accepted) != BURST:
        raise UnexpectedAnswer(f"{report.count} answers with {len(accepted)} ids")
    lost = accepted - await _find_ids(server)
    note = f"{report.rate:,.0f} accepted a second, in {report.seconds:.0f} s, by 64 clients"
    yield Figure(f"jobs lost of a burst of {BURST:,} submits", Goal(at_most=0), [len(lost)], note)
    note = f"{report.worst_ms:.0f} ms against {report.median_ms:.0f} ms; 99 % within {report.p99_ms:.0f} ms"
    yield Figure(
        "worst submit latency of the burst, against its median", Goal(), [report.worst_ms / report.median_ms], note
    )


async def _submit_many(bench: Bench, gateway: Gateway, count: int) -> list[str]:
    answers = bench.folder / "submitted"
    await bench.load(
        gateway.port, [SUBMIT], 202, method="POST", body=REQUEST, clients=32, requests=count, answers=str(answers)
    )
    return sorted(_read_ids(answers))


def _read_ids(answers: Path) -> set[str]:
    return {json.loads(line)["job_id"] for line in answers.read_bytes().splitlines()}


async def _find_ids(server: NatsServer) -> set[str]:
    """The queue first: a job that leaves it meanwhile has its record by then."""
    client = await nats.connect(server.url)
    try:
        found: set[str] = set()
        for stream in (names.JOBS_STREAM, f"KV_{names.JOBS_BUCKET}"):
            offset, total = 0, 1
            while offset < total:
                request = json.dumps({"subjects_filter": ">", "offset": offset}).encode()
                answer = await client.request(f"$JS.API.STREAM.INFO.{stream}", request, timeout=LIMIT_SECONDS)
                info = json.loads(answer.data)
                found |= {subject.rpartition(".")[2] for subject in info["state"].get("subjects") or ()}
                offset, total = offset + _PAGE, info.get("total", 0)
        return found
    finally:
        await client.close()


async def _wait_for_waiters(gateway: Gateway) -> None:
    """Until all of them wait, and each has read its job: what is measured then is waiting.

    First reads of waiters keep their order, so one that comes later is answered after all of them.
    """
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            text = (await gateway.nobody.get("/metrics")).text
            line = next(line for line in text.splitlines() if line.startswith("everest_bootstrap_waiters "))
            if float(line.split()[1]) == WAITERS:
                break
            await asyncio.sleep(0.2)
        await gateway.api.get(f"/jobs/{await gateway.submit()}?wait=1")
