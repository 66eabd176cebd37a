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
from tests.support.gateways import helping_hand, running_gateway
from tests.support.handlers import LEASE_SECONDS, House, open_house
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
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, binds_roles=False) as opened:
        yield opened


async def count_jobs_queued(house: House) -> int:
    async with helping_hand(house.server) as hand:
        return int((await hand.jetstream.stream_info(names.JOBS_STREAM)).state.messages)


@pytest.mark.parametrize(
    "points", [pytest.param(CORE, id="core"), pytest.param(POINTS, marks=pytest.mark.slow, id="all")]
)
async def test_a_kill_at_any_point_of_the_protocol_loses_and_doubles_nothing(
    house: House, points: Sequence[Point]
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
        webhooks = str(declare_webhook(house.folder, "ends", receiver))
        await stack.enter_async_context(running_gateway(house.server.url, house.folder, WEBHOOKS_FILE=webhooks))
        proxies: list[Proxy] = [await stack.enter_async_context(running_proxy(house.server)) for _ in points]
        handlers = await asyncio.gather(
            *(house.start(nats_url=proxy.url, HANDLER_CONCURRENCY="1") for proxy in proxies)
        )
        for handler in handlers:
            stack.push_async_callback(handler.stop, signal.SIGKILL)
        await asyncio.gather(*(handler.wait_for_event("handler.started") for handler in handlers))
        for point, proxy in zip(points, proxies, strict=True):
            proxy.stop_at(watch_for(point), sent=point.sent)
        job_ids = [await house.gateway.submit(username=f"user{number}") for number in range(len(points))]
        await asyncio.wait_for(asyncio.gather(*(proxy.wait_until_stopped() for proxy in proxies)), 120)
        await asyncio.gather(*(handler.stop(signal.SIGKILL) for handler in handlers))
        assert set(killed_at) == set(job_ids)
        async with house.handler() as one, house.handler():
            for job_id in job_ids:
                result = await house.wait_until_finished(job_id)
                assert result["overall_status"] == "succeeded", (killed_at[job_id].name, result)
                job = await house.job(job_id)
                assert (job["attempt"], job["losses"]) == (1, killed_at[job_id].losses), killed_at[job_id].name

            async def is_empty() -> bool:
                return not await count_jobs_queued(house)

            await eventually(is_empty, "no message is left")
            assert "job.crashed" not in one.read_log()
        for number, job_id in enumerate(job_ids):
            why = killed_at[job_id].name
            end_id = await find_end(house.server, job_id)
            await expect_taken(receiver, end_id)
            assert await find_entries(house.gateway, f"user{number}") == [("submit", "succeeded")], why
    writes = (await house.everest.effects())["writes"]
    made = [write for write in writes if write["path"].endswith("/secrets/everest-accounts") and write["code"] == 200]
    assert len(made) == len(points)  # a create that lost a race for the one object of all accounts is run again
    assert not overlaps((await house.everest.effects())["runs"])


async def test_a_command_longer_than_the_take_over_dies_with_its_handler(house: House) -> None:
    """kill -9 reaches the handler alone: the guard ends what it had started, before anybody goes on with the job."""
    await house.everest.set_faults(job_seconds=5 * LEASE_SECONDS)
    first = await house.start()
    job_id = await house.gateway.submit(username="alice", operators={"postgresql": True})
    await house.wait_for_run("namespaces", "add")
    async with house.handler():
        await first.stop(signal.SIGKILL)
        await house.everest.set_faults(job_seconds=0.1)
        second = await house.wait_for_run("namespaces", "update")  # Everest's label is there by now
        (interrupted,) = await house.runs_of("namespaces", "add")
        assert interrupted["ended_at"] < second["started_at"]
        result = await house.wait_until_finished(job_id)
    assert result["overall_status"] == "succeeded", result
    assert not overlaps((await house.everest.effects())["runs"])
    assert (await house.job(job_id))["losses"] == 1


async def test_a_handler_that_wakes_after_its_lease_does_nothing_more(house: House) -> None:
    """Not to the cluster, not to the record, not to the message; and then it works on other jobs."""
    await house.everest.set_faults(only="accounts create", slow_seconds=5 * LEASE_SECONDS, times=1)
    async with house.handler() as frozen:
        job_id = await house.gateway.submit(username="alice")
        await house.wait_for_run("accounts", "create")
        frozen.send_signal(signal.SIGSTOP)
        async with house.handler():
            assert (await house.wait_until_finished(job_id))["overall_status"] == "succeeded"
        async with helping_hand(house.server) as hand:
            record, effects = await hand.read(job_id), await house.everest.effects()
            frozen.send_signal(signal.SIGCONT)
            await frozen.wait_for_event("delivery.dropped")
            assert (await house.run_job(username="bob"))["overall_status"] == "succeeded"
            assert await hand.read(job_id) == record
        after = await house.everest.effects()
    assert not [run for run in after["runs"][len(effects["runs"]) :] if run["tenant"] == "alice"]
    assert not [write for write in after["writes"][len(effects["writes"]) :] if "alice" in write["path"]]
    assert not overlaps(after["runs"])
    assert record.status is Status.SUCCEEDED
    assert not [line for line in frozen.log_lines() if line["event"] == "job.ended" and line["job_id"] == job_id]


@pytest.mark.slow
async def test_a_handler_that_is_cut_off_stops_before_another_takes_over(house: House) -> None:
    """It lives, and knows that it may be taken for dead."""
    await house.everest.set_faults(job_seconds=10 * LEASE_SECONDS)
    async with running_proxy(house.server) as proxy:
        first = await house.start(nats_url=proxy.url)
        job_id = await house.gateway.submit(username="alice", operators={"postgresql": True})
        await house.wait_for_run("namespaces", "add")
        async with house.handler():
            proxy.cut()
            await house.everest.set_faults(job_seconds=0.1)
            await house.wait_for_run("namespaces", "update")
            proxy.mend()
            assert (await house.wait_until_finished(job_id))["overall_status"] == "succeeded"
        await first.wait_for_event("delivery.dropped")
        await first.stop()
    assert not overlaps((await house.everest.effects())["runs"])


@pytest.mark.slow
async def test_a_nats_that_is_frozen_for_longer_than_ack_wait_starts_nothing_twice(house: House) -> None:
    """Its message comes a second time although its owner was there all along."""
    await house.everest.set_faults(job_seconds=2 * LEASE_SECONDS)
    async with house.handler(), house.handler():
        job_id = await house.gateway.submit(username="alice", operators={"postgresql": True})
        await house.wait_for_run("namespaces", "add")
        house.server.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.6 * LEASE_SECONDS)
        house.server.send_signal(signal.SIGCONT)
        assert (await house.wait_until_finished(job_id))["overall_status"] == "succeeded"
    assert not overlaps((await house.everest.effects())["runs"])
    assert (await house.job(job_id))["losses"] <= 1  # none, unless the lease itself ended meanwhile


@pytest.mark.slow
async def test_a_job_that_kills_its_handlers_ends(tmp_path: Path) -> None:
    """After so many losses it is failed, and nobody is blocked by it."""
    async with open_house(tmp_path, lease_seconds=2, binds_roles=False) as house, helping_hand(house.server) as hand:
        await house.everest.set_faults(only="accounts create", hang=True)
        handler = await house.start()
        job_id = await house.gateway.submit(username="alice")
        await house.wait_for_run("accounts", "create")
        await handler.stop(signal.SIGKILL)
        record = await hand.read(job_id)
        await hand.write(replace(record, losses=MAX_LOSSES))  # as if it had killed as many before
        async with house.handler():
            result = await house.wait_until_finished(job_id)
            assert result["overall_status"] == "failed"
            assert (await house.job(job_id))["reason"] == "too_many_losses"
            await house.everest.set_faults()
            assert (await house.run_job(username="bob"))["overall_status"] == "succeeded"
