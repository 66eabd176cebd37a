"""What is asked of the cluster through a handler: accounts, namespaces, tenants."""

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts import names
from contracts.batches import MOST_PLANS
from contracts.codes import Failure
from contracts.records import JobRecord
from gateway.http.bodies import LINES
from tests.support.eventually import eventually
from tests.support.gateways import LATER, NOW, Gateway, ManualHandler, new_record, running_gateway, succeeded_record
from tests.support.servers import NatsServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY: dict[str, Any] = {"tenants": [], "next_cursor": None}


def answered(record: JobRecord, data: object) -> JobRecord:
    return record.succeeded("Answered.", LATER, data=data)


async def test_a_query_gives_its_data(gateway: Gateway, manual: ManualHandler) -> None:
    """The gateway submits, waits for the record's end, and passes the data through."""
    for path, kind in (("/accounts/list", "accounts-list"), ("/namespaces/list", "namespaces-list")):
        asked = asyncio.create_task(gateway.api.get(path))
        message, record = await manual.take(kind)
        assert message.headers["Nats-TTL"] == "60s"  # the default QUERY_TIMEOUT
        data = [{"user": "admin", "capabilities": ["login"], "enabled": True}]
        await manual.finish(message, answered(record, data))
        answer = await asked
        assert (answer.status_code, answer.json()) == (200, {"data": data})


async def test_a_handler_of_version_0_1_0_answers_where_jobs_are(gateway: Gateway, manual: ManualHandler) -> None:
    """Handlers are updated after gateways, and one of the first version knows no bucket of answers."""
    asked = asyncio.create_task(gateway.api.get("/accounts/list"))
    message, record = await manual.take("accounts-list")
    await manual.write(answered(record, ["old"]), bucket=names.JOBS_BUCKET)
    await message.ack_sync(timeout=20)
    assert (await asked).json() == {"data": ["old"]}


async def test_callers_share_a_query(gateway: Gateway, manual: ManualHandler) -> None:
    """One of a kind is in flight, however many ask."""
    asked = [asyncio.create_task(gateway.api.get("/accounts/list")) for _ in range(20)]
    message, record = await manual.take("accounts-list")
    await asyncio.sleep(0.5)
    assert (await manual.jetstream.stream_info(names.QUERIES_STREAM)).state.messages == 1
    await manual.finish(message, answered(record, ["shared"]))
    assert [(await answer).json() for answer in asked] == [{"data": ["shared"]}] * 20


@pytest.mark.parametrize(
    ("code", "status", "answered_code"),
    [
        ("everestctl_failed", 502, "everestctl_failed"),
        ("command_failed", 502, "everestctl_failed"),
        ("timed_out", 502, "everestctl_failed"),
        ("everestctl_missing", 503, "everestctl_missing"),
        ("kubeconfig_missing", 503, "kubeconfig_missing"),
        ("kubeconfig_unreadable", 503, "kubeconfig_unreadable"),
        ("cluster_unreachable", 503, "cluster_unreachable"),
        ("result_too_large", 502, "result_too_large"),
    ],
)
async def test_a_query_that_fails(
    gateway: Gateway, manual: ManualHandler, code: str, status: int, answered_code: str
) -> None:
    """A non-zero exit is a 502 with error and detail; what the handler lacks, and an outage, is a 503."""
    asked = asyncio.create_task(gateway.api.get("/accounts/list"))
    message, record = await manual.take("accounts-list")
    await manual.finish(message, record.failed(Failure(code, "stderr's last line"), LATER))
    answer = await asked
    assert (answer.status_code, answer.json()["code"]) == (status, answered_code)
    assert answer.json()["detail"] == "stderr's last line"
    if answered_code == "everestctl_failed":
        assert answer.json()["error"] == "everestctl failed"


