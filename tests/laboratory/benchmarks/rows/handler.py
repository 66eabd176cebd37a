"""Rows of the handlers: the real workflow against bare loops that start the same commands."""

import asyncio
import json
import os
import shlex
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from tests.laboratory.benchmarks.bench import Bench, resident_megabytes
from tests.laboratory.benchmarks.figures import Figure, Goal, make_ratio, take_turns
from tests.laboratory.benchmarks.queues import open_queue
from tests.laboratory.benchmarks.tools import Tools, make_tools
from tests.support.gateways import Gateway

_COMMAND_SECONDS = 0.05
_JOBS_IN_SEQUENCE = 4
_RATE_JOBS = 40
_SLOTS = 8
_SCALE_SECONDS = 0.5
_SCALE_SLOTS = 4
_SCALE_JOBS = 8  # for each handler
_STARTS = 11
_IDLE_SECONDS = 5


async def measure_job_time(bench: Bench) -> AsyncGenerator[Figure]:
    """From the submit to the answer that it has succeeded, with a handler that was idle."""
    tools = make_tools(bench.folder / "tools", pause_seconds=_COMMAND_SECONDS)
    server = await bench.start_nats()
    gateway = await bench.start_gateway(server)
    await bench.start_handler(server, tools.variables)
    commands = await _read_commands(gateway)
    usernames = iter(range(10_000))

    async def ours() -> float:
        started_at = time.perf_counter()
        for _ in range(_JOBS_IN_SEQUENCE):
            await _run_job(gateway, f"sequential{next(usernames)}")
        return (time.perf_counter() - started_at) / _JOBS_IN_SEQUENCE

    async def theirs() -> float:
        return await _run_bare(bench, tools, commands, _JOBS_IN_SEQUENCE, 1) / _JOBS_IN_SEQUENCE

    mine, bare = await take_turns(ours, theirs)
    title = f"job wall time, against the bare sum of its {len(commands)} commands of 50 ms each"
    yield make_ratio(title, Goal(at_most=1.05), mine, bare, unit="s")


async def measure_job_rate(bench: Bench) -> AsyncGenerator[Figure]:
    """Jobs that wait in the queue, eight at a time, with commands that end at once."""
    tools = make_tools(bench.folder / "tools")
    server = await bench.start_nats()
    gateway = await bench.start_gateway(server)
    await bench.start_handler(server, {**tools.variables, "HANDLER_CONCURRENCY": str(_SLOTS)})
    commands = await _read_commands(gateway)
    async with open_queue(server) as queue:

        async def ours() -> float:
            tools.forget()
            return _RATE_JOBS / await queue.run_jobs(_RATE_JOBS)

        async def theirs() -> float:
            return _RATE_JOBS / await _run_bare(bench, tools, commands, _RATE_JOBS, _SLOTS)

        mine, bare = await take_turns(ours, theirs)
    title = f"jobs per second, {len(commands)} commands that cost nothing each, against a bare asyncio loop"
    yield make_ratio(title, Goal(at_least=0.6), mine, bare, unit="/s")


async def measure_scaling(bench: Bench) -> AsyncGenerator[Figure]:
    """The same work for each handler: four need no longer for four times as much."""
    tools = make_tools(bench.folder / "tools", pause_seconds=_SCALE_SECONDS)
    variables = {**tools.variables, "HANDLER_CONCURRENCY": str(_SCALE_SLOTS)}
    one, four = await bench.start_nats(), await bench.start_nats()
    for server, count in ((one, 1), (four, 4)):
        for _ in range(count):
            await bench.start_handler(server, variables)
    async with open_queue(one) as alone, open_queue(four) as together:
        await alone.run_jobs(_SCALE_SLOTS)
        await together.run_jobs(4 * _SCALE_SLOTS)

        async def ours() -> float:
            return 4 * _SCALE_JOBS / await together.run_jobs(4 * _SCALE_JOBS)

        async def theirs() -> float:
            return _SCALE_JOBS / await alone.run_jobs(_SCALE_JOBS)

        mine, single = await take_turns(ours, theirs, rounds=3)
    title = "jobs per second of 4 handlers, against 1, on commands that sleep"
    yield make_ratio(title, Goal(at_least=3.9), mine, single, unit="/s")


async def measure_start(bench: Bench) -> AsyncGenerator[Figure]:
    """From the start of the process to the first command of a job that waits."""
    fifo = bench.folder / "first-command"
    os.mkfifo(fifo)
    tools = make_tools(bench.folder / "tools", first_command=fifo)
    server = await bench.start_nats()
    async with open_queue(server) as queue:

        async def ours() -> float:
            job_id = await queue.publish()
            started_at = time.perf_counter()
            handler = await bench.start_handler(server, tools.variables)
            await asyncio.to_thread(_wait_for_writer, fifo)
            seconds = time.perf_counter() - started_at
            await queue.wait_for([job_id])
            await handler.stop(30)
            return seconds

        async def theirs() -> float:
            started_at = time.perf_counter()
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import nats", cwd="/")
            await process.wait()
            return time.perf_counter() - started_at

        await ours()
        await theirs()
        mine, library = await take_turns(ours, theirs, rounds=_STARTS)
    title = 'handler start to first command, against python -c "import nats"'
    yield make_ratio(title, Goal(at_most=2.3), mine, library, unit="s")


async def measure_memory(bench: Bench) -> AsyncGenerator[Figure]:
    """Resident, of processes that have worked and are idle now."""
    tools = make_tools(bench.folder / "tools")
    server = await bench.start_nats()
    gateway = await bench.start_gateway(server)
    handler = await bench.start_handler(server, tools.variables)
    for number in range(3):
        await _run_job(gateway, f"memory{number}")
    samples: dict[str, list[float]] = {"handler": [], "gateway": []}
    for _ in range(3):
        await asyncio.sleep(_IDLE_SECONDS)
        samples["handler"].append(resident_megabytes(handler.pid))
        samples["gateway"].append(resident_megabytes(gateway.process.pid))
    guards = [resident_megabytes(int(pid)) for pid in _children(handler.pid)]
    note = f"its guard, a process beside it: {sum(guards):.1f} MB"
    yield Figure("idle resident memory of a handler", Goal(at_most=45, unit="MB"), samples["handler"], note)
    yield Figure("idle resident memory of a gateway", Goal(at_most=60, unit="MB"), samples["gateway"])


async def _run_job(gateway: Gateway, username: str) -> str:
    """Submits and waits for the success; gives the job id."""
    answer = await gateway.api.post("/bootstrap/users", json={"username": username}, headers={"Prefer": "wait=60"})
    job = answer.json()
    assert job.get("status") == "succeeded", job
    return str(job["job_id"])


async def _read_commands(gateway: Gateway) -> list[list[str]]:
    """What a job runs, by its own record. The second one: the versions are looked at once in a handler's life."""
    await _run_job(gateway, "first")
    result = (await gateway.api.get(f"/jobs/{await _run_job(gateway, 'second')}/result")).json()
    return [shlex.split(command["command"]) for step in result["steps"] for command in step["commands"]]


async def _run_bare(bench: Bench, tools: Tools, commands: list[list[str]], count: int, at_once: int) -> float:
    printed = await bench.run_program(
        "bare_commands", str(count), str(at_once), variables=tools.variables, stdin=json.dumps(commands).encode()
    )
    return float(printed)


def _wait_for_writer(fifo: Path) -> None:
    """Opening a FIFO waits for the other side."""
    with fifo.open("rb") as file:
        file.read()


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
