"""Consumers that share their slots, and kinds that a handler cannot do: over a server in memory, in virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from contracts import names
from contracts.codes import Failure
from contracts.records import JobRecord, Outcome, Status, encode_record
from contracts.requests import Request
from handlers.clock import monotonic, utc_now
from handlers.commands.running import Command
from handlers.jobs.consumer import open_consumers
from handlers.jobs.crowd import Crowd
from handlers.jobs.incoming import Delivery
from handlers.jobs.plan import MakePlan, NoPlan, Plan, PlannedStep
from handlers.jobs.runtime import Runtime
from handlers.jobs.slots import Slots
from handlers.metrics import Metrics
from handlers.results import Remember, RunCommand, StepFailed, StepResult
from handlers.settings import HandlerSettings
from tests.support.eventually import eventually
from tests.support.memory import Process, Server
from tests.support.virtual_time import run_virtually

STEP_SECONDS = 10.0
LIMIT_SECONDS = 3600.0


def plan_one_step(record: JobRecord, request: Request) -> Plan:
    async def ensure(record: JobRecord, run: RunCommand, _: Remember) -> StepResult:
        return StepResult(Outcome.CREATED, await run(Command((record.job_id,), time_limit_seconds=STEP_SECONDS)))

    return Plan(request.model_dump(), (PlannedStep("only", ensure),), lambda _: "done")


def refuse(record: JobRecord, request: Request) -> Plan:
    raise NoPlan(record.kind)


def fail_the_first_run(record: JobRecord, request: Request) -> Plan:
    async def ensure(record: JobRecord, run: RunCommand, _: Remember) -> StepResult:
        if record.run == 1:
            raise StepFailed(Failure("forbidden", "as the test says"))
        return StepResult(Outcome.CREATED)

    return Plan(request.model_dump(), (PlannedStep("only", ensure),), lambda _: "done")


def break_down(record: JobRecord, request: Request) -> Plan:
    raise TypeError("an input that this version does not know")


def submit(server: Server, kind: str, job_id: str) -> None:
    server.publish(names.job_subject(kind, job_id), json.dumps({"username": f"user{job_id}"}).encode())


@asynccontextmanager
async def handler(server: Server, slots: int, plan: MakePlan = plan_one_step) -> AsyncIterator[None]:
    """Works for both consumers of jobs until it is left."""
    stopping = asyncio.Event()
    sources = [Process(server, consumer) for consumer in (names.BOOTSTRAP_CONSUMER, names.LIFECYCLE_CONSUMER)]
    runtime = Runtime(sources[0], sources[0], HandlerSettings(), Metrics(), stopping, 60.0, simulated=True)
    async with asyncio.TaskGroup() as tasks:
        for consumer in open_consumers(runtime, sources, sources[0].jobs, plan, Slots(slots)):
            tasks.create_task(consumer.run())
        yield
        stopping.set()


async def until(server: Server, is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not is_so():
            await server.change()


def ended(server: Server) -> list[str]:
    return [job_id for job_id, _ in server.ends]


@pytest.mark.parametrize(("crowd", "other"), [("bootstrap", "offboard"), ("offboard", "bootstrap")])
@pytest.mark.parametrize("slots", [1, 3])
def test_a_crowd_of_one_kind_starves_no_other(crowd: str, other: str, slots: int) -> None:
    """The next slot that is free is the other's, and all of them together stay the handler's concurrency."""

    async def play() -> None:
        server = Server(ack_wait_seconds=30)
        for number in range(20):
            submit(server, crowd, f"crowd{number}")
        async with handler(server, slots):
            await until(server, lambda: len(ended(server)) >= 2 * slots)
            submit(server, other, "other")
            await until(server, lambda: not server.messages)
        assert ended(server).index("other") <= 2 * slots + 2 * slots
        for begun_at in [effect.begun_at for effect in server.effects]:
            at_once = [effect for effect in server.effects if effect.begun_at <= begun_at < effect.ended_at]
            assert len(at_once) <= slots

    run_virtually(play())


@pytest.mark.parametrize("kind", ["bootstrap", "offboard"])
def test_an_idle_handler_begins_at_once(kind: str) -> None:
    """With a single slot, too: no consumer holds it while it waits."""

    async def play() -> None:
        server = Server(ack_wait_seconds=30)
        async with handler(server, slots=1):
            await asyncio.sleep(100)
            submit(server, kind, "job")
            submitted_at = monotonic()
            await until(server, lambda: bool(server.effects))
            assert server.effects[0].begun_at - submitted_at < 3
            await until(server, lambda: not server.messages)

    run_virtually(play())


def test_a_kind_that_the_handler_cannot_do_is_refused() -> None:
    """It ends at once, says what to do, and can be retried when the handlers can do it."""

    async def play() -> None:
        server = Server(ack_wait_seconds=30)
        submit(server, "offboard", "job")
        async with handler(server, 1, refuse):
            await until(server, lambda: not server.messages)
        record = server.record("job")
        assert record is not None
        assert (record.reason, record.request) == ("kind_unsupported", {"username": "userjob"})
        assert "offboard" in record.summary
        assert not server.effects

    run_virtually(play())


@pytest.mark.parametrize("header", ["app.kubernetes.io/name", "a@b", "Bad(Name)", "Nâme"])
def test_a_dead_letter_does_without_the_headers_that_cannot_be_sent(header: str) -> None:
    """The server takes any from who publishes by hand; the message would come again for ever."""

    async def play() -> None:
        server = Server(ack_wait_seconds=30)
        server.publish(names.job_subject("bootstrap", "a~b"), b"{}", {header: "x", names.HEADER_CALLER: "shop"})
        async with handler(server, 1):
            await until(server, lambda: not server.messages)
        assert server.dead_letters == ["everest.v1.dead.bootstrap.seq-1"]

    run_virtually(play())


def test_a_silent_owners_job_ends_also_where_it_cannot_be_planned() -> None:
    """Nobody could take it over, and each would watch it for a lease and break down, for ever."""

    async def play() -> None:
        server = Server(ack_wait_seconds=30)
        submit(server, "bootstrap", "job")
        async with handler(server, 1):
            await until(server, lambda: bool(server.effects))
            held = server.buckets[names.JOBS_BUCKET].read("job")
            await until(server, lambda: not server.messages)
        server.buckets[names.JOBS_BUCKET].entries["job"] = held  # as if the owner had died there
        submit(server, "bootstrap", "job")
        async with handler(server, 1, break_down):
            await until(server, lambda: not server.messages)
        record = server.record("job")
        assert record is not None
        assert (record.status, record.reason) == (Status.FAILED, "command_failed")

    run_virtually(play())


def test_a_retry_that_comes_before_the_message_is_given_up_begins_at_once() -> None:
    """Its publish is refused as a duplicate, and that message is acknowledged away a moment later."""

    async def play() -> None:
        server = Server(ack_wait_seconds=30)
        submit(server, "bootstrap", "job")
        subject = names.job_subject("bootstrap", "job")
        async with handler(server, 1, fail_the_first_run):
            await until(server, lambda: server.ends == [("job", 1)])
            failed, entry = server.record("job"), server.buckets[names.JOBS_BUCKET].read("job")
            assert failed is not None
            reopened = encode_record(failed.reopened(utc_now(), from_start=False))
            server.write(names.JOBS_BUCKET, "job", reopened, entry.revision)
            assert not server.publish(subject, b'{"username":"userjob"}'), "the window that this is about"
            retried_at = monotonic()
            await until(server, lambda: ("job", 2) in server.ends)
            assert monotonic() - retried_at < 15
            await until(server, lambda: not server.messages)

    run_virtually(play())


async def test_a_crowd_outlives_what_nobody_foresaw() -> None:
    parked: list[Delivery] = []

    async def leave_all(deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        return deliveries

    async def park(delivery: Delivery) -> None:
        parked.append(delivery)
        raise RuntimeError("nobody foresaw it")

    crowd, server = Crowd(leave_all, park), Server(ack_wait_seconds=30)
    submit(server, "bootstrap", "job")
    delivery = await Process(server).fetch()
    assert delivery is not None
    crowd.add(delivery)
    working = asyncio.create_task(crowd.work())
    await eventually(lambda: crowd.is_empty, "it is dealt with")
    crowd.close()
    await working
    assert parked == [delivery]