async def test_no_handler(server: NatsServer, manual: ManualHandler, tmp_path: Path) -> None:
    """504 within QUERY_TIMEOUT, with a hint; the query's message goes with the wait."""
    async with running_gateway(server.url, tmp_path, QUERY_TIMEOUT="1") as gateway:
        answer = await gateway.api.get("/accounts/list")
        assert (answer.status_code, answer.json()["code"]) == (504, "no_handler")
        assert "handlers --check" in answer.json()["hint"]

        async def is_empty() -> bool:
            return not (await manual.jetstream.stream_info(names.QUERIES_STREAM)).state.messages

        await eventually(is_empty, "the message goes with its wait")


async def test_a_tenant_is_asked_for_with_its_last_job(gateway: Gateway, manual: ManualHandler) -> None:
    """The handler is told where the tenant lives and what its last finished job asked for."""
    inputs = {"username": "tina", "namespace": "tina-ns", "resources": {"cpu_cores": 2, "ram_mb": 2048, "disk_gb": 20}}
    last = replace(succeeded_record(new_record("tina")), inputs=inputs)
    await manual.write(last)
    await manual.jetstream.publish(f"$KV.{names.TENANTS_BUCKET}.tina", last.job_id.encode())
    asked = asyncio.create_task(gateway.api.get("/tenants/tina"))
    message, record = await manual.take("tenant")
    query = orjson.loads(message.data)
    assert (query["username"], query["namespace"]) == ("tina", "tina-ns")
    assert (query["last"]["job_id"], query["last"]["inputs"]) == (last.job_id, inputs)
    data = NOTHING | {"username": "tina", "last_job": query["last"]}
    await manual.finish(message, answered(record, data))
    assert (await asked).json() == {"data": data}


NOTHING: dict[str, Any] = {
    "username": "nobody",
    "account": None,
    "namespaces": [],
    "other_namespaces": [],
    "rbac": {"lines": []},
    "last_job": None,
}


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ({}, 404),
        ({"namespaces": [{"name": "nobody", "owner": None}]}, 404),
        ({"namespaces": [{"name": "nobody", "owner": "somebody"}], "rbac": None}, 404),
        ({"namespaces": [{"name": "nobody", "owner": "nobody"}]}, 200),
        ({"account": {"user": "nobody"}}, 200),
        ({"other_namespaces": ["other"]}, 200),
        ({"rbac": {"lines": ["g, nobody, role:nobody"]}}, 200),
    ],
)
async def test_nobody_is_no_tenant(gateway: Gateway, manual: ManualHandler, found: dict[str, Any], status: int) -> None:
    """A namespace of that name may be somebody else's; whatever is the tenant's own is shown."""
    asked = asyncio.create_task(gateway.api.get("/tenants/nobody"))
    message, record = await manual.take("tenant")
    await manual.finish(message, answered(record, NOTHING | found))
    answer = await asked
    assert answer.status_code == status
    if status == 404:
        assert answer.json()["code"] == "tenant_not_found"


async def test_tenants_do_not_share_a_query(gateway: Gateway, manual: ManualHandler) -> None:
    usernames = [f"t{uuid.uuid4().hex[:8]}" for _ in range(2)]
    asked = [asyncio.create_task(gateway.api.get(f"/tenants/{username}")) for username in usernames]
    for _ in usernames:
        message, record = await manual.take("tenant")
        found = {"username": (record.request or {})["username"], "rbac": {"lines": ["g, a, role:a"]}}
        await manual.finish(message, answered(record, NOTHING | found))
    assert [(await answer).json()["data"]["username"] for answer in asked] == usernames


