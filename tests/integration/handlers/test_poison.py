"""Poison: any bytes in body, headers and subject end as a failed job or a dead letter, and block nobody."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import names
from tests.simulator.effects import overlaps
from tests.support.eventually import eventually
from tests.support.gateways import ManualHandler, manual_handler
from tests.support.handlers import FINISHED, Handler, Service, open_service
from tests.support.servers import LIMIT_SECONDS, LOOPBACK

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = b'{"username":"alice"}'
SUBJECT = b"everest.v1.jobs.bootstrap."
_HEAD = b"NATS/1.0\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with open_service(tmp_path_factory.mktemp("poison"), binds_roles=False) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def handler(service: Service) -> AsyncIterator[Handler]:
    async with service.handler(HANDLER_CONCURRENCY="4") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def manual(service: Service) -> AsyncIterator[ManualHandler]:
    async with manual_handler(service.server) as opened:
        yield opened


async def publish(service: Service, subject: bytes, body: bytes, headers: bytes = b"") -> None:
    """By hand: no client library would send such things. `headers` are lines that end with CR LF.

    Ends when a stream has answered; with a reply of its own in `subject`, when the server has taken it.
    """
    reader, writer = await asyncio.open_connection(LOOPBACK, service.server.port)
    reply = f"_INBOX.{uuid.uuid4().hex}".encode()
    place = subject if b" " in subject else subject + b" " + reply
    writer.write(b'CONNECT {"verbose":false,"headers":true}\r\nSUB %s 1\r\n' % reply)
    if headers:
        head = headers if headers.startswith(b"NATS/") else _HEAD + headers + b"\r\n"
        writer.write(b"HPUB %s %d %d\r\n%s%s\r\n" % (place, len(head), len(head) + len(body), head, body))
    else:
        writer.write(b"PUB %s %d\r\n%s\r\n" % (place, len(body), body))
    writer.write(b"PING\r\n")
    await writer.drain()
    answer = await asyncio.wait_for(reader.readuntil(b"PONG\r\n"), LIMIT_SECONDS)
    assert b"-ERR" not in answer, answer
    if place is not subject and reply not in answer:
        await asyncio.wait_for(reader.readuntil(b"MSG " + reply), LIMIT_SECONDS)
    writer.close()


async def wait_until_empty(manual: ManualHandler) -> None:
    async def is_empty() -> bool:
        return not (await manual.jetstream.stream_info(names.JOBS_STREAM)).state.messages

    await eventually(is_empty, "no message stays in the queue")


async def dead_letters(manual: ManualHandler) -> list[tuple[str, dict[str, str], bytes]]:
    count = (await manual.jetstream.stream_info(names.DEAD_STREAM)).state.last_seq
    found = [await manual.jetstream.get_msg(names.DEAD_STREAM, sequence) for sequence in range(1, count + 1)]
    return [(letter.subject or "", letter.headers or {}, letter.data or b"") for letter in found]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{",
        b"{}",
        b'{"username":1}',
        b'{"username":"alice\\ud800"}',
        b'{"username":"alice","x":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"username":"alice","resources":{"ram_mb":1e999}}',
        b'{"username":"alice","resources":{"ram_mb":' + b"9" * 400 + b"}}",
        b'{"username":"alice","' + b"k" * 150_000 + b'":1}',
        b'{"username":"alice","\\u0001":"' + b"\\u0001" * 20_000 + b'"}',
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a_body_that_is_no_request_ends_as_a_failed_job(
    service: Service, handler: Handler, manual: ManualHandler, body: bytes
) -> None:
    job_id = str(uuid.uuid4())
    await publish(service, SUBJECT + job_id.encode(), body)
    result = await service.wait_until_finished(job_id)
    assert result["overall_status"] == "failed"
    job = await service.job(job_id)
    assert job["reason"] == "invalid_request"
    await wait_until_empty(manual)


async def test_a_query_that_can_be_read_and_not_written_ends(
    service: Service, handler: Handler, manual: ManualHandler
) -> None:
    """JSON that is nested deeper than the record's writer goes."""
    job_id = str(uuid.uuid4())
    body = b'{"username":"alice","last":{"x":' + b"[" * 500 + b"]" * 500 + b"}}"
    await publish(service, b"everest.v1.queries.tenant." + job_id.encode(), body)
    result = await service.wait_until_finished(job_id)
    assert result["overall_status"] == "failed"
    assert not (await manual.jetstream.stream_info(names.QUERIES_STREAM)).state.messages


