"""Submit, status and result over HTTP."""

import asyncio
import json
import uuid
from typing import Any

import orjson
import pytest
from nats.aio.msg import Msg

from contracts import names
from contracts.codes import Failure
from contracts.records import encode_record
from contracts.requests import raw_hash
from tests.support.eventually import eventually
from tests.support.gateways import KEY, NOW, Gateway, ManualHandler, new_record, succeeded_record

pytestmark = pytest.mark.asyncio(loop_scope="module")

USERS = "/bootstrap/users"


async def test_a_submit_is_answered_at_once_with_where_to_look(gateway: Gateway) -> None:
    """202 with exactly two members, Location and Retry-After."""
    answer = await gateway.api.post(USERS, json={"username": "alice"})
    assert answer.status_code == 202
    job_id = answer.json()["job_id"]
    assert answer.json() == {"job_id": job_id, "status_url": f"/jobs/{job_id}"}
    assert str(uuid.UUID(job_id)) == job_id
    assert answer.headers["location"] == f"/jobs/{job_id}"
    assert int(answer.headers["retry-after"]) > 0


async def test_the_message_is_the_request_with_its_origin(gateway: Gateway, manual: ManualHandler) -> None:
    """Coercion is done; what the caller left out stays absent; the origin is in the headers."""
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    job_id = await gateway.submit(
        {"X-Request-Id": "req-7", "traceparent": traceparent}, resources={"cpu_cores": "1.5", "ram_mb": "4096"}
    )
    message = await manual.jetstream.get_last_msg(names.JOBS_STREAM, names.job_subject("bootstrap", job_id))
    assert json.loads(message.data or b"") == {
        "username": "alice",
        "resources": {"cpu_cores": 1.5, "ram_mb": 4096},
    }
    headers = message.headers or {}
    assert (headers["Everest-Caller"], headers["X-Request-Id"], headers["traceparent"]) == (
        "admin",
        "req-7",
        traceparent,
    )
    assert "Nats-Msg-Id" not in headers


async def test_a_queued_job_is_never_unknown(gateway: Gateway) -> None:
    """Right after the 202 the status is there, though nobody has written a record."""
    job_id = await gateway.submit()
    job = (await gateway.api.get(f"/jobs/{job_id}")).json()
    assert (job["job_id"], job["status"], job["started_at"], job["finished_at"]) == (job_id, "queued", None, None)
    assert job["result_url"] == f"/jobs/{job_id}/result"
    assert (job["username"], job["caller"]) == ("alice", "admin")
    assert job["created_at"].endswith("Z")


async def test_progress_and_result(gateway: Gateway, manual: ManualHandler) -> None:
    """Polling shows each saved step; the result is 409 before the end and complete after it."""
    record = new_record()
    await manual.write(record.claimed("me", NOW).started("create_account", NOW))
    answer = await gateway.wait_until(f"/jobs/{record.job_id}", 200)
    assert (answer.json()["status"], answer.json()["steps"][0]["name"]) == ("running", "create_account")
    assert "retry-after" in answer.headers
    early = await gateway.api.get(f"/jobs/{record.job_id}/result")
    assert (early.status_code, early.json()["code"]) == (409, "job_not_finished")
    assert "retry-after" in early.headers

    await manual.write(succeeded_record(record))
    answer = await gateway.api.get(f"/jobs/{record.job_id}?wait=30")
    assert answer.json()["status"] == "succeeded"
    assert "retry-after" not in answer.headers
    result = (await gateway.api.get(f"/jobs/{record.job_id}/result")).json()
    assert result["overall_status"] == "succeeded"
    assert result["steps"][0]["command"].endswith("-p ********")
    assert result["steps"][0]["outcome"] == "created"


