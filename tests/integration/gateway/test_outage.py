"""The gateway while NATS is away, full or not provisioned, and while it is told to stop."""

import asyncio
import signal
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from contracts import names
from tests.support.eventually import eventually
from tests.support.gateways import NOW, Gateway, manual_handler, new_record, running_gateway
from tests.support.servers import NatsServer, nats_server

USERS = "/bootstrap/users"
ANSWER_SECONDS = 20  # the gateway asks NATS for a few; the rest is for a busy machine


async def submit(gateway: Gateway, **headers: str) -> tuple[httpx.Response, float]:
    started_at = time.monotonic()
    answer = await gateway.api.post(USERS, json={"username": "alice"}, headers=headers)
    return answer, time.monotonic() - started_at


async def test_it_starts_before_nats(tmp_path: Path) -> None:
    """It lives, is not ready, answers 503, and takes jobs once NATS is there."""
    server = NatsServer(tmp_path / "nats")
    async with running_gateway(server.url, tmp_path, ready=False) as gateway:
        assert (await gateway.nobody.get("/healthz")).status_code == 200
        ready = await gateway.nobody.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
        answer, seconds = await submit(gateway)
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
        assert answer.headers["retry-after"]
        assert seconds < ANSWER_SECONDS
        assert (await gateway.api.get("/jobs/x")).json()["code"] == "queue_unavailable"
        assert (await gateway.api.get("/jobs")).json()["code"] == "queue_unavailable"
        assert (await gateway.api.get("/accounts/list")).json()["code"] == "queue_unavailable"
        assert (await gateway.nobody.get("/metrics")).status_code == 200
        await server.start()
        try:
            await gateway.wait_until("/readyz", 503)

            async def is_told() -> bool:
                return f"{names.JOBS_STREAM} is missing" in (await gateway.nobody.get("/readyz")).text

            await eventually(is_told, "what is missing is told")
            asked = [
                await gateway.api.post(USERS, json={"username": "alice"}, headers={"Idempotency-Key": "again"}),
                *[await gateway.api.get(path) for path in ("/jobs/x", "/jobs", "/accounts/list", "/tenants/alice")],
                (await submit(gateway))[0],
            ]
            assert {(answer.status_code, answer.json()["code"]) for answer in asked} == {(503, "not_provisioned")}
            assert all("python -m gateway provision" in answer.json()["hint"] for answer in asked)
            told = [line for line in gateway.log_lines() if line["event"] == "nats.not_provisioned"]
            assert len(told) == 1
            await server.provision()
            await gateway.wait_until("/readyz", 200)
            await gateway.submit()
        finally:
            await server.stop()


@pytest_asyncio.fixture
async def small_volume(tmp_path: Path) -> AsyncIterator[Path]:
    """A file system of a few megabytes."""
    volume = tmp_path / "volume"
    volume.mkdir()
    mount = await asyncio.create_subprocess_exec("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", volume, stderr=PIPE)
    if await mount.wait():
        pytest.skip("a small volume can be mounted by root alone")
    yield volume
    await (await asyncio.create_subprocess_exec("umount", volume)).wait()


async def test_a_full_volume_is_seen(small_volume: Path, tmp_path: Path) -> None:
    """Not ready from the first submit that nothing stored, and counted; ready again when there is space."""
    async with (
        nats_server(small_volume, lease_seconds=60) as server,
        running_gateway(server.url, tmp_path) as gateway,
    ):
        ballast = small_volume / "ballast"
        await (await asyncio.create_subprocess_exec("dd", "if=/dev/zero", f"of={ballast}", "bs=4k", stderr=PIPE)).wait()
        for _ in range(200):  # what is left of a page still takes some
            answer, seconds = await submit(gateway)
            assert seconds < ANSWER_SECONDS
            if answer.status_code != 202:
                break
        assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
        ready = await gateway.wait_until("/readyz", 503)
        assert f"{names.JOBS_STREAM} did not store" in ready.text
        assert f'unstored_total{{stream="{names.JOBS_STREAM}"}} 1.0' in (await gateway.nobody.get("/metrics")).text
        ballast.unlink()
        await server.restart()
        await gateway.wait_until("/readyz", 200)
        await gateway.submit()


async def test_a_silent_nats_is_unknown_never_failed(tmp_path: Path) -> None:
    """Frozen NATS: 503 outcome_unknown in time with the id; the same key later gives that job, and one job."""
    async with (
        nats_server(tmp_path, lease_seconds=60) as server,
        running_gateway(server.url, tmp_path) as gateway,
        manual_handler(server) as manual,
    ):
        server.send_signal(signal.SIGSTOP)
        try:
            answer, seconds = await submit(gateway, **{"Idempotency-Key": "k"})
            assert answer.json()["code"] == "queue_unavailable"  # it could not even be asked whether it is known
            assert seconds < ANSWER_SECONDS
            answer, seconds = await submit(gateway)
            assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
            assert seconds < ANSWER_SECONDS
            job_id = answer.json()["job_id"]
        finally:
            server.send_signal(signal.SIGCONT)
        await gateway.wait_until("/readyz", 200)
        assert (await gateway.api.get(f"/jobs/{job_id}")).status_code in (200, 404)
        assert await manual.count_messages(names.job_subject("bootstrap", job_id)) <= 1
        assert len({await gateway.submit({"Idempotency-Key": "k"}) for _ in range(3)}) == 1