@pytest.mark.parametrize("username", ["x", "-ab", "a" * 64])
async def test_a_username_that_cannot_be(gateway: Gateway, username: str) -> None:
    answer = await gateway.api.get(f"/tenants/{username}")
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_a_query_is_a_job_with_a_record(gateway: Gateway, manual: ManualHandler) -> None:
    """It can be read by its id, and is listed only by its kind."""
    asked = asyncio.create_task(gateway.api.get("/accounts/list"))
    message, record = await manual.take("accounts-list")
    assert (await gateway.api.get(f"/jobs/{record.job_id}")).json()["kind"] == "accounts-list"
    await manual.finish(message, answered(record, [NOW]))
    await asked
    result = await gateway.api.get(f"/jobs/{record.job_id}/result")
    assert result.json()["data"] == [NOW]
    listed = (await gateway.api.get("/jobs", params={"kind": "accounts-list"})).json()["jobs"]
    assert record.job_id in [job["job_id"] for job in listed]
    listed = (await gateway.api.get("/jobs")).json()["jobs"]
    assert record.job_id not in [job["job_id"] for job in listed]


async def test_a_repair_of_all_is_planned_a_line_each_a_hundred_at_most(
    gateway: Gateway, manual: ManualHandler
) -> None:
    """What cannot be planned is a line too, and the last tells where to go on. Who is suspended or leaves gets none."""
    usernames = [f"team_{n:03}" for n in range(MOST_PLANS + 3)]
    differences = {name: [{"what": "offboarding" if name == "team_002" else "quota"}] for name in usernames}
    listed = [
        {"username": name, "managed_by": None, "suspended": name == "team_001", "differences": differences[name]}
        for name in usernames
    ]
    asked = asyncio.create_task(gateway.api.post("/tenants/repair?dry_run=true"))
    message, record = await manual.take("tenants")
    await manual.finish(message, answered(record, {"tenants": listed, "next_cursor": None}))
    for n in range(MOST_PLANS):
        message, record = await manual.take("plan")
        failed = record.failed(Failure("timed_out", "too late"), LATER)
        await manual.finish(message, failed if n == 1 else answered(record, {"would": "change"}))
    answer = await asked
    assert (answer.status_code, answer.headers["content-type"]) == (200, LINES)
    *lines, last = map(orjson.loads, answer.text.splitlines())
    assert [line["username"] for line in lines] == [usernames[0], *usernames[3:]][:MOST_PLANS]
    assert lines[0]["plan"] == {"would": "change"}
    assert lines[1]["problem"]["detail"] == "too late"
    assert last == {"next_cursor": lines[-1]["username"]}


async def test_a_repair_of_all_has_no_plans_where_none_differs(gateway: Gateway, manual: ManualHandler) -> None:
    """A look that fails is told by the status, as without `dry_run`."""
    asked = asyncio.create_task(gateway.api.post("/tenants/repair?dry_run=true"))
    message, record = await manual.take("tenants")
    await manual.finish(message, answered(record, NOBODY))
    answer = await asked
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, LINES, b"")
    asked = asyncio.create_task(gateway.api.post("/tenants/repair?dry_run=true"))
    message, record = await manual.take("tenants")
    await manual.finish(message, record.failed(Failure("timed_out", "too late"), LATER))
    answer = await asked
    assert (answer.status_code, answer.json()["code"]) == (502, "everestctl_failed")


async def test_a_repair_of_all_tells_whom_it_could_not_compare(gateway: Gateway, manual: ManualHandler) -> None:
    asked = asyncio.create_task(gateway.api.post("/tenants/repair"))
    message, record = await manual.take("tenants")
    left_out = ["Tenant mona was not compared: its claim cannot be used."]
    await manual.finish(message, replace(answered(record, NOBODY), warnings=tuple(left_out)))
    answer = await asked
    assert (answer.status_code, answer.json()) == (202, {"jobs": [], "next_cursor": None, "warnings": left_out})


@pytest.mark.parametrize("query", ["dry_run=maybe", "dry_run=true&dry_run=true", "dry_run=true&wait=5", "differs=true"])
async def test_what_a_repair_of_all_does_not_know_is_refused(gateway: Gateway, query: str) -> None:
    answer = await gateway.api.post(f"/tenants/repair?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_parameter")
