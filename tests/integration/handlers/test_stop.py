"""SIGTERM on a handler: what it works on is finished within the grace or handed back at once, and costs nothing."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.handlers import Handler, Service, open_service
from tests.support.servers import LIMIT_SECONDS, NatsServer, free_port

GRACE_SECONDS = 6


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with open_service(tmp_path, binds_roles=False) as opened:
        yield opened


async def stop_in(service: Service, step: tuple[str, str], grace: float = GRACE_SECONDS) -> tuple[str, Handler]:
    """A job whose handler gets SIGTERM while a command of the step runs."""
    handler = await service.start(SHUTDOWN_GRACE=str(grace))
    job_id = await service.gateway.submit(username="alice", operators={"postgresql": True})
    await service.wait_for_run(*step)
    handler.send_signal(signal.SIGTERM)
    return job_id, handler


async def test_a_look_is_cut_and_the_job_handed_back_at_once(service: Service) -> None:
    """The next handler need not wait for a lease to pass, and the attempt is not charged."""
    await service.everest.set_faults(only="accounts list", slow_seconds=60)
    job_id, handler = await stop_in(service, ("accounts", "list"), grace=1000)
    assert await handler.wait() == 0
    await handler.wait_for_event("job.handed_back")
    job = await service.job(job_id)
    assert (job["status"], job["attempt"], job["losses"]) == ("running", 1, 0)
    await service.everest.set_faults()
    async with service.handler() as second:
        result = await service.wait_until_finished(job_id)
        (claim,) = await second.wait_for_event("job.claimed")
    assert result["overall_status"] == "succeeded", result
    assert not claim["lost"]
    job = await service.job(job_id)
    assert (job["attempt"], job["losses"]) == (1, 0)


async def test_the_making_of_an_account_that_ends_within_the_grace_is_not_cut(service: Service) -> None:
    await service.everest.set_faults(only="accounts create", slow_seconds=2)
    job_id, handler = await stop_in(service, ("accounts", "create"))
    assert await handler.wait() == 0
    await service.everest.set_faults()
    async with service.handler():
        result = await service.wait_until_finished(job_id)
    assert result["overall_status"] == "succeeded", result
    assert result["steps"][0]["outcome"] == "created"
    assert len(await service.runs_of("accounts", "create")) == 1


async def test_an_rbac_command_that_ends_within_the_grace_is_not_cut(service: Service) -> None:
    """Half a policy that somebody's script wrote would be nobody's to mend."""
    begun, ended = service.folder / "begun", service.folder / "ended"
    script = service.folder / "apply"
    script.write_text(f"#!/bin/sh\ntouch {begun}; sleep 2; touch {ended}\n")
    script.chmod(0o755)
    handler = await service.start(EVEREST_RBAC_APPLY_CMD=str(script), SHUTDOWN_GRACE="60")
    await service.gateway.submit(username="alice")
    async with asyncio.timeout(LIMIT_SECONDS):
        while not begun.exists():
            await service.runs_of()
    handler.send_signal(signal.SIGTERM)
    assert await handler.wait() == 0
    assert ended.exists()


@pytest.mark.slow
async def test_an_installation_that_ends_within_the_grace_is_not_cut(service: Service) -> None:
    await service.everest.set_faults(job_seconds=2)
    job_id, handler = await stop_in(service, ("namespaces", "add"))
    assert await handler.wait() == 0
    await service.everest.set_faults()
    async with service.handler():
        result = await service.wait_until_finished(job_id)
    assert result["overall_status"] == "succeeded", result
    assert len(await service.runs_of("namespaces", "add")) == 1
    assert (await service.job(job_id))["losses"] == 0


async def test_after_the_grace_the_command_is_killed_and_the_job_handed_back(service: Service) -> None:
    await service.everest.set_faults(job_seconds=120)
    job_id, handler = await stop_in(service, ("namespaces", "add"), grace=1)
    assert await handler.wait() == 0
    run = await service.wait_for_run("namespaces", "add")
    assert run["ended_at"] is not None
    await service.everest.set_faults(job_seconds=0.2)
    async with service.handler():
        result = await service.wait_until_finished(job_id)
    assert result["overall_status"] == "succeeded", result
    job = await service.job(job_id)
    assert (job["attempt"], job["losses"]) == (1, 0)


@pytest.mark.slow
async def test_a_delay_is_slept_again_by_the_next_owner(service: Service) -> None:
    """SIGTERM ends the sleep before a retry; the record keeps how long it is."""
    await service.everest.set_faults(only="accounts create", fail={"stderr": "Error: the object has been modified\n"})
    async with service.handler(MAX_ATTEMPTS="50", SUBPROCESS_TIMEOUT="1") as handler:
        job_id = await service.gateway.submit(username="alice")
        await handler.wait_for_event("step.failed", 2)
        before = await service.wait_for_job(job_id, lambda job: bool(job.get("retry_at")))
        assert await handler.stop() == 0
    after = await service.job(job_id)
    assert after["status"] == "running"
    assert after["reason"] == before["reason"] == "conflict"
    assert after["losses"] == 0
    await service.everest.set_faults()
    async with service.handler():
        assert (await service.wait_until_finished(job_id))["overall_status"] == "succeeded"


async def test_an_idle_handler_ends_at_once_and_twice_is_no_more_than_once(service: Service) -> None:
    async with service.handler() as handler:
        handler.send_signal(signal.SIGTERM)
        handler.send_signal(signal.SIGTERM)
        assert await handler.wait() == 0


@pytest.mark.parametrize("step", [("accounts", "create"), ("namespaces", "add")])
async def test_it_ends_within_its_grace_while_nats_is_away(tmp_path: Path, step: tuple[str, str]) -> None:
    """What cannot be handed back is found by the next handler, when its lease has passed."""
    async with open_service(tmp_path, lease_seconds=60) as service:
        await service.everest.set_faults(only=" ".join(step), slow_seconds=120)
        handler = await service.start(SHUTDOWN_GRACE="2")
        await service.gateway.submit(username="alice", operators={"postgresql": True})
        await service.wait_for_run(*step)
        await service.server.kill()
        handler.send_signal(signal.SIGTERM)
        stopped_at = time.monotonic()
        assert await handler.wait() == 0
        assert time.monotonic() - stopped_at < 30  # much less than the lease that it holds
        run = await service.wait_for_run(*step)
        assert run["ended_at"] is not None


async def test_it_ends_at_once_while_nats_has_never_been_there(service: Service) -> None:
    nowhere = NatsServer(service.folder / "nowhere", free_port())
    handler = await service.start(nats_url=nowhere.url)
    await handler.wait_for_event("nats.error")
    handler.send_signal(signal.SIGTERM)
    assert await handler.wait() == 0


async def test_a_stop_that_is_asked_for_again_and_again_is_a_stop(service: Service) -> None:
    """Also while the process ends, when nothing is left that could be stopped: of both, the exit code is 0."""
    handler = await service.start()
    await handler.wait_for_event("handler.started")
    for process in (handler.process, service.gateway.process):
        while process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.02)
        assert process.returncode == 0