async def test_submits_while_nats_restarts(tmp_path: Path) -> None:
    """Every 202 is a job that can be read afterwards; nobody is told what is not so."""
    async with nats_server(tmp_path, lease_seconds=60) as server, running_gateway(server.url, tmp_path) as gateway:
        accepted: list[str] = []
        over = asyncio.Event()

        async def keep_submitting() -> None:
            while not over.is_set():
                answer, seconds = await submit(gateway)
                assert answer.status_code in (202, 503), answer.text
                assert seconds < ANSWER_SECONDS
                if answer.status_code == 202:
                    accepted.append(answer.json()["job_id"])

        submitting = [asyncio.create_task(keep_submitting()) for _ in range(8)]
        for _ in range(2):
            before = len(accepted)
            await server.restart()
            while len(accepted) < before + 50:  # noqa: ASYNC110 - what is counted is the effect, not an event
                await asyncio.sleep(0.05)
        over.set()
        await asyncio.gather(*submitting)
        await gateway.wait_until("/readyz", 200)
        for job_id in accepted:
            assert (await gateway.api.get(f"/jobs/{job_id}")).status_code == 200


async def test_a_full_queue(tmp_path: Path) -> None:
    """503 queue_full; a job that is queued is still known under its key, polled and cancelled.

    To that end gateways stay ready; operators are told.
    """
    async with (
        nats_server(tmp_path, lease_seconds=60) as server,
        manual_handler(server) as manual,
        running_gateway(server.url, tmp_path) as gateway,
    ):
        known = await gateway.submit({"Idempotency-Key": "known"})
        info = await manual.jetstream.stream_info(names.JOBS_STREAM)
        config = info.config
        config.max_bytes = info.state.bytes + 10
        await manual.jetstream.update_stream(config)
        answer, _ = await submit(gateway)
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
        assert answer.headers["retry-after"]
        assert await gateway.submit({"Idempotency-Key": "known"}) == known
        await _wait_for_notice(gateway, names.JOBS_STREAM)
        assert (await gateway.nobody.get("/readyz")).json() == {"status": "ready"}
        assert (await gateway.api.get(f"/jobs/{known}")).json()["status"] == "queued"
        assert (await gateway.api.post(f"/jobs/{known}/cancel")).status_code == 202


async def _wait_for_notice(gateway: Gateway, stream: str) -> None:
    async def is_told() -> bool:
        notices = (await gateway.api.get("/readyz?verbose")).json()["notices"]
        return any(notice.startswith(f"{stream} is nearly full") for notice in notices)

    await eventually(is_told, lambda: f"no notice of {stream}")


async def test_full_buckets_are_notices(tmp_path: Path) -> None:
    """What only some routes need takes none of the others away; each bucket is looked at, and measured."""
    buckets = (names.JOBS_BUCKET, names.ANSWERS_BUCKET, names.CANCELS_BUCKET, names.TENANTS_BUCKET)
    async with (
        nats_server(tmp_path, lease_seconds=60) as server,
        manual_handler(server) as manual,
        running_gateway(server.url, tmp_path) as gateway,
    ):
        for stream in map(names.bucket_stream, buckets):
            await manual.jetstream.publish(names.bucket_subject(stream.removeprefix("KV_"), "some"), b"x" * 100)
            config = (info := await manual.jetstream.stream_info(stream)).config
            config.max_bytes = info.state.bytes
            await manual.jetstream.update_stream(config)
            await _wait_for_notice(gateway, stream)
            assert (await gateway.nobody.get("/readyz")).json() == {"status": "ready"}
            assert f'stream_max_bytes{{stream="{stream}"}} ' in (await gateway.nobody.get("/metrics")).text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """What is in flight is answered, waits and event streams end, the exit code is 0."""
    async with (
        nats_server(tmp_path, lease_seconds=60) as server,
        running_gateway(server.url, tmp_path) as gateway,
        manual_handler(server) as manual,
    ):
        record = new_record().claimed("me", NOW)
        await manual.write(record)
        waiting = asyncio.create_task(gateway.api.get(f"/jobs/{record.job_id}?wait=60"))
        async with gateway.api.stream("GET", f"/jobs/{record.job_id}/events") as events:
            lines = events.aiter_lines()
            await anext(lines)
            while "everest_bootstrap_waiters 2.0" not in (await gateway.api.get("/metrics")).text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            stopping = asyncio.create_task(gateway.stop(number))
            answer = await waiting
            assert (answer.status_code, answer.json()["status"]) == (200, "running")
            async for _ in lines:  # it ends
                pass
        assert await stopping == 0, gateway.read_log()
        assert gateway.log_lines()[-1]["event"] == "gateway.stopped"


async def test_a_taken_port_is_said(tmp_path: Path) -> None:
    async with running_gateway("nats://127.0.0.1:1", tmp_path, ready=False) as gateway:
        with pytest.raises(AssertionError, match="cannot be listened on"):
            async with running_gateway("nats://127.0.0.1:1", tmp_path, ready=False, PORT=str(gateway.port)):
                pass


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ADMIN_API_KEY": ""}, "ADMIN_API_KEY"),
        ({"ADMIN_API_KEY_FILE": "/none"}, "ADMIN_API_KEY_FILE cannot be read"),
        ({"ADMIN_API_KEYS_FILE": "/none"}, "ADMIN_API_KEYS_FILE cannot be read"),
        ({"PORT": "x"}, "PORT must be"),
        ({"RATE_LIMIT": "often"}, "RATE_LIMIT must be"),
        ({"NATS_CREDS_FILE": "/none"}, "NATS"),
    ],
)
async def test_bad_settings_end_the_start(tmp_path: Path, variables: dict[str, Any], said: str) -> None:
    """Each named, none of their values shown."""
    with pytest.raises(AssertionError, match=said):
        async with running_gateway("nats://127.0.0.1:1", tmp_path, ready=False, **variables):
            pass
