"""Many tenants in one call: all or none, each a job of its own."""

import asyncio
import json
import uuid
from functools import partial
from typing import Any

import httpx
import pytest

from contracts import names
from contracts.batches import MOST_REQUESTS
from tests.support.eventually import eventually
from tests.support.gateways import LATER, Gateway, ManualHandler, succeeded_record

pytestmark = pytest.mark.asyncio(loop_scope="module")

BULK = "/bootstrap/users/bulk"
LINES = {"Content-Type": "application/x-ndjson"}


def requests(count: int, name: str = "bulk") -> list[dict[str, Any]]:
    return [{"username": f"{name}_{number}", "namespace": f"{name}-{number}"} for number in range(count)]


async def submit(gateway: Gateway, count: int, key: str | None = None, **query: str) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await gateway.api.post(BULK, json={"requests": requests(count)}, headers=headers, params=query)


async def has_messages(manual: ManualHandler, job_ids: list[str]) -> bool:
    counts = [await manual.count_messages(names.job_subject("bootstrap", job_id)) for job_id in job_ids]
    return counts == [1] * len(job_ids)


async def test_each_is_a_job_of_its_own(gateway: Gateway, manual: ManualHandler) -> None:
    """Known at once, in the order of the requests, and queued; its message names its place."""
    answer = await submit(gateway, 3)
    assert answer.status_code == 202, answer.text
    batch = answer.json()
    assert answer.headers["Location"] == f"/batches/{batch['batch_id']}"
    job_ids = [job["job_id"] for job in batch["jobs"]]
    assert job_ids == [names.batch_job_id(batch["batch_id"], index) for index in range(3)]
    jobs = [(await gateway.api.get(job["status_url"])).json() for job in batch["jobs"]]
    assert [(job["status"], job["username"]) for job in jobs] == [("queued", f"bulk_{n}") for n in range(3)]
    assert {job["batch_id"] for job in jobs} == {batch["batch_id"]}
    await eventually(partial(has_messages, manual, job_ids), "each is published")
    message = await manual.jetstream.get_last_msg(names.JOBS_STREAM, names.job_subject("bootstrap", job_ids[1]))
    assert (message.headers or {})[names.HEADER_BATCH] == f"{batch['batch_id']}/1/3"
    state = (await gateway.api.get(f"/batches/{batch['batch_id']}")).json()
    assert state["counts"] == {"queued": 3, "running": 0, "succeeded": 0, "failed": 0}
    listed = (await gateway.api.get("/jobs", params={"batch": batch["batch_id"]})).json()
    assert {job["job_id"] for job in listed["jobs"]} == set(job_ids)


async def test_a_thousand_by_lines(gateway: Gateway) -> None:
    body = b"\n".join(json.dumps(request).encode() for request in requests(MOST_REQUESTS, "many"))
    answer = await gateway.api.post(BULK, content=body, headers=LINES)
    assert answer.status_code == 202, answer.text
    assert len(answer.json()["jobs"]) == MOST_REQUESTS
    state = (await gateway.api.get(f"/batches/{answer.json()['batch_id']}")).json()
    assert sum(state["counts"].values()) == MOST_REQUESTS


