"""GET /jobs: list and search."""

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contracts import names
from contracts.codes import Failure
from contracts.records import encode_record
from tests.support.eventually import eventually
from tests.support.gateways import (
    NOW,
    Gateway,
    ManualHandler,
    manual_handler,
    new_record,
    running_gateway,
    succeeded_record,
)
from tests.support.servers import LIMIT_SECONDS, NatsServer, nats_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def walk(gateway: Gateway, **parameters: Any) -> AsyncIterator[list[dict[str, Any]]]:
    """The pages, by following the cursor."""
    while True:
        answer = await gateway.api.get("/jobs", params=parameters)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        yield page["jobs"]
        if page["next_cursor"] is None:
            assert "link" not in answer.headers
            return
        match = re.fullmatch(r'</jobs\?(.*)>; rel="next"', answer.headers["link"])
        assert match
        assert "cursor=" in match[1]
        parameters["cursor"] = page["next_cursor"]


async def collect(gateway: Gateway, **parameters: Any) -> list[str]:
    return [job["job_id"] async for page in walk(gateway, **parameters) for job in page]


async def test_the_last_changed_comes_first(gateway: Gateway, manual: ManualHandler) -> None:
    """Pages cover every job exactly once while nothing changes; gaps in the bucket do not matter."""
    caller = f"c-{uuid.uuid4().hex[:8]}"
    records = [new_record(caller=caller) for _ in range(60)]
    for record in records:
        await manual.write(record)
        for _ in range(5):  # each write leaves a gap
            await manual.write(record.claimed("me", NOW))
    expected = [record.job_id for record in reversed(records)]
    assert await collect(gateway, caller=caller, limit=200) == expected
    assert await collect(gateway, caller=caller, limit=7) == expected
    await manual.write(succeeded_record(records[0]))
    assert (await collect(gateway, caller=caller))[0] == records[0].job_id


async def test_the_newest_cost_three_questions(tmp_path: Path) -> None:
    """How far bucket and queue reach, and the records: however often each was written."""
    async with (
        nats_server(tmp_path, lease_seconds=60) as server,
        manual_handler(server) as manual,
        running_gateway(server.url, tmp_path) as gateway,
    ):
        for _ in range(60):
            record = new_record()
            for _ in range(6):  # each write leaves a gap
                await manual.write(record)
            await manual.write(succeeded_record(record))
        counts: list[int] = []
        while min(counts, default=4) > 3 and len(counts) < 50:  # the watch asks now and then, too
            before = await asyncio.to_thread(server.count_received, "gateway")
            assert len((await gateway.api.get("/jobs?limit=50")).json()["jobs"]) == 50
            counts.append(await asyncio.to_thread(server.count_received, "gateway") - before)
        assert min(counts) <= 3, counts


async def test_filters(gateway: Gateway, manual: ManualHandler) -> None:
    caller = f"c-{uuid.uuid4().hex[:8]}"
    waits = new_record("filtera", caller=caller)
    done = succeeded_record(new_record("filterb", caller=caller))
    failed = new_record("filterb", caller=caller).failed(Failure("forbidden", "no"), NOW)
    for record in (waits, done, failed):
        await manual.write(record)
    for parameters, expected in (
        ({"status": "queued"}, [waits]),
        ({"status": "succeeded"}, [done]),
        ({"username": "filterb"}, [failed, done]),
        ({"namespace": "filtera"}, [waits]),
        ({"kind": "bootstrap"}, [failed, done, waits]),
        ({"since": "2099-01-01"}, []),
        ({"since": "2020-01-01T00:00:00+02:00"}, [failed, done, waits]),
    ):
        found = await collect(gateway, caller=caller, **parameters)
        assert found == [record.job_id for record in expected], parameters


async def test_queued_jobs_without_a_record_are_merged_in(gateway: Gateway, manual: ManualHandler) -> None:
    """In their place by time, and once, also when their record appears."""
    username = f"q{uuid.uuid4().hex[:8]}"
    old = new_record(username)
    await manual.write(old)
    await asyncio.sleep(0.01)
    queued = [await gateway.submit(username=username) for _ in range(3)]
    await asyncio.sleep(0.01)
    new = new_record(username)
    await manual.write(new)
    expected = [new.job_id, *reversed(queued), old.job_id]
    assert await collect(gateway, username=username) == expected
    assert await collect(gateway, username=username, limit=1) == expected
    assert await collect(gateway, username=username, status="queued", limit=2) == expected
    await manual.write(new_record(username, queued[0]).claimed("me", NOW))
    assert await collect(gateway, username=username) == [queued[0], new.job_id, queued[2], queued[1], old.job_id]


