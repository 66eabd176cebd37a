"""Rows of the crowd: ten thousand who wait, ten thousand jobs of one tenant, a hundred thousand submits at once."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Any

import nats

from contracts import names
from tests.laboratory.benchmarks.bench import Bench, UnexpectedAnswer, resident_megabytes
from tests.laboratory.benchmarks.figures import Figure, Goal, make_ratio
from tests.laboratory.benchmarks.records import finished_record
from tests.laboratory.benchmarks.rows.gateway import REQUEST, SUBMIT
from tests.laboratory.benchmarks.tools import make_tools
from tests.support.gateways import Gateway, ManualHandler, manual_handler, running_gateway
from tests.support.handlers import FINISHED
from tests.support.servers import LIMIT_SECONDS, NatsServer

WAITERS = 10_000
BURST = 100_000
CROWD = 10_000
_JOBS_BESIDE = 5
_IN_FLIGHT = 64  # of the crowd's publisher
_SUCCESSIONS = 5
_ROUNDS = 3
_CLIENTS = 16
_POLL_SECONDS = 3.0
_PAGE = 100_000  # subjects that the server names at once


async def measure_waiters(bench: Bench) -> AsyncGenerator[Figure]:
    """Each waits for a job of its own, which nobody works on. A new gateway each round: memory is not given back."""
    server = await bench.start_nats()
    finished = finished_record()
    async with manual_handler(server) as manual:
        await manual.write(finished)
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


async def measure_tenant_crowd(bench: Bench) -> AsyncGenerator[Figure]:
    """Another tenant's job, submitted right behind ten thousand of one tenant, and when all of those wait."""
    server = await bench.start_nats()
    gateway = await bench.start_gateway(server)
    await bench.start_handler(server, await bench.start_everest())
    await _run_job(gateway, "first")
    alone = [await _run_job(gateway, f"alone{number}") for number in range(_JOBS_BESIDE)]
    async with manual_handler(server) as manual:
        published_seconds = await _publish_crowd(manual, CROWD)
        behind = [await _run_job(gateway, f"behind{number}") for number in range(_JOBS_BESIDE)]
        parked_seconds = published_seconds + sum(behind) + await _wait_for_places(manual)
        beside = [await _run_job(gateway, f"beside{number}") for number in range(_JOBS_BESIDE)]
        began = await _measure_succession(manual)
    note = f"published in {published_seconds:.1f} s, all without a message {parked_seconds:.1f} s after the first"
    for title, others in (("right behind", behind), ("beside", beside)):
        yield make_ratio(
            f"a job {title} {CROWD:,} of one tenant, against alone", Goal(at_most=1.5), others, alone, unit="s"
        )
    yield Figure(
        "from the end of a tenant's job to the claim of its next, of the crowd", Goal(at_most=1, unit="s"), began, note
    )


async def _publish_crowd(manual: ManualHandler, count: int) -> float:
    """Seconds. As one publisher does it that waits for no answer before the next message."""
    started_at = time.perf_counter()
    room = asyncio.Semaphore(_IN_FLIGHT)

    async def publish(number: int) -> None:
        async with room:
            body = json.dumps({"username": "crowd", "resources": {"disk_gb": 1 + number}}).encode()
            await manual.jetstream.publish(names.job_subject("bootstrap", f"crowd-{number}"), body)

    await asyncio.gather(*map(publish, range(count)))
    return time.perf_counter() - started_at


async def _run_job(gateway: Gateway, username: str) -> float:
    """Seconds from the submit to its end."""
    started_at = time.perf_counter()
    job_id = await gateway.submit(username=username)
    while (await gateway.api.get(f"/jobs/{job_id}?wait=60")).json()["status"] not in FINISHED:
        pass
    return time.perf_counter() - started_at


async def _wait_for_places(manual: ManualHandler) -> float:
    """Seconds until all but the few that have begun wait without a message."""
    started_at = time.perf_counter()
    while (await manual.jetstream.stream_info(names.JOBS_STREAM)).state.messages > 1:  # noqa: ASYNC110 - a measurement
        await asyncio.sleep(0.2)
    return time.perf_counter() - started_at


async def _measure_succession(manual: ManualHandler) -> list[float]:
    """Seconds between the end of one of the crowd's jobs and the claim of the next."""
    moments: dict[str, list[tuple[str, float]]] = {}
    seen = asyncio.Event()

    async def hear(message: Any) -> None:
        event = json.loads(message.data)
        moments.setdefault(event["job_id"], []).append((event["status"], time.perf_counter()))
        if sum(states[-1][0] in FINISHED for states in moments.values()) > _SUCCESSIONS:
            seen.set()

    await manual.client.subscribe(names.event_subject("*"), cb=hear)
    await asyncio.wait_for(seen.wait(), LIMIT_SECONDS)
    ends = sorted(states[-1][1] for states in moments.values() if states[-1][0] in FINISHED)
    claims = sorted(states[0][1] for states in moments.values())
    return [min(claim for claim in claims if claim > end) - end for end in ends[:_SUCCESSIONS]]


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
