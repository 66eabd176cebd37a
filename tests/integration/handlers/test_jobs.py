"""Real handlers at work: tenants one job at a time, cancels, retries, idle ends, full buckets, outputs of all kinds."""

import asyncio
import json
import signal
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts import names
from tests.simulator.effects import overlaps
from tests.support.eventually import eventually
from tests.support.gateways import manual_handler
from tests.support.handlers import FINISHED, LEASE_SECONDS, Service, open_service
from tests.support.servers import LIMIT_SECONDS


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with open_service(tmp_path, binds_roles=False) as opened:
        yield opened


async def count_messages(service: Service) -> int:
    async with manual_handler(service.server) as manual:
        return int((await manual.jetstream.stream_info(names.JOBS_STREAM)).state.messages)


@pytest.mark.slow
async def test_the_job_that_waits_for_its_tenant_runs_when_the_holder_has_crashed(service: Service) -> None:
    """With a single slot: the waiting job gives it up, or the holder could never end."""
    await service.everest.set_faults(only="accounts create", slow_seconds=60, times=1)
    handler = await service.start(HANDLER_CONCURRENCY="1")
    holder = await service.gateway.submit(username="alice")
    await service.wait_for_run("accounts", "create")
    waiting = await service.gateway.submit(username="alice", resources={"cpu_cores": 4})
    async with service.handler(HANDLER_CONCURRENCY="1") as second:
        await second.wait_for_event("job.waits")
        job = await service.job(waiting)
        assert (job["status"], job["reason"], job["attempt"]) == ("queued", "tenant_busy", 0)
        await handler.stop(signal.SIGKILL)
        for job_id in (holder, waiting):
            assert (await service.wait_until_finished(job_id))["overall_status"] == "succeeded"
        assert (await service.job(holder))["losses"] == 1
        assert (await service.job(waiting))["losses"] == 0
    assert not overlaps((await service.everest.effects())["runs"])


@pytest.mark.slow
async def test_many_jobs_of_one_tenant_delay_no_other(service: Service) -> None:
    """They wait without a slot, and without starving the queue."""
    await service.everest.set_faults(only="accounts create crowd", slow_seconds=60)
    async with (
        manual_handler(service.server) as manual,
        service.handler(HANDLER_CONCURRENCY="2", SHUTDOWN_GRACE="0") as handler,
    ):
        for number in range(300):
            body = json.dumps({"username": "crowd", "resources": {"disk_gb": 1 + number}}).encode()
            await manual.jetstream.publish(names.job_subject("bootstrap", f"crowd-{number}"), body)
        await handler.wait_for_event("job.waits", 299)
        started_at = time.monotonic()
        assert (await service.run_job(username="alice"))["overall_status"] == "succeeded"
        assert time.monotonic() - started_at < 30  # one at a time, the crowd takes hours
        claims = [line for line in handler.log_lines() if line["event"] == "job.claimed"]
    assert len(claims) == 2


async def test_a_cancel_ends_a_queued_job_at_once_and_a_running_one_between_steps(service: Service) -> None:
    queued = await service.gateway.submit(username="quinn")
    assert (await service.gateway.api.post(f"/jobs/{queued}/cancel")).status_code == 202
    assert (await service.job(queued))["reason"] == "cancelled"
    await service.everest.set_faults(only="accounts create", slow_seconds=3, times=1)
    async with service.handler():
        running = await service.gateway.submit(username="alice")
        await service.wait_for_run("accounts", "create", "-u", "alice")
        assert (await service.gateway.api.post(f"/jobs/{running}/cancel")).status_code == 202
        result = await service.wait_until_finished(running)
        assert result["overall_status"] == "failed"
        assert [step["name"] for step in result["steps"]] == ["create_account"]
        assert result["steps"][0]["outcome"] == "created"
        assert (await service.job(running))["reason"] == "cancelled"
        await _wait_until_empty(service)
        assert not await service.runs_of("accounts", "create", "-u", "quinn")
        # Retried by a person, it goes on where it was.
        assert (await service.gateway.api.post(f"/jobs/{running}/retry")).status_code == 202
        result = await service.wait_until_finished(running)
        assert result["overall_status"] == "succeeded", result
    assert len(await service.runs_of("accounts", "create", "-u", "alice")) == 1
    job = await service.job(running)
    assert job["attempt"] == 2


