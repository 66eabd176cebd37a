"""Rows of the gateway: bulks against single submits, and polling against bare Starlette routes."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial

from contracts.batches import MOST_REQUESTS
from contracts.documents import job_document
from contracts.names import JOBS_STREAM
from tests.laboratory.benchmarks.bench import Bench
from tests.laboratory.benchmarks.figures import Figure, Goal, Measure, make_ratio, take_turns
from tests.laboratory.benchmarks.load import Report
from tests.laboratory.benchmarks.records import finished_record, running_record
from tests.support.eventually import eventually
from tests.support.gateways import manual_handler
from tests.support.servers import NatsServer

SUBMIT = "/bootstrap/users"
REQUEST = json.dumps({"username": "alice", "operators": {"postgresql": True}, "resources": {"cpu_cores": 4}})
_JOBS = 50  # that are asked for in turn
_WRITES = 12
_LISTS = 10
_SECONDS = 2.0
_WARM_SECONDS = 1.0

Load = Callable[..., Awaitable[Report]]


async def measure_bulk(bench: Bench) -> AsyncGenerator[Figure]:
    """Tenants that one call of a thousand has durably accepted, a second; its messages are out before the next turn."""
    server = await bench.start_nats()
    gateway = await bench.start_gateway(server)
    requests = [{**json.loads(REQUEST), "username": f"tenant{number}"} for number in range(MOST_REQUESTS)]
    body = json.dumps({"requests": requests})

    async def submit_many() -> float:
        before = await _count_jobs(server)
        report = await bench.load(
            gateway.port, [f"{SUBMIT}/bulk"], 202, method="POST", body=body, clients=1, requests=1
        )
        await eventually(partial(_holds, server, before + MOST_REQUESTS), "the messages are published")
        return report.rate * MOST_REQUESTS

    single = partial(bench.load, gateway.port, [SUBMIT], 202, method="POST", body=REQUEST, clients=64)
    await submit_many()
    await single(seconds=_WARM_SECONDS)
    ours, theirs = await take_turns(submit_many, rate_of(single))
    title = f"tenants accepted by a bulk of {MOST_REQUESTS:,}, against single submits of 64 clients"
    yield make_ratio(title, Goal(at_least=8), ours, theirs, unit="/s")


async def _count_jobs(server: NatsServer) -> int:
    async with manual_handler(server) as manual:
        return int((await manual.jetstream.stream_info(JOBS_STREAM)).state.messages)


async def _holds(server: NatsServer, count: int) -> bool:
    return await _count_jobs(server) >= count


async def measure_list(bench: Bench) -> AsyncGenerator[Figure]:
    """What a page asks of NATS, where each record was written as often as that of a job."""
    server = await bench.start_nats()
    gateway = await bench.start_gateway(server)
    async with manual_handler(server) as manual:
        for _ in range(2 * _JOBS):
            record = finished_record()
            for _ in range(_WRITES):
                await manual.write(record)
    counts = []
    for _ in range(_LISTS):  # the gateway's watch asks for something each second
        before = await asyncio.to_thread(server.count_received, "gateway")
        await bench.load(gateway.port, [f"/jobs?limit={_JOBS}"], 200, requests=1)
        counts.append(float(await asyncio.to_thread(server.count_received, "gateway") - before))
    yield Figure("newest 50 of the list: requests to NATS", Goal(at_most=3), [min(counts)])


async def measure_polls(bench: Bench) -> AsyncGenerator[Figure]:
    server = await bench.start_nats()
    gateway = await bench.start_gateway(server)
    finished = [finished_record() for _ in range(_JOBS)]
    running = [running_record() for _ in range(_JOBS)]
    async with manual_handler(server) as manual:
        for record in (*finished, *running):
            await manual.write(record)
    queued = [await gateway.submit(**json.loads(REQUEST)) for _ in range(_JOBS)]
    queued_document = (await gateway.api.get(f"/jobs/{queued[0]}")).content
    bare = await bench.start_bare(
        {
            "finished": _encode(job_document(finished[0])),
            "running": _encode(job_document(running[0])),
            "queued": queued_document,
        }
    )
    cases = [
        ("finished", [record.job_id for record in finished], (16,), Goal(at_least=0.85)),
        ("running", [record.job_id for record in running], (1, 16, 64), Goal(at_least=0.70)),
        ("queued", queued, (1, 16, 64), Goal(at_least=0.70)),
    ]
    for status, ids, counts, goal in cases:
        paths = [f"/jobs/{job_id}" for job_id in ids]
        for clients in counts:
            ours, theirs = await compare_rates(
                partial(bench.load, gateway.port, paths, 200, clients=clients),
                partial(bench.load, bare, [f"/jobs/{status}"], 200, clients=clients),
            )
            title = f"poll of a {status} job, {clients} clients, against a bare Starlette route"
            yield make_ratio(title, goal, ours, theirs, unit="/s")


async def compare_rates(ours: Load, theirs: Load) -> tuple[list[float], list[float]]:
    """Answers a second on both sides, warm."""
    for side in (ours, theirs):
        await side(seconds=_WARM_SECONDS)
    mine, others = await take_turns(rate_of(ours), rate_of(theirs))
    return mine, others


def rate_of(load: Load, seconds: float = _SECONDS) -> Measure:
    """Answers a second."""

    async def measure() -> float:
        return (await load(seconds=seconds)).rate

    return measure


def _encode(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
