"""Jobs of one tenant: one after the other, parked meanwhile, and nobody else waits for them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from contracts import names
from tests.simulator.effects import overlaps
from tests.support.gateways import ManualHandler, manual_handler
from tests.support.handlers import LEASE_SECONDS, Service, open_service
from tests.support.servers import LIMIT_SECONDS


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with open_service(tmp_path, binds_roles=False) as opened:
        yield opened


async def test_each_begins_when_the_one_before_has_ended(service: Service) -> None:
    """Each is parked once and woken once, in the order in which they came; nothing of them is left."""
    await service.everest.set_faults(only="accounts create", holds="race")
    async with service.handler() as handler, manual_handler(service.server) as manual:
        job_ids = [await service.gateway.submit(username="alice")]
        await service.everest.wait_until_held("accounts", "create")
        for n in (1, 2):
            job_ids.append(await service.gateway.submit(username="alice", resources={"disk_gb": 10 + n}))
            await handler.wait_for_event("job.waits", n)
        await service.everest.set_faults()
        for job_id in job_ids:
            assert (await service.wait_until_finished(job_id))["overall_status"] == "succeeded"
        lines = handler.log_lines()
        assert [line["job_id"] for line in lines if line["event"] == "job.claimed"] == job_ids
        assert [line["job_id"] for line in lines if line["event"] == "job.waits"] == job_ids[1:]
        assert not [line for line in lines if line["event"] == "job.not_parked"]
        await _wait_until_nobody_waits(manual)
    assert not overlaps((await service.everest.effects())["runs"])


async def test_a_parked_job_is_queued_waits_and_can_be_cancelled(service: Service) -> None:
    await service.everest.set_faults(only="accounts create", holds="race")
    async with service.handler() as handler, manual_handler(service.server) as manual:
        first = await service.gateway.submit(username="alice")
        await service.everest.wait_until_held("accounts", "create")
        cancelled, last = [await service.gateway.submit(username="alice", resources={"disk_gb": n}) for n in (30, 31)]
        await handler.wait_for_event("job.waits", 2)
        job = await service.wait_for_job(last, lambda job: job.get("reason") == "tenant_busy")
        assert (job["status"], job["attempt"]) == ("queued", 0)
        assert (await service.gateway.api.post(f"/jobs/{cancelled}/cancel")).status_code == 202
        metrics = (await service.gateway.nobody.get("/metrics")).text
        assert 'everest_bootstrap_jobs{kind="all",status="waiting"} 2.0' in metrics
        await service.everest.set_faults()
        for job_id, status in ((first, "succeeded"), (cancelled, "failed"), (last, "succeeded")):
            assert (await service.wait_until_finished(job_id))["overall_status"] == status
        await _wait_until_nobody_waits(manual)


async def test_without_a_line_jobs_wait_as_ever(service: Service) -> None:
    """A handler that is newer than what was provisioned: what waits keeps its message, and comes again."""
    async with manual_handler(service.server) as manual, service.handler() as handler:
        await manual.jetstream.delete_stream(names.WAITING_STREAM)
        await service.everest.set_faults(only="accounts create", holds="race")
        job_ids = [await service.gateway.submit(username="alice", resources={"disk_gb": 10 + n}) for n in range(2)]
        await handler.wait_for_event("job.not_parked")
        await service.everest.set_faults()
        await service.server.provision(LEASE_SECONDS)
        for job_id in job_ids:
            assert (await service.wait_until_finished(job_id))["overall_status"] == "succeeded"


async def _wait_until_nobody_waits(manual: ManualHandler) -> None:
    """A place is given up after the job's end is saved."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while (await manual.jetstream.stream_info(names.WAITING_STREAM)).state.messages:
            pass