@pytest.mark.slow
async def test_a_cancel_ends_the_wait_for_a_retry(service: Service) -> None:
    failure = {"stderr": "Error: the object has been modified\n"}
    await service.everest.set_faults(only="accounts create", fail=failure)
    async with service.handler(MAX_ATTEMPTS="50", SUBPROCESS_TIMEOUT="1"):
        job_id = await service.gateway.submit(username="alice")
        job = await service.wait_for_job(job_id, lambda job: bool(job.get("retry_at")) and job["attempt"] >= 3)
        assert (job["status"], job["reason"]) == ("running", "conflict")
        assert (await service.gateway.api.post(f"/jobs/{job_id}/cancel")).status_code == 202
        await service.wait_until_finished(job_id)
        assert (await service.job(job_id))["reason"] == "cancelled"


async def test_cancels_that_race_with_the_end_leave_one_end(service: Service) -> None:
    async with service.handler():
        job_ids = [await service.gateway.submit(username=f"user{number}") for number in range(6)]
        for number, job_id in enumerate(job_ids):
            await asyncio.sleep(0.1 * number)
            answer = await service.gateway.api.post(f"/jobs/{job_id}/cancel")
            assert answer.status_code in (202, 409)
        ends = [(await service.wait_until_finished(job_id))["overall_status"] for job_id in job_ids]
        await _wait_until_empty(service)
        assert ends == [(await service.job(job_id))["status"] for job_id in job_ids]


async def test_a_retry_while_the_old_message_is_still_queued_runs_it_once(service: Service) -> None:
    """A cancelled job's message stays until its next delivery; reopened before, that is the message that runs."""
    job_id = await service.gateway.submit(username="alice")
    assert (await service.gateway.api.post(f"/jobs/{job_id}/cancel")).status_code == 202
    assert (await service.gateway.api.post(f"/jobs/{job_id}/retry")).status_code == 202
    assert await count_messages(service) == 1
    async with service.handler():
        assert (await service.wait_until_finished(job_id))["overall_status"] == "succeeded"
    assert len(await service.runs_of("accounts", "create")) == 1


async def test_until_idle_ends_when_nothing_is_left(service: Service) -> None:
    """Not while a job of its own runs, or waits to come back, nor one of the consumer of all other kinds."""
    async with manual_handler(service.server) as manual:
        await manual.jetstream.publish(names.job_subject("suspend", "a-verb"), b'{"username":"nobody_here"}')
    await service.everest.set_faults(only="accounts create", slow_seconds=2, times=1)
    job_ids = [await service.gateway.submit(username="alice", resources={"disk_gb": 10 + n}) for n in range(2)]
    handler = await service.start("--until-idle", "1")
    assert await handler.wait() == 0
    for job_id in job_ids:
        assert (await service.job(job_id))["status"] == "succeeded"
    assert (await service.job("a-verb"))["reason"] == "tenant_not_found"
    assert await count_messages(service) == 0
    assert [line for line in handler.log_lines() if line["event"] == "handler.idle"]
    assert [line for line in handler.log_lines() if line["event"] == "job.waits"]


async def test_a_full_bucket_starts_nothing_and_still_ends_what_runs(service: Service) -> None:
    await service.everest.set_faults(only="accounts create", slow_seconds=3, output_bytes=64 * 1024, times=1)
    async with manual_handler(service.server) as manual, service.handler() as handler:
        running = await service.gateway.submit(username="alice")
        await service.wait_for_run("accounts", "create")
        await _limit_bucket(manual, spare_bytes=0)
        waiting = await service.gateway.submit(username="bob")
        await handler.wait_for_event("bucket.full")
        await service.wait_for_job(running, lambda job: job["status"] == "succeeded")
        assert (await service.job(waiting))["status"] == "queued"
        await _limit_bucket(manual, spare_bytes=10_000_000)
        assert (await service.wait_until_finished(waiting))["overall_status"] == "succeeded"


