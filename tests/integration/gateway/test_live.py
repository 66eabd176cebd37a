"""Server-sent events, waiters and answers from memory, also while NATS goes away and comes back."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from contracts import names
from contracts.documents import progress_document
from contracts.records import Awaited, JobRecord, Progress, encode_record
from gateway.jobs.job_cache import ENTRY_SECONDS
from gateway.jobs.waiting import REREAD_SECONDS
from tests.support.eventually import eventually
from tests.support.gateways import (
    KEY,
    LATER,
    NOW,
    Gateway,
    ManualHandler,
    manual_handler,
    new_record,
    running_gateway,
    succeeded_record,
)
from tests.support.servers import LOOPBACK, NatsServer, nats_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAITERS = 300


@asynccontextmanager
async def everything_apart(
    folder: Path, query_timeout: int = 60
) -> AsyncIterator[tuple[NatsServer, Gateway, ManualHandler]]:
    async with (
        nats_server(folder, lease_seconds=60) as server,
        running_gateway(server.url, folder, QUERY_TIMEOUT=str(query_timeout)) as gateway,
        manual_handler(server) as manual,
    ):
        yield server, gateway, manual


async def read_events(answer: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Id, or else name, and document of each event."""
    event_id = ""
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if name in ("id", "event"):
            event_id = value
        if name == "data":
            yield event_id, orjson.loads(value)


async def test_one_event_per_transition(gateway: Gateway, manual: ManualHandler) -> None:
    """Ids are revisions; a renewed lease is no transition; the stream ends after the last event."""
    job_id = await gateway.submit()
    record = new_record(job_id=job_id)
    async with gateway.api.stream("GET", f"/jobs/{job_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = read_events(answer)
        event_id, event = await anext(events)
        assert (event_id, event["status"]) == ("0", "queued")
        running = record.claimed("me", NOW)
        revisions = [await manual.write(running)]
        await manual.write(replace(running, write="a renewed lease", changed_at=LATER))
        revisions.append(await manual.write(running.started("create_account", NOW)))
        revisions.append(await manual.write(succeeded_record(record)))
        told = [(int(event_id), event) async for event_id, event in events]
    assert [revision for revision, _ in told] == revisions
    assert [event["status"] for _, event in told] == ["running", "running", "succeeded"]
    assert told[1][1]["step"] == "create_account"


async def test_what_a_step_is_at_comes_between_the_transitions(gateway: Gateway, manual: ManualHandler) -> None:
    """As an event of its own name and without an id, so that a follower who comes back resumes as before."""
    record = new_record().claimed("me", NOW).started("add_namespace", NOW)
    seen = await manual.write(record)
    awaited = Awaited("operator", "postgresql", "Installing")
    document = progress_document(
        record.job_id, "add_namespace", Progress("everestctl namespaces add", NOW, "", (awaited,))
    )
    async with gateway.api.stream("GET", f"/jobs/{record.job_id}/events") as answer:
        events = read_events(answer)
        assert (await anext(events))[0] == str(seen)
        for job_id in ("another", record.job_id):
            await manual.client.publish(names.progress_subject(job_id), orjson.dumps(document | {"job_id": job_id}))
        assert await anext(events) == ("progress", document)
        last = await manual.write(succeeded_record(record))
        assert [event_id async for event_id, _ in events] == [str(last)]


async def test_a_follower_resumes(gateway: Gateway, manual: ManualHandler) -> None:
    """Last-Event-ID: nothing that was seen is told again, what was missed is; 204 when there is no more."""
    record = new_record().claimed("me", NOW)
    seen = await manual.write(record)
    path = f"/jobs/{record.job_id}/events"
    async with gateway.api.stream("GET", path, headers={"Last-Event-ID": str(seen)}) as answer:
        last = await manual.write(succeeded_record(record))
        told = [event_id async for event_id, _ in read_events(answer)]
    assert told == [str(last)]
    async with gateway.api.stream("GET", path, headers={"Last-Event-ID": str(seen)}) as answer:
        assert [event_id async for event_id, _ in read_events(answer)] == [str(last)]
    again = await gateway.api.get(path, headers={"Last-Event-ID": str(last)})
    assert again.status_code == 204
    assert (await gateway.api.get("/jobs/nobody/events")).json()["code"] == "job_not_found"


async def wait_for_waiters(gateway: Gateway, count: int) -> None:
    async def are_there() -> bool:
        return f"everest_bootstrap_waiters {count}.0" in (await gateway.api.get("/metrics")).text

    await eventually(are_there, f"{count} wait")


async def test_no_waiter_misses_the_end_when_nats_restarts(tmp_path: Path) -> None:
    """Those who poll with a wait and those who follow, though the end is written while the watch is away."""
    async with everything_apart(tmp_path) as (server, gateway, manual):
        record = new_record().claimed("me", NOW)
        await manual.write(record)
        waiting = [asyncio.create_task(gateway.api.get(f"/jobs/{record.job_id}?wait=55")) for _ in range(20)]
        async with gateway.api.stream("GET", f"/jobs/{record.job_id}/events") as answer:
            events = read_events(answer)
            await anext(events)
            await wait_for_waiters(gateway, 21)
            await server.restart()
            async with manual_handler(server) as other:
                await other.write(succeeded_record(record))
            assert (await anext(events))[1]["status"] == "succeeded"
        for answer_later in waiting:
            assert (await answer_later).json()["status"] == "succeeded"


async def poll(gateway: Gateway, record: JobRecord) -> str:
    answer = await gateway.api.get(f"/jobs/{record.job_id}")
    return str(answer.json().get("summary", answer.status_code))


async def test_waiters_share_one_watch(server: NatsServer, gateway: Gateway, manual: ManualHandler) -> None:
    """Hundreds of them add no subscription, and while nothing changes they ask NATS for nothing."""
    record = new_record()
    await manual.write(record)
    before = await asyncio.to_thread(server.read_monitor, "varz")
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=gateway.api.base_url, headers=gateway.api.headers, limits=limits) as client:
        waiting = [
            asyncio.create_task(client.get(f"/jobs/{record.job_id}?wait=60", timeout=90)) for _ in range(WAITERS)
        ]
        await wait_for_waiters(gateway, WAITERS)
        await asyncio.sleep(REREAD_SECONDS * 1.1)  # each of them has looked again
        during = await asyncio.to_thread(server.read_monitor, "varz")
        await manual.write(succeeded_record(record))
        answers = await asyncio.gather(*waiting)
    assert {answer.json()["status"] for answer in answers} == {"succeeded"}
    assert during["subscriptions"] == before["subscriptions"]
    # What the gateway itself asks now and then is the same with one waiter and with many.
    assert during["in_msgs"] - before["in_msgs"] < WAITERS


