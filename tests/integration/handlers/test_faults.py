"""Kills and freezes at chosen points of the protocol: what is interrupted is taken up, and nothing is done twice."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from contracts import names
from contracts.protocol import MAX_LOSSES
from contracts.records import JobRecord, Status
from tests.simulator.effects import overlaps
from tests.support.ends import declare_webhook, expect_taken, find_end, find_entries
from tests.support.eventually import eventually
from tests.support.gateways import manual_handler, running_gateway
from tests.support.handlers import LEASE_SECONDS, Service, open_service
from tests.support.peers.proxy import Proxy, Publish, running_proxy
from tests.support.peers.receivers import receiving
from tests.support.records import read_published


@dataclass(frozen=True, slots=True)
class Point:
    """Where a handler is killed: at a publish, before it is sent or after. `losses` are those of its job."""

    name: str
    fits: Callable[[Publish], bool]
    sent: bool
    losses: int
    is_core: bool = True  # the others, whose record is as one of these leaves it, are slow


def _writes(fits: Callable[[JobRecord], bool]) -> Callable[[Publish], bool]:
    return lambda publish: (record := read_published(publish)) is not None and fits(record)


def _is_step_saved(record: JobRecord) -> bool:
    return record.has_finished("create_account") and not record.is_finished


def _tells_end(publish: Publish) -> bool:
    return publish.subject.startswith(names.told_subject("")) and b'"status":"succeeded"' in publish.payload


POINTS = (
    Point("before the claim", _writes(lambda record: True), sent=False, losses=0, is_core=False),
    Point("after the claim", _writes(lambda record: True), sent=True, losses=1),
    Point("before a step is saved", _writes(_is_step_saved), sent=False, losses=1),
    Point("after a step is saved", _writes(_is_step_saved), sent=True, losses=1, is_core=False),
    Point("before the end is written", _writes(lambda record: record.is_finished), sent=False, losses=1),
    Point("after the end is written", _writes(lambda record: record.is_finished), sent=True, losses=0),
    Point("before the end is told", _tells_end, sent=False, losses=0, is_core=False),
    Point("after the end is told", _tells_end, sent=True, losses=0),
    Point(
        "before the ack",
        lambda p: p.subject.startswith("$JS.ACK.") and p.payload == b"+ACK",
        sent=False,
        losses=0,
        is_core=False,
    ),
)
CORE = tuple(point for point in POINTS if point.is_core)


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with open_service(tmp_path, binds_roles=False) as opened:
        yield opened


async def count_jobs_queued(service: Service) -> int:
    async with manual_handler(service.server) as manual:
        return int((await manual.jetstream.stream_info(names.JOBS_STREAM)).state.messages)


@pytest.mark.parametrize(
    "points", [pytest.param(CORE, id="core"), pytest.param(POINTS, marks=pytest.mark.slow, id="all")]
)
async def test_a_kill_at_any_point_of_the_protocol_loses_and_doubles_nothing(
    service: Service, points: Sequence[Point]
) -> None:
    """One handler and one job for each point; then two more handlers, which find what is left.

    Each end is kept as an event, brought to a webhook with one content for its id, and an entry of the audit, once.
    """
    killed_at: dict[str, Point] = {}

    def watch_for(point: Point) -> Callable[[Publish], bool]:
        seen: list[str] = []

        def fits(publish: Publish) -> bool:
            record = read_published(publish)
            seen.extend([record.job_id] if record else [])
            if not point.fits(publish):
                return False
            killed_at[seen[-1]] = point
            return True

        return fits

    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        webhooks = str(declare_webhook(service.folder, "ends", receiver))
        await stack.enter_async_context(running_gateway(service.server.url, service.folder, WEBHOOKS_FILE=webhooks))
        proxies: list[Proxy] = [await stack.enter_async_context(running_proxy(service.server)) for _ in points]
        handlers = await asyncio.gather(
            *(service.start(nats_url=proxy.url, HANDLER_CONCURRENCY="1") for proxy in proxies)
        )
        for handler in handlers:
            stack.push_async_callback(handler.stop, signal.SIGKILL)
        await asyncio.gather(*(handler.wait_for_event("handler.started") for handler in handlers))
        for point, proxy in zip(points, proxies, strict=True):
            proxy.stop_at(watch_for(point), sent=point.sent)
        job_ids = [await service.gateway.submit(username=f"user{number}") for number in range(len(points))]
        await asyncio.wait_for(asyncio.gather(*(proxy.wait_until_stopped() for proxy in proxies)), 120)
        await asyncio.gather(*(handler.stop(signal.SIGKILL) for handler in handlers))
        assert set(killed_at) == set(job_ids)
        async with service.handler() as one, service.handler():
            for job_id in job_ids:
                result = await service.wait_until_finished(job_id)
                assert result["overall_status"] == "succeeded", (killed_at[job_id].name, result)
                job = await service.job(job_id)
                assert (job["attempt"], job["losses"]) == (1, killed_at[job_id].losses), killed_at[job_id].name

            async def is_empty() -> bool:
                return not await count_jobs_queued(service)

            await eventually(is_empty, "no message is left")
            assert "job.crashed" not in one.read_log()
        for number, job_id in enumerate(job_ids):
            why = killed_at[job_id].name
            end_id = await find_end(service.server, job_id)
            await expect_taken(receiver, end_id)
            assert await find_entries(service.gateway, f"user{number}") == [("submit", "succeeded")], why
    writes = (await service.everest.effects())["writes"]
    made = [write for write in writes if write["path"].endswith("/secrets/everest-accounts") and write["code"] == 200]
    assert len(made) == len(points)  # a create that lost a race for the one object of all accounts is run again
    assert not overlaps((await service.everest.effects())["runs"])


async def test_a_command_longer_than_the_take_over_dies_with_its_handler(service: Service) -> None:
    """kill -9 reaches the handler alone: the guard ends what it had started, before anybody goes on with the job."""
    await service.everest.set_faults(job_seconds=5 * LEASE_SECONDS)
    first = await service.start()
    job_id = await service.gateway.submit(username="alice", operators={"postgresql": True})
    await service.wait_for_run("namespaces", "add")
    async with service.handler():
        await first.stop(signal.SIGKILL)
        await service.everest.set_faults(job_seconds=0.1)
        second = await service.wait_for_run("namespaces", "update")  # Everest's label is there by now
        (interrupted,) = await service.runs_of("namespaces", "add")
        assert interrupted["ended_at"] < second["started_at"]
        result = await service.wait_until_finished(job_id)
    assert result["overall_status"] == "succeeded", result
    assert not overlaps((await service.everest.effects())["runs"])
    assert (await service.job(job_id))["losses"] == 1


async def test_a_handler_that_wakes_after_its_lease_does_nothing_more(service: Service) -> None:
    """Not to the cluster, not to the record, not to the message; and then it works on other jobs."""
    await service.everest.set_faults(only="accounts create", slow_seconds=5 * LEASE_SECONDS, times=1)
    async with service.handler() as frozen:
        job_id = await service.gateway.submit(username="alice")
        await service.wait_for_run("accounts", "create")
        frozen.send_signal(signal.SIGSTOP)
        async with service.handler():
            assert (await service.wait_until_finished(job_id))["overall_status"] == "succeeded"
        async with manual_handler(service.server) as manual:
            record, effects = await manual.read(job_id), await service.everest.effects()
            frozen.send_signal(signal.SIGCONT)
            await frozen.wait_for_event("delivery.dropped")
            assert (await service.run_job(username="bob"))["overall_status"] == "succeeded"
            assert await manual.read(job_id) == record
        after = await service.everest.effects()
    assert not [run for run in after["runs"][len(effects["runs"]) :] if run["tenant"] == "alice"]
    assert not [write for write in after["writes"][len(effects["writes"]) :] if "alice" in write["path"]]
    assert not overlaps(after["runs"])
    assert record.status is Status.SUCCEEDED
    assert not [line for line in frozen.log_lines() if line["event"] == "job.ended" and line["job_id"] == job_id]


@pytest.mark.slow
async def test_a_handler_that_is_cut_off_stops_before_another_takes_over(service: Service) -> None:
    """It lives, and knows that it may be taken for dead."""
    await service.everest.set_faults(job_seconds=10 * LEASE_SECONDS)
    async with running_proxy(service.server) as proxy:
        first = await service.start(nats_url=proxy.url)
        job_id = await service.gateway.submit(username="alice", operators={"postgresql": True})
        await service.wait_for_run("namespaces", "add")
        async with service.handler():
            proxy.cut()
            await service.everest.set_faults(job_seconds=0.1)
            await service.wait_for_run("namespaces", "update")
            proxy.mend()
            assert (await service.wait_until_finished(job_id))["overall_status"] == "succeeded"
        await first.wait_for_event("delivery.dropped")
        await first.stop()
    assert not overlaps((await service.everest.effects())["runs"])


@pytest.mark.slow
async def test_a_nats_that_is_frozen_for_longer_than_ack_wait_starts_nothing_twice(service: Service) -> None:
    """Its message comes a second time although its owner was there all along."""
    await service.everest.set_faults(job_seconds=2 * LEASE_SECONDS)
    async with service.handler(), service.handler():
        job_id = await service.gateway.submit(username="alice", operators={"postgresql": True})
        await service.wait_for_run("namespaces", "add")
        service.server.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.6 * LEASE_SECONDS)
        service.server.send_signal(signal.SIGCONT)
        assert (await service.wait_until_finished(job_id))["overall_status"] == "succeeded"
    assert not overlaps((await service.everest.effects())["runs"])
    assert (await service.job(job_id))["losses"] <= 1  # none, unless the lease itself ended meanwhile


@pytest.mark.slow
async def test_a_job_that_kills_its_handlers_ends(tmp_path: Path) -> None:
    """After so many losses it is failed, and nobody is blocked by it."""
    async with (
        open_service(tmp_path, lease_seconds=2, binds_roles=False) as service,
        manual_handler(service.server) as manual,
    ):
        await service.everest.set_faults(only="accounts create", hang=True)
        handler = await service.start()
        job_id = await service.gateway.submit(username="alice")
        await service.wait_for_run("accounts", "create")
        await handler.stop(signal.SIGKILL)
        record = await manual.read(job_id)
        await manual.write(replace(record, losses=MAX_LOSSES))  # as if it had killed as many before
        async with service.handler():
            result = await service.wait_until_finished(job_id)
            assert result["overall_status"] == "failed"
            assert (await service.job(job_id))["reason"] == "too_many_losses"
            await service.everest.set_faults()
            assert (await service.run_job(username="bob"))["overall_status"] == "succeeded"