async def test_a_record_that_is_none_is_started_anew(service: Service, handler: Handler, manual: ManualHandler) -> None:
    """Bytes of somebody else under the job's key, also while it runs: its owner writes nothing over them."""
    await service.everest.set_faults(only="accounts create", slow_seconds=60, times=1)
    job_id = await service.gateway.submit(username="dora")
    await service.wait_for_run("accounts", "create", "-u", "dora")
    await manual.jetstream.publish(f"$KV.{names.JOBS_BUCKET}.{job_id}", b'{"stream":"EVEREST_JOBS","seq":2}')
    job = await service.wait_for_job(job_id, lambda job: job["status"] in FINISHED)
    assert job["status"] == "succeeded", job
    runs = (await service.everest.effects())["runs"]
    assert not overlaps(runs)
    await service.everest.set_faults()


# The server takes them from anybody, and no client of ours would send them on.
UNSENDABLE = b"app.kubernetes.io/name: shop\r\na@b: x\r\nBad(Name): x\r\n"

STRANGE_HEADERS = (
    UNSENDABLE,
    b"X-Request-Id: \xff\xfe\r\n",
    b"X-Request-Id: " + b"r" * 60_000 + b"\r\n",
    b"X-Request-Id: " + b"\x01" * 60_000 + b"\r\n",
    b"traceparent: " + "ü".encode() * 30_000 + b"\r\n",
    b"Everest-Caller: \xff\r\n",
    b"Everest-Caller: " + b"c" * 1_000 + b"\r\n",
    b"Nats-Expected-Stream: EVEREST_JOBS\r\n",
    b"KV-Operation: DEL\r\n",
    b"Status: 503\r\n",
    b"Status: 404\r\nDescription: No Messages\r\n",
    b"nonsense\r\n",
    b": empty\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    b"NATS/1.0 \xff\xff\xff\r\n\r\n",
    b"NATS/1.0 404 \xff\r\n\r\n",
    b"NATS/1.0\r\n",
)


async def test_a_request_with_any_headers_is_a_job(service: Service, handler: Handler, manual: ManualHandler) -> None:
    """What can't be used of them is left out, and none of them makes a message a status of the server."""
    job_ids = [str(uuid.uuid4()) for _ in STRANGE_HEADERS]
    for number, (job_id, headers) in enumerate(zip(job_ids, STRANGE_HEADERS, strict=True)):
        username = f"user{number}" if number % 10 == 0 else "admin"  # a few do the work, the rest are refused
        await publish(service, SUBJECT + job_id.encode(), json.dumps({"username": username}).encode(), headers)
    for number, job_id in enumerate(job_ids):
        result = await service.wait_until_finished(job_id)
        assert result["overall_status"] == ("failed" if number % 10 else "succeeded"), result
        assert (await manual.read(job_id)).request_id is None
    await wait_until_empty(manual)


async def test_a_message_that_wants_to_expire_is_not_accepted(service: Service, handler: Handler) -> None:
    """An accepted job must not vanish; the server refuses the message."""
    job_id = str(uuid.uuid4())
    await publish(service, SUBJECT + job_id.encode(), GOOD, b"Nats-TTL: 1s\r\n")
    assert (await service.gateway.api.get(f"/jobs/{job_id}")).status_code == 404