async def test_memory_is_true(gateway: Gateway, manual: ManualHandler) -> None:
    """Polls after a write never show what was before it by more than the way of the event."""
    record = new_record().claimed("me", NOW)
    for turn in range(50):
        changed = replace(record, summary=f"turn {turn}")
        await manual.write(changed)
        for _ in range(100):
            if await poll(gateway, record) == changed.summary:
                break
            await asyncio.sleep(0.01)
        else:
            raise AssertionError("the change is not seen")


async def test_no_answer_is_old_when_the_connection_is_cut(tmp_path: Path) -> None:
    """With NATS frozen, nothing older than 5 seconds is served: the gateway says that it does not know."""
    async with everything_apart(tmp_path) as (server, gateway, manual):
        record = succeeded_record(new_record())
        await manual.write(record)
        assert await poll(gateway, record) == record.summary
        server.send_signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        try:
            while await poll(gateway, record) == record.summary:
                assert time.monotonic() - stopped_at < 5
                await asyncio.sleep(0.05)
        finally:
            server.send_signal(signal.SIGCONT)
        await gateway.wait_until(f"/jobs/{record.job_id}", 200)


async def test_a_deleted_record_is_gone(gateway: Gateway, manual: ManualHandler) -> None:
    """Absence is told by the watch too."""
    record = succeeded_record(new_record())
    await manual.write(record)
    assert await poll(gateway, record) == record.summary
    subject = f"$KV.{names.JOBS_BUCKET}.{record.job_id}"
    await manual.jetstream.publish(subject, b"", headers={"KV-Operation": "DEL"})
    await gateway.wait_until(f"/jobs/{record.job_id}", 404)