async def test_a_key_covers_the_call(gateway: Gateway) -> None:
    """The same requests are the same batch; others, fewer and more are refused."""
    key = uuid.uuid4().hex
    first, again = await submit(gateway, 3, key), await submit(gateway, 3, key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    other = {"requests": [*requests(2), {"username": "somebody"}]}
    for answer in (
        await submit(gateway, 2, key),
        await submit(gateway, 4, key),
        await gateway.api.post(BULK, json=other, headers={"Idempotency-Key": key}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")
    assert sum((await gateway.api.get(first.headers["Location"])).json()["counts"].values()) == 3


@pytest.mark.parametrize(
    ("body", "headers", "status", "fields"),
    [
        ([{"username": "fine_1"}, {"username": "x"}, {"usernam": "y_1"}], {}, 422, [(1, "username"), (2, "usernam")]),
        ([], {}, 422, [(None, "requests")]),
        (requests(MOST_REQUESTS + 1), {}, 422, [(None, "requests")]),
        ("text", {}, 422, [(None, "requests")]),
        (b'{"username": "fine_1"}\n{"username": }\n', LINES, 400, []),
        (b"{}", {"Content-Type": "text/plain"}, 415, []),
        (b" " * (8 * 1024 * 1024 + 1), LINES, 413, []),
    ],
)
async def test_what_is_wrong_is_told_by_index(
    gateway: Gateway, body: Any, headers: dict[str, str], status: int, fields: list[tuple[int | None, str]]
) -> None:
    """And nothing is accepted."""
    before = await count_jobs(gateway)
    sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": {"requests": body}}
    answer = await gateway.api.post(BULK, headers=headers, **sent)
    assert answer.status_code == status, answer.text
    told = {(field.get("index"), field["field"]) for field in answer.json().get("fields", [])}
    assert told >= set(fields)
    assert await count_jobs(gateway) == before


async def count_jobs(gateway: Gateway) -> int:
    page = (await gateway.api.get("/jobs", params={"limit": 200, "username": "fine_1"})).json()
    return len(page["jobs"])


async def test_a_job_id_that_is_taken_takes_none(gateway: Gateway, manual: ManualHandler) -> None:
    """Somebody's job stands where the last of the batch would: nothing of it is accepted."""
    key = uuid.uuid4().hex
    batch_id = names.idempotent_batch_id("admin", key)
    await gateway.submit(headers={}, username="bystander")
    taken = names.batch_job_id(batch_id, 2)
    await manual.jetstream.publish(f"$KV.{names.JOBS_BUCKET}.{taken}", json.dumps(foreign(taken)).encode())
    answer = await submit(gateway, 3, key)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")
    for index in (0, 1):
        assert (await gateway.api.get(f"/jobs/{names.batch_job_id(batch_id, index)}")).status_code == 404


def foreign(job_id: str) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "kind": "bootstrap",
        "status": "queued",
        "caller": "nats",
        "request_hash": "another",
        "created_at": LATER,
        "changed_at": LATER,
    }


async def test_a_batch_is_followed_cancelled_and_retried(gateway: Gateway, manual: ManualHandler) -> None:
    """Whoever waits hears of the last end; failures are named; a retry takes the failed ones alone."""
    batch = (await submit(gateway, 3)).json()
    url, job_ids = f"/batches/{batch['batch_id']}", [job["job_id"] for job in batch["jobs"]]
    await eventually(partial(has_messages, manual, job_ids), "each is published")
    waiter = asyncio.create_task(gateway.api.get(url, params={"wait": 60}))
    await manual.write(succeeded_record(await manual.read(job_ids[0])))
    cancelled = await gateway.api.post(f"{url}/cancel")
    assert (cancelled.status_code, cancelled.json()["jobs"]) == (202, 2)
    state = (await waiter).json()
    assert state["counts"] == {"queued": 0, "running": 0, "succeeded": 1, "failed": 2}
    assert {failure["job_id"]: failure["reason"] for failure in state["failures"]} == dict.fromkeys(
        job_ids[1:], "cancelled"
    )
    retried = await gateway.api.post(f"{url}/retry")
    assert (retried.status_code, retried.json()["jobs"]) == (202, 2)
    assert (await gateway.api.get(url)).json()["counts"]["queued"] == 2


async def test_there_is_no_such_batch(gateway: Gateway) -> None:
    for batch_id in (str(uuid.uuid4()), "nonsense"):
        for answer in (
            await gateway.api.get(f"/batches/{batch_id}"),
            await gateway.api.post(f"/batches/{batch_id}/cancel"),
            await gateway.api.post(f"/batches/{batch_id}/retry"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "batch_not_found")


async def test_a_submit_may_wait(gateway: Gateway) -> None:
    answer = await submit(gateway, 2, wait="1")
    assert (answer.status_code, answer.json()["counts"]["queued"]) == (202, 2)