@pytest.mark.slow
async def test_outputs_of_any_size_and_kind_fail_no_job(service: Service) -> None:
    async with service.handler(), manual_handler(service.server) as manual:
        faults: tuple[dict[str, Any], ...] = ({"output_bytes": 20_000_000}, {"binary_output": True})
        for number, fault in enumerate(faults):
            await service.everest.set_faults(only="accounts create", **fault)
            job_id = await service.gateway.submit(username=f"user{number}")
            result = await service.wait_until_finished(job_id)
            assert result["overall_status"] == "succeeded", result
            step = result["steps"][0]
            assert 0 < len(step["stdout"]) < 25_000
            message = await manual.jetstream.get_last_msg(
                f"KV_{names.JOBS_BUCKET}", f"$KV.{names.JOBS_BUCKET}.{job_id}"
            )
            assert len(message.data or b"") <= 256 * 1024


@pytest.mark.slow
async def test_only_the_end_of_a_job_expires(service: Service) -> None:
    """A record that waits or runs stays for ever; an end carries the retention, and then the id is free again."""
    async with manual_handler(service.server) as manual, service.handler(JOB_RETENTION="2"):
        subscription = await manual.jetstream.subscribe(
            f"$KV.{names.JOBS_BUCKET}.>", stream=f"KV_{names.JOBS_BUCKET}", ordered_consumer=True
        )
        await service.gateway.submit(username="alice")
        ttl = None
        while ttl is None:
            message = await subscription.next_msg(timeout=LIMIT_SECONDS)
            record = json.loads(message.data)
            ttl = (message.headers or {}).get("Nats-TTL")
            assert (ttl is None) == (record["status"] not in FINISHED)
        assert ttl == "2s"

        async def is_empty() -> bool:
            return not (await manual.jetstream.stream_info(f"KV_{names.JOBS_BUCKET}")).state.messages

        await eventually(is_empty, "the record expires")


async def test_a_caller_on_nats_follows_its_job(service: Service) -> None:
    """Publishes to the documented subject, hears of each transition, and asks when it was away."""
    async with manual_handler(service.server) as manual, service.handler():
        job_id = f"order-{uuid.uuid4()}"
        events: list[dict[str, Any]] = []
        ended = asyncio.Event()

        async def hear(message: Any) -> None:
            events.append(json.loads(message.data))
            if events[-1]["status"] in FINISHED:
                ended.set()

        await manual.client.subscribe(names.event_subject(job_id), cb=hear)
        await manual.jetstream.publish(names.job_subject("bootstrap", job_id), b'{"username":"alice"}')
        await asyncio.wait_for(ended.wait(), LIMIT_SECONDS)
        assert [event["status"] for event in events] == ["running"] * (len(events) - 1) + ["succeeded"]
        assert len(events) >= 5
        answer = await manual.client.request(names.status_subject(job_id), b"", timeout=LIMIT_SECONDS)
        assert json.loads(answer.data) == await service.job(job_id)


async def _wait_until_empty(service: Service) -> None:
    async def is_empty() -> bool:
        return not await count_messages(service)

    await eventually(is_empty, "no message stays in the queue")


async def _limit_bucket(manual: Any, spare_bytes: int) -> None:
    info = await manual.jetstream.stream_info(f"KV_{names.JOBS_BUCKET}")
    info.config.max_bytes = info.state.bytes + spare_bytes
    await manual.jetstream.update_stream(info.config)


@pytest.mark.slow
async def test_a_consumer_that_is_deleted_is_waited_for_and_nothing_is_made_by_a_handler(service: Service) -> None:
    """Its jobs are still in the stream: provisioning again is all that is needed."""
    async with manual_handler(service.server) as manual, service.handler() as handler:
        await manual.jetstream.delete_consumer(names.JOBS_STREAM, names.BOOTSTRAP_CONSUMER)
        job_id = await service.gateway.submit(username="alice")
        await handler.wait_for_event("fetch.failed")
        there = {consumer.name for consumer in await manual.jetstream.consumers_info(names.JOBS_STREAM)}
        assert there == {names.LIFECYCLE_CONSUMER}
        await service.server.provision(LEASE_SECONDS)
        assert (await service.wait_until_finished(job_id))["overall_status"] == "succeeded"