@pytest.mark.parametrize("token", [b"\xff\xfe", b"a\x0bb", b"x" * 3000, b"\x01"])
async def test_a_status_request_for_any_subject_leaves_the_gateway_connected(
    service: Service, manual: ManualHandler, token: bytes
) -> None:
    await publish(service, b"everest.v1.status." + token + b" _INBOX.nobody", b"")
    answer = await manual.client.request(names.status_subject(str(uuid.uuid4())), b"", timeout=LIMIT_SECONDS)
    assert json.loads(answer.data)["code"] == "job_not_found"
    assert not [line for line in service.gateway.log_lines() if line["event"] == "nats.disconnected"]


@pytest.mark.parametrize("headers", [b"", b"X-Request-Id: \xff\xfe\r\n", UNSENDABLE + b"A: " + b"h" * 60_000 + b"\r\n"])
@pytest.mark.parametrize(
    "token", [b"\xff\xfe", b"x" * 70, "jürgen".encode(), b"a%20b", b"a.b$", b"\x01", b"a\x0bb", b"a\x0cb", b"y" * 3900]
)
async def test_an_id_that_is_none_is_one_dead_letter(
    service: Service, handler: Handler, manual: ManualHandler, token: bytes, headers: bytes
) -> None:
    before = len(await dead_letters(manual))
    body = json.dumps({"username": "alice", "n": str(uuid.uuid4())}).encode()
    await publish(service, SUBJECT + token, body, headers)
    await wait_until_empty(manual)
    letters = await dead_letters(manual)
    assert len(letters) == before + 1
    subject, kept, letter_body = letters[-1]
    assert subject.startswith("everest.v1.dead.bootstrap.seq-")
    assert kept[names.HEADER_REASON] == "invalid_request"
    assert letter_body == body


async def test_another_request_under_a_taken_id_is_a_dead_letter(
    service: Service, handler: Handler, manual: ManualHandler
) -> None:
    """The record of the first stays untouched, whether it is running or has ended."""
    job_id = str(uuid.uuid4())
    await publish(service, SUBJECT + job_id.encode(), b'{"username":"bob"}')
    await service.wait_until_finished(job_id)
    await wait_until_empty(manual)  # or a second message of the subject would be refused
    record = await manual.read(job_id)
    for body in (b'{"username":"mallory"}', b"no json"):
        await publish(service, SUBJECT + job_id.encode(), body, UNSENDABLE)
        await wait_until_empty(manual)
        subject, headers, letter_body = (await dead_letters(manual))[-1]
        assert subject == f"everest.v1.dead.bootstrap.{job_id}"
        assert headers[names.HEADER_REASON] == ("job_id_taken" if b"mallory" in body else "invalid_request")
        assert letter_body == body
        assert await manual.read(job_id) == record


async def test_the_same_request_again_runs_nothing(service: Service, handler: Handler, manual: ManualHandler) -> None:
    """Whoever publishes it, and however it is spelled."""
    job_id = str(uuid.uuid4())
    await publish(service, SUBJECT + job_id.encode(), b'{"username":"carol"}')
    await service.wait_until_finished(job_id)
    await wait_until_empty(manual)  # or a second message of the subject would be refused
    record = await manual.read(job_id)
    await publish(service, SUBJECT + job_id.encode(), b'{"resources": {"cpu_cores":"2"}, "username":"carol"}')
    await wait_until_empty(manual)
    assert await manual.read(job_id) == record


@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=60)), min_size=20, max_size=20))
async def test_any_bytes_at_all_block_nobody(
    service: Service, handler: Handler, manual: ManualHandler, messages: list[tuple[bytes, bytes]]
) -> None:
    job_ids = [str(uuid.uuid4()) for _ in messages]
    for job_id, (body, value) in zip(job_ids, messages, strict=True):
        line = b"X-Request-Id: " + value.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n"
        await publish(service, SUBJECT + job_id.encode(), body, line)
    await wait_until_empty(manual)
    for job_id in job_ids:
        assert (await manual.read(job_id)).is_finished
    assert handler.process.returncode is None
    assert not [line for line in handler.log_lines() if line["event"] in ("delivery.crashed", "nats.disconnected")]