async def test_a_failed_job_has_a_result_too(gateway: Gateway, manual: ManualHandler) -> None:
    record = new_record().failed(Failure("forbidden", "may not"), NOW)
    await manual.write(record)
    result = await gateway.api.get(f"/jobs/{record.job_id}/result")
    assert (result.status_code, result.json()["overall_status"]) == (200, "failed")
    assert result.json()["error"]["code"] == "forbidden"


async def test_unchanged_documents_are_not_sent_again(gateway: Gateway, manual: ManualHandler) -> None:
    """ETag and If-None-Match on status and result."""
    record = succeeded_record(new_record())
    await manual.write(record)
    for path in (f"/jobs/{record.job_id}", f"/jobs/{record.job_id}/result"):
        answer = await gateway.api.get(path)
        tag = answer.headers["etag"]
        for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await gateway.api.get(path, headers={"If-None-Match": given})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert (await gateway.api.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_waiting_ends_with_the_job(gateway: Gateway, manual: ManualHandler) -> None:
    """Prefer: wait on the submit gives 200 with the final status when it ends in time."""
    submitted = asyncio.create_task(
        gateway.api.post(USERS, json={"username": "waiting"}, headers={"Prefer": "respond-async, wait=90"})
    )
    message, record = await manual.take()
    while record.request != {} and (record.request or {}).get("username") != "waiting":
        await message.ack()
        message, record = await manual.take()
    await manual.finish(message, succeeded_record(record))
    answer = await submitted
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert answer.headers["preference-applied"] == "wait=60"
    assert answer.headers["location"] == f"/jobs/{record.job_id}"


async def test_a_wait_that_is_too_short_gives_what_is_known(gateway: Gateway) -> None:
    answer = await gateway.api.post(USERS, json={"username": "alice"}, headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    status = await gateway.api.get(answer.json()["status_url"], params={"wait": "0"})
    assert (status.status_code, status.json()["status"]) == (200, "queued")


async def test_a_wait_of_any_size_is_cut_to_a_minute(gateway: Gateway, manual: ManualHandler) -> None:
    record = succeeded_record(new_record())
    await manual.write(record)
    answer = await gateway.api.get(f"/jobs/{record.job_id}", headers={"Prefer": f"wait={'9' * 40}"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=60")


@pytest.mark.parametrize("wait", ["-1", "x", "", "1.5", "1e3", "+1"])
async def test_a_bad_wait_is_refused(gateway: Gateway, wait: str) -> None:
    job_id = await gateway.submit()
    for answer in (
        await gateway.api.get(f"/jobs/{job_id}", params={"wait": wait}),
        await gateway.api.get(f"/jobs/{job_id}", headers={"Prefer": f"wait={wait}"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_parameter")


async def test_an_idempotency_key_names_one_job(gateway: Gateway) -> None:
    """The same resolved request gives the same job, another one is refused."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first = await gateway.submit(headers)
    assert await gateway.submit(headers) == first
    assert await gateway.submit(headers, namespace="alice", resources={"cpu_cores": "2"}) == first
    other = await gateway.api.post(USERS, json={"username": "bob"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")


async def test_an_idempotency_key_is_remembered_after_the_end(gateway: Gateway, manual: ManualHandler) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    job_id = await gateway.submit(headers, username="remembered")
    await manual.write(succeeded_record(new_record("remembered", job_id)))
    answer = await gateway.api.post(USERS, json={"username": "remembered"}, headers=headers)
    assert (answer.status_code, answer.json()["job_id"]) == (202, job_id)


async def test_what_an_older_handler_refused_is_known_under_its_key(gateway: Gateway, manual: ManualHandler) -> None:
    """It could not read the request and left the hash of its bytes: a repeat is no other request."""
    headers, request = {"Idempotency-Key": str(uuid.uuid4())}, {"username": "newer", "role": "viewer"}
    job_id = await gateway.submit(headers, **request)
    stored = await manual.jetstream.get_last_msg(names.JOBS_STREAM, names.job_subject("bootstrap", job_id))
    refused = new_record("newer", job_id, request=None, request_hash=raw_hash(stored.data or b""))
    await manual.write(refused.failed(Failure("invalid_request", "role: is no field of the request"), NOW))
    assert await gateway.submit(headers, **dict(reversed(request.items()))) == job_id
    other = await gateway.api.post(USERS, json=request | {"role": "owner"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")


async def test_many_submits_with_one_key_are_one_job(gateway: Gateway, manual: ManualHandler) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    ids = await asyncio.gather(*(gateway.submit(headers) for _ in range(20)))
    assert len(set(ids)) == 1
    assert await manual.count_messages(names.job_subject("bootstrap", ids[0])) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "n\u00e9"])
async def test_a_bad_idempotency_key_is_refused(gateway: Gateway, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode())]
    answer = await gateway.api.post(USERS, json={"username": "alice"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_parameter")


BAD_BODIES: list[tuple[Any, int, str, str | None]] = [
    (b"{not json", 400, "not_json", None),
    (b"", 400, "not_json", None),
    (b'{"username": "\xff"}', 400, "not_json", None),
    (b"[" * 10_000 + b"]" * 10_000, 400, "not_json", None),
    (b'{"username":"alice","resources":{"cpu_cores":NaN}}', 400, "not_json", None),
    (b'["alice"]', 422, "validation_failed", ""),
    (b"{}", 422, "validation_failed", "username"),
    (b'{"username":"admin"}', 422, "validation_failed", "username"),
    (b'{"username":"a_b"}', 422, "validation_failed", "namespace"),
    (b'{"username":"alice","namespace":"kube-system"}', 422, "validation_failed", "namespace"),
    (b'{"username":"alice","namespace":"' + b"a" * 54 + b'"}', 422, "validation_failed", "namespace"),
    (b'{"username":"alice","resources":{"cpu_cores":0}}', 422, "validation_failed", "resources.cpu_cores"),
    (b'{"username":"alice","resources":{"ram_mb":-1}}', 422, "validation_failed", "resources.ram_mb"),
    (b'{"username":"alice","resources":{"disk_gb":1.5}}', 422, "validation_failed", "resources.disk_gb"),
    (b'{"username":"alice","colour":"crimson"}', 422, "validation_failed", "colour"),
]


@pytest.mark.parametrize(("body", "status", "code", "field"), BAD_BODIES, ids=range(len(BAD_BODIES)))
async def test_bad_input_is_a_problem(gateway: Gateway, body: bytes, status: int, code: str, field: str | None) -> None:
    """Each a problem document with a stable code, the field's name, a hint, never the value."""
    answer = await gateway.api.post(USERS, content=body, headers={"Content-Type": "application/json"})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["status"]) == (status, code, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["hint"]
    assert problem["type"] == f"/docs/errors#{code}"
    if field is not None:
        assert field in [part["field"] for part in problem["fields"]]
    assert "crimson" not in answer.text


async def test_an_overflowing_number_is_refused(gateway: Gateway) -> None:
    body = b'{"username":"alice","resources":{"cpu_cores":1e309}}'
    answer = await gateway.api.post(USERS, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "resources.cpu_cores")


async def test_a_large_body_is_refused_while_it_arrives(gateway: Gateway) -> None:
    """10 MB, with and without a declared length: 413, and the next request works."""

    async def chunks() -> Any:
        for _ in range(160):
            yield b"x" * 65536

    for content in (b"x" * 10_000_000, chunks()):
        answer = await gateway.api.post(USERS, content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    await gateway.submit()


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/jsonp", "application/json; charset=latin-1"])
async def test_another_content_type_is_refused(gateway: Gateway, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await gateway.api.post(USERS, content=b'{"username":"alice"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", 'application/json;charset="UTF-8"']
)
async def test_json_is_json_however_it_is_spelled(gateway: Gateway, content_type: str) -> None:
    answer = await gateway.api.post(USERS, content=b'{"username":"alice"}', headers={"Content-Type": content_type})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", USERS), ("GET", "/jobs/x"), ("GET", "/jobs/x/result"), ("GET", "/accounts/list"), ("GET", "/nowhere"),
     ("DELETE", USERS), ("GET", "/jobs"), ("POST", "/jobs/x/cancel"), ("GET", "/tenants/admin"),
     ("GET", "/jobs/x/events")],
)  # fmt: skip
async def test_the_key_comes_first(gateway: Gateway, method: str, path: str) -> None:
    """Without a key everything protected answers 401: unknown routes, unknown jobs and bad bodies included."""
    for headers in ({}, {"X-Admin-Key": "wrong"}, {"X-Admin-Key": ""}):
        answer = await gateway.nobody.request(method, path, content=b"{", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/errors"])
async def test_what_needs_no_key(gateway: Gateway, path: str) -> None:
    assert (await gateway.nobody.get(path)).status_code == 200


@pytest.mark.parametrize(("method", "path", "status", "code"), [
    ("GET", "/nowhere", 404, "not_found"),
    ("GET", "/jobs/", 404, "not_found"),
    ("DELETE", USERS, 405, "method_not_allowed"),
    ("GET", "/jobs/00000000-0000-4000-8000-000000000000", 404, "job_not_found"),
    ("GET", "/jobs/a.b", 404, "job_not_found"),
    ("GET", "/jobs/a.b.c", 404, "job_not_found"),
    ("GET", "/jobs/%20", 404, "job_not_found"),
    ("GET", "/jobs/" + "x" * 200, 404, "job_not_found"),
])  # fmt: skip
async def test_unknown_things(gateway: Gateway, method: str, path: str, status: int, code: str) -> None:
    answer = await gateway.api.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if status == 405:
        assert answer.headers["allow"]


async def test_status_requests_of_one_account_do_not_delay_anothers(gateway: Gateway, manual: ManualHandler) -> None:
    """While thousands of one account wait, or are told that they are too many, another one is answered."""
    codes: list[str] = []

    async def count(message: Msg) -> None:
        codes.append(orjson.loads(message.data)["code"])

    inbox = manual.client.new_inbox()
    subscription = await manual.client.subscribe(inbox, cb=count)
    crowd = 5_000
    for number in range(crowd):
        await manual.client.publish(names.status_subject(f"crowd.{number}"), b"", reply=inbox)
    answer = await manual.client.request(names.status_subject("one.1"), b"", timeout=30)
    assert orjson.loads(answer.data)["code"] == "job_not_found"
    looked_up = codes.count("job_not_found")
    await eventually(lambda: len(codes) == crowd, lambda: f"all are answered, not {len(codes)}")
    await subscription.unsubscribe()
    assert looked_up < codes.count("job_not_found")
    assert set(codes) - {"queue_unavailable"} == {"job_not_found", "rate_limited"}, "NATS may be slow to answer"


@pytest.mark.parametrize(("given", "kept"), [
    ("abc.DEF_1-2", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("", False), ("a/b", False),
])  # fmt: skip
async def test_the_request_id(gateway: Gateway, given: str, kept: bool) -> None:
    """A good one is kept, any other replaced, always echoed: on errors too."""
    for client in (gateway.api, gateway.nobody):
        answer = await client.get("/jobs/none", headers={"X-Request-Id": given})
        echoed = answer.headers["x-request-id"]
        assert (echoed == given) is kept
        assert echoed


async def test_a_job_of_another_service(gateway: Gateway, manual: ManualHandler) -> None:
    """A two-token id is read as it stands; its caller is the first token, whatever a header claims."""
    job_id = f"svc-a.order-{uuid.uuid4().hex[:8]}"
    subject = names.job_subject("bootstrap", job_id)
    await manual.jetstream.publish(subject, b'{"username":"bob"}', headers={"Everest-Caller": "admin"})
    job = (await gateway.api.get(f"/jobs/{job_id}")).json()
    assert (job["status"], job["caller"], job["username"]) == ("queued", "svc-a", "bob")


async def test_a_record_that_cannot_be_read(gateway: Gateway, manual: ManualHandler) -> None:
    """Clearly our side's fault, and the gateway goes on."""
    for body in (b"garbage", b"{}", b"[]", b'{"stream":"EVEREST_JOBS","seq":2}'):
        job_id = str(uuid.uuid4())
        await manual.jetstream.publish(f"$KV.{names.JOBS_BUCKET}.{job_id}", body)
        answer = await gateway.api.get(f"/jobs/{job_id}")
        assert (answer.status_code, answer.json()["code"]) == (500, "record_unreadable"), body


async def test_the_status_request_over_nats(gateway: Gateway, manual: ManualHandler) -> None:
    """The same document as over HTTP, for one-token and two-token ids; a problem for an unknown job."""
    job_id = await gateway.submit()
    answer = await manual.client.request(names.status_subject(job_id), b"", timeout=30)
    assert orjson.loads(answer.data) == (await gateway.api.get(f"/jobs/{job_id}")).json()
    for unknown in ("nobody", "svc.nobody"):
        answer = await manual.client.request(names.status_subject(unknown), b"", timeout=30)
        assert orjson.loads(answer.data)["code"] == "job_not_found"


async def test_the_log_names_no_secret(gateway: Gateway) -> None:
    """One JSON line an answer, with its ids; never a key or a body."""
    job_id = await gateway.submit({"X-Request-Id": "find-me"}, username="not_in_the_log", namespace="neither")
    await gateway.nobody.get("/jobs/x?key=in-the-query", headers={"X-Admin-Key": "guessed-key"})
    (line,) = [line for line in gateway.log_lines() if line.get("request_id") == "find-me"]
    assert (line["event"], line["caller"], line["status"], line["path"]) == ("http.answered", "admin", 202, USERS)
    assert line["job_id"] == job_id
    assert line["duration_seconds"] >= 0
    for secret in (KEY, "guessed-key", "in-the-query", "not_in_the_log"):
        assert secret not in gateway.read_log()


async def test_a_record_of_a_later_version_is_shown_as_it_is(gateway: Gateway, manual: ManualHandler) -> None:
    """Codes, outcomes and members that this version does not know; the list is there for everybody."""
    failed = new_record("tomorrow").claimed("somebody", NOW).failed(Failure("forbidden", "may not"), NOW)
    record = orjson.loads(encode_record(failed))
    tomorrow = {"code": "of_tomorrow", "message": "It was too early.", "hint": "Wait a day.", "retryable": True}
    step = {"name": "teleport", "started_at": NOW, "finished_at": NOW, "outcome": "teleported", "error": tomorrow}
    record |= {"version": 99, "reason": "of_tomorrow", "error": tomorrow, "steps": [step], "of_tomorrow": {"a": 1}}
    await manual.jetstream.publish(
        f"$KV.{names.JOBS_BUCKET}.{failed.job_id}", orjson.dumps(record), headers={"Nats-TTL": "600s"}
    )
    job = await gateway.api.get(f"/jobs/{failed.job_id}")
    result = await gateway.api.get(f"/jobs/{failed.job_id}/result")
    listed = await gateway.api.get("/jobs", params={"username": "tomorrow"})
    assert [answer.status_code for answer in (job, result, listed)] == [200, 200, 200]
    assert (job.json()["reason"], job.json()["error"]["code"]) == ("of_tomorrow", "of_tomorrow")
    assert (job.json()["error"]["message"], job.json()["error"]["hint"]) == ("It was too early.", "Wait a day.")
    assert [part["outcome"] for part in result.json()["steps"]] == ["teleported"]
    assert [part["job_id"] for part in listed.json()["jobs"]] == [failed.job_id]
    assert 'code="of_tomorrow"' in (await gateway.nobody.get("/metrics")).text