async def test_who_waits_hears_of_a_record_that_nobody_can_count(gateway: Gateway, manual: ManualHandler) -> None:
    """What the metrics make of a record is told after those who wait for it."""
    record = new_record()
    await manual.write(record)
    waiting = asyncio.create_task(gateway.api.get(f"/jobs/{record.job_id}?wait=60"))
    await wait_for_waiters(gateway, 1)
    began_at = time.monotonic()
    ended = orjson.loads(encode_record(succeeded_record(record))) | {"attempt": "three", "losses": {}}
    await manual.jetstream.publish(
        f"$KV.{names.JOBS_BUCKET}.{record.job_id}", orjson.dumps(ended), headers={"Nats-TTL": "600s"}
    )
    await waiting
    assert time.monotonic() - began_at < REREAD_SECONDS


async def test_what_a_publisher_sends_is_no_request_id_and_no_trace(gateway: Gateway, manual: ManualHandler) -> None:
    """A queued job shows what its record will hold: legal ids, or none."""
    legal = {"X-Request-Id": "find-me", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    strange = {"X-Request-Id": "<script>", "traceparent": "00-anything"}
    for job_id, headers in (("svc.legal", legal), ("svc.strange", strange)):
        subject = names.job_subject("bootstrap", job_id)
        await manual.jetstream.publish(subject, b'{"username":"alice"}', headers=headers)
    known, unknown = [(await gateway.api.get(f"/jobs/svc.{name}")).json() for name in ("legal", "strange")]
    assert (known["request_id"], known["traceparent"]) == (legal["X-Request-Id"], legal["traceparent"])
    assert unknown["request_id"] is None
    assert "traceparent" not in unknown


async def test_an_expired_record_is_not_served(gateway: Gateway, manual: ManualHandler) -> None:
    """Also by who has it in memory, whether it was read or seen: never longer than its retention."""
    read, seen = succeeded_record(new_record()), succeeded_record(new_record())
    began_at = time.monotonic()
    await manual.jetstream.publish(
        f"$KV.{names.JOBS_BUCKET}.{read.job_id}", encode_record(read), headers={"Nats-TTL": "3s"}
    )
    assert (await gateway.api.get(f"/jobs/{read.job_id}")).status_code == 200
    await manual.write(new_record(job_id=seen.job_id))
    assert (await gateway.api.get(f"/jobs/{seen.job_id}")).status_code == 200
    await manual.jetstream.publish(
        f"$KV.{names.JOBS_BUCKET}.{seen.job_id}", encode_record(seen), headers={"Nats-TTL": "3s"}
    )
    for record in (read, seen):
        await gateway.wait_until(f"/jobs/{record.job_id}", 404)
    assert time.monotonic() - began_at < ENTRY_SECONDS / 2


async def test_a_wait_ends_with_its_connection(tmp_path: Path) -> None:
    """Of a job, of a submit and of a query: nobody is waited for who has left."""
    async with everything_apart(tmp_path, query_timeout=5) as (_, gateway, manual):
        record = new_record()
        await manual.write(record)
        waits = [
            f"GET /jobs/{record.job_id}?wait=60 HTTP/1.1\r\n",
            "POST /bootstrap/users?wait=60 HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 20\r\n",
            "GET /accounts/list HTTP/1.1\r\n",
        ]
        writers = []
        for head in waits:
            _, writer = await asyncio.open_connection(LOOPBACK, gateway.port)
            writer.write(f"{head}Host: gateway\r\nX-Admin-Key: {KEY}\r\n\r\n".encode())
            if head.startswith("POST"):
                writer.write(b'{"username":"alice"}')
            writers.append(writer)
        await wait_for_waiters(gateway, 3)
        for writer in writers:
            writer.transport.abort()
        await wait_for_waiters(gateway, 1)  # the query, which others may share, until QUERY_TIMEOUT
        paths = {f"/jobs/{record.job_id}", "/bootstrap/users", "/accounts/list"}
        await eventually(lambda: paths <= {line.get("path") for line in gateway.log_lines()}, "they are answered")