async def test_a_batch_that_waits_leaves_no_page_empty(tmp_path: Path) -> None:
    """It has records before messages: as many of these as a page looks at come first, and list nothing themselves."""
    async with (
        nats_server(tmp_path, lease_seconds=60) as server,
        running_gateway(server.url, tmp_path) as gateway,
    ):
        single = await gateway.submit(username="single")
        requests = [{"username": f"user{number}"} for number in range(1000)]
        answer = await gateway.api.post("/bootstrap/users/bulk", json={"requests": requests})
        assert answer.status_code == 202, answer.text
        await eventually(partial(all_are_published, server, 1001), "all messages are there")
        pages = [page async for page in walk(gateway, limit=200)]
        assert all(pages), [len(page) for page in pages]
        listed = [job["job_id"] for page in pages for job in page]
        assert len(listed) == len(set(listed)) == 1001
        assert single in listed


async def all_are_published(server: NatsServer, count: int) -> bool:
    async with manual_handler(server) as handler:
        return (await handler.jetstream.stream_info(names.JOBS_STREAM)).state.messages == count


async def test_a_job_that_moves_is_never_missed(gateway: Gateway, manual: ManualHandler) -> None:
    """While jobs change a page may repeat one, but never misses one."""
    username = f"m{uuid.uuid4().hex[:8]}"
    records = [new_record(username) for _ in range(30)]
    for record in records:
        await manual.write(record)
    seen: list[str] = []
    turn = 0
    async for page in walk(gateway, username=username, limit=5):
        seen += [job["job_id"] for job in page]
        # The two oldest that are not shown yet move to the front, where the reader has been already.
        for record in [record for record in records if record.job_id not in seen][:2]:
            await manual.write(replace(record, summary=f"moved {turn}"))
        turn += 1
        assert turn < 60
    assert set(seen) == {record.job_id for record in records}


async def test_a_filter_that_matches_nothing_ends(gateway: Gateway) -> None:
    assert await collect(gateway, username="nobodyatall") == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"status": "done"}, {"kind": "x"}, {"limit": "0"}, {"limit": "201"}, {"limit": "x"}, {"since": "yesterday"},
        {"cursor": "x"}, {"cursor": "e30"}, {"cursor": "é"}, {"usrname": "alice"}, {"status": ["queued", "failed"]},
    ],
)  # fmt: skip
async def test_a_bad_parameter_is_refused(gateway: Gateway, parameters: dict[str, Any]) -> None:
    """A mistyped filter must not list everything."""
    answer = await gateway.api.get("/jobs", params=parameters)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_parameter")


async def test_bytes_that_are_no_record_do_not_hide_the_others(gateway: Gateway, manual: ManualHandler) -> None:
    username = f"g{uuid.uuid4().hex[:8]}"
    first, second = new_record(username), new_record(username)
    await manual.write(first)
    await manual.jetstream.publish(f"$KV.{names.JOBS_BUCKET}.{uuid.uuid4()}", b"garbage")
    await manual.write(second)
    assert await collect(gateway, username=username) == [second.job_id, first.job_id]


@pytest.mark.slow
async def test_pages_of_many_records_are_as_fast(tmp_path: Path) -> None:
    """The first page, and one far down, whether the bucket holds a thousand records or a hundred thousand."""
    async with (
        nats_server(tmp_path, lease_seconds=60) as server,
        running_gateway(server.url, tmp_path) as gateway,
        manual_handler(server) as manual,
    ):
        await fill(manual, 1_000)
        few = await time_pages(gateway)
        await fill(manual, 100_000)
        many = await time_pages(gateway)
        print(f"seconds for 20 pages of 50: {few:.3f} of 1,000 records, {many:.3f} of 100,000")
        assert many < few * 5 + 0.5


async def fill(manual: ManualHandler, count: int) -> None:
    """Writes finished records until the bucket holds so many."""
    stream = f"KV_{names.JOBS_BUCKET}"
    held = (await manual.jetstream.stream_info(stream)).state.messages
    for number in range(held, count):
        record = succeeded_record(new_record(job_id=f"many-{number}"))
        await manual.client.publish(f"$KV.{names.JOBS_BUCKET}.{record.job_id}", encode_record(record))
        if number % 500 == 0:
            await manual.client.flush(timeout=LIMIT_SECONDS)

    async def are_stored() -> bool:
        return bool((await manual.jetstream.stream_info(stream)).state.messages >= count)

    await eventually(are_stored, "the records are stored")


async def time_pages(gateway: Gateway, pages: int = 20) -> float:
    """Seconds for the first pages, one after the other; the best of three."""
    best = float("inf")
    for _ in range(3):
        began_at = time.perf_counter()
        cursor: dict[str, str] = {}
        for _ in range(pages):
            page = (await gateway.api.get("/jobs", params={"limit": 50, **cursor})).json()
            assert len(page["jobs"]) == 50
            cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        best = min(best, time.perf_counter() - began_at)
    return best
