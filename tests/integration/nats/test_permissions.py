"""Accounts: each role can do its work and no more; a publisher reaches its own jobs and nothing else."""

import asyncio
import contextlib
import json
import re
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest
import pytest_asyncio
from nats.aio.msg import Msg

from contracts import names
from contracts.link.errors import NotLetIn
from contracts.link.user_keys import make_user_key
from contracts.process.settings import NatsSettings
from contracts.records import encode_record
from gateway.commands.webhooks import make_secret
from gateway.jetstream import connect
from handlers.jetstream import JetStream
from handlers.jetstream import connect as connect_handler
from tests.support.eventually import eventually
from tests.support.gateways import Gateway, claimed_record, running_gateway, succeeded_record
from tests.support.peers.accounts import PASSWORDS, VARIABLES, intruding, knock, secured_server
from tests.support.peers.publishers import Publisher, make_publisher
from tests.support.peers.receivers import Receiver, receiving
from tests.support.servers import LIMIT_SECONDS, NatsServer, nats_server, settle, write_configuration

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROLES = (*PASSWORDS, "portal")
JOBS = "everest.v1.jobs.bootstrap"
BODY = b'{"username": "carol"}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def publishers(tmp_path_factory: pytest.TempPathFactory) -> list[Publisher]:
    folder = tmp_path_factory.mktemp("publishers")
    portal = await make_publisher(folder, "portal")
    return [portal, await make_publisher(folder, "billing", "--kinds", "bootstrap,offboard")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory, publishers: list[Publisher]) -> AsyncIterator[NatsServer]:
    async with secured_server(tmp_path_factory.mktemp("secured"), publishers) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    server: NatsServer, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "secret").write_text(make_secret())
    file = folder / "webhooks.yaml"
    file.write_text(f"webhooks: [{{name: all, url: '{receiver.url}', secret_file: secret}}]")
    credentials: dict[str, Any] = {"NATS_USER": "gateway", "NATS_PASSWORD": PASSWORDS["gateway"]}
    async with running_gateway(server.url, folder, WEBHOOKS_FILE=str(file), **credentials) as running:
        yield running


@asynccontextmanager
async def as_handler(server: NatsServer) -> AsyncIterator[JetStream]:
    settings = NatsSettings(nats_url=server.url, nats_user="handler", nats_password=PASSWORDS["handler"])
    jetstream = await connect_handler(settings, "a test", lambda: None)
    try:
        yield jetstream
    finally:
        await jetstream.close()


NO_TENANT: dict[str, Any] = {
    "username": "carol",
    "account": None,
    "namespaces": [],
    "other_namespaces": [],
    "rbac": None,
    "last_job": None,
}


async def finish_next(handler: JetStream, kind: str = "bootstrap") -> str:
    """Takes a job as a handler does, from the fetch to the acknowledgement; gives its id."""
    consumer = names.consumer_of(kind)
    source = handler.source(names.stream_of(kind), consumer)
    await source.bind()
    delivery = await source.fetch()
    assert delivery is not None
    job_id = names.read_subject(delivery.subject).job_id
    assert job_id is not None
    bucket = handler.answers if names.is_query(kind) else handler.jobs
    await handler.tenants.read("carol")
    entry = await bucket.read(job_id)
    record = claimed_record(job_id, kind, delivery.body)
    revision = await bucket.write(job_id, encode_record(record), last=entry.revision)
    await handler.cancels.read(job_id)
    await delivery.extend()
    await handler.events.tell(record, revision)
    await handler.publish_progress(job_id, b"{}")
    record = replace(succeeded_record(record), data=NO_TENANT)
    revision = await bucket.write(job_id, encode_record(record), last=revision, ttl_seconds=60)
    assert await handler.events.tell_end_once(record, revision)
    await delivery.acknowledge()
    await source.count_pending()
    return job_id


async def test_each_role_can_do_its_work(
    server: NatsServer, gateway: Gateway, publishers: list[Publisher], receiver: Receiver
) -> None:
    """The whole life of jobs, and after it the server's log holds not one violation."""
    async with as_handler(server) as handler, publishers[0].connected(server) as portal:
        job_id = await gateway.submit()
        assert await finish_next(handler) == job_id
        assert (await gateway.wait_until(f"/jobs/{job_id}/result", 200)).json()["overall_status"] == "succeeded"
        bulk = {"requests": [{"username": "dora"}, {"username": "emil"}]}
        accepted = (await gateway.api.post("/bootstrap/users/bulk", json=bulk)).json()["jobs"]
        assert {job["job_id"] for job in accepted} == {await finish_next(handler) for _ in accepted}
        await portal.jetstream().publish(f"{JOBS}.order-1", BODY)
        assert await finish_next(handler) == "portal.order-1"
        async with publishers[1].connected(server) as billing:
            for kind in ("bootstrap", "offboard"):
                await billing.jetstream().publish(f"everest.v1.jobs.{kind}.{kind}-1", BODY)
                assert await finish_next(handler, kind) == f"billing.{kind}-1"
        entry = await handler.tenants.read("carol")
        await handler.tenants.write("carol", b"portal.order-1", last=entry.revision)
        assert not await handler.holds_message(names.JOBS_STREAM, f"{JOBS}.portal.order-1")
        await exercise_line(handler)
        await handler.write_dead_letter(names.dead_subject("bootstrap", "seq-1"), b"x", {})
        await handler.write_dead_letter(names.dead_subject("bootstrap", "a.b"), b"x", {})
        await exercise_gateway(gateway, handler)
        await eventually(lambda: receiver.taken, "a webhook is brought")
    log = server.read_log()
    assert "violation" not in log.lower(), [line for line in log.splitlines() if "iolation" in line]


async def test_several_answers_pass_between_accounts(server: NatsServer) -> None:
    """The newest records of a list come in one question; an import has one answer, unless it says otherwise."""
    settings = NatsSettings(nats_url=server.url, nats_user="gateway", nats_password=PASSWORDS["gateway"])
    asking = await connect(settings, "a test")
    ids = [str(uuid.uuid4()) for _ in range(20)]
    try:
        async with as_handler(server) as handler:
            revisions = [await handler.jobs.write(job_id, b"a record", last=0) for job_id in ids]
            found = await asking.read_batch(f"KV_{names.JOBS_BUCKET}", revisions[0], 100)
            for job_id, revision in zip(ids, revisions, strict=True):
                await handler.jobs.write(job_id, b"the end", last=revision, ttl_seconds=1)
    finally:
        await asking.close()
    kept = {message.subject: (message.sequence, message.body) for message in found}
    for job_id, revision in zip(ids, revisions, strict=True):
        assert kept[f"$KV.{names.JOBS_BUCKET}.{job_id}"] == (revision, b"a record")


async def test_a_crowd_is_parked_together_between_accounts(server: NatsServer) -> None:
    """Atomic batches, whose staged messages have no answer that an import could bring back."""
    ids = [str(uuid.uuid4()) for _ in range(20)]
    async with as_handler(server) as handler:
        await handler.jobs.create_together([(job_id, b"a record") for job_id in ids], LIMIT_SECONDS)
        await handler.line.join_together([("frank", job_id) for job_id in ids], LIMIT_SECONDS)
        for job_id in ids:
            place = await handler.line.first("frank")
            assert place is not None
            assert place.job_id == job_id
            await handler.line.leave(place)
            entry = await handler.jobs.read(job_id)
            assert entry.value == b"a record"
            await handler.jobs.write(job_id, b"the end", last=entry.revision, ttl_seconds=1)


async def exercise_line(handler: JetStream) -> None:
    """Jobs of one token and of two wait for their tenant, and are published again."""
    source = handler.source(names.JOBS_STREAM, names.BOOTSTRAP_CONSUMER)
    await source.bind()
    for job_id in ("waits", "portal.waits"):
        await handler.line.join("erin", job_id)
        place = await handler.line.first("erin")
        assert place is not None
        assert place.job_id == job_id
        await handler.line.leave(place)
        assert await handler.line.first("erin") is None
        await handler.publish_job(f"{JOBS}.{job_id}", BODY, {})
        delivery = await source.fetch()
        assert delivery is not None
        await delivery.acknowledge()


async def exercise_gateway(gateway: Gateway, handler: JetStream) -> None:
    """A query, a cancel of a queued and of a running job, a retry, a list, the tenant's page, metrics, events."""
    query = asyncio.create_task(gateway.api.get("/accounts/list"))
    await finish_next(handler, "accounts-list")
    await query
    queued = await gateway.submit(username="dave")
    assert (await gateway.api.post(f"/jobs/{queued}/cancel")).status_code == 202
    await gateway.wait_until(f"/jobs/{queued}/result", 200)
    assert (await gateway.api.post(f"/jobs/{queued}/retry")).status_code == 202
    source = handler.source(names.JOBS_STREAM, names.BOOTSTRAP_CONSUMER)
    await source.bind()
    delivery = await source.fetch()
    assert delivery is not None
    entry = await handler.jobs.read(queued)
    record = claimed_record(queued, "bootstrap", delivery.body)
    await handler.jobs.write(queued, encode_record(record), last=entry.revision)
    assert (await gateway.api.post(f"/jobs/{queued}/cancel")).status_code == 202
    assert (await handler.cancels.read(queued)).value
    await delivery.terminate("cancelled")
    assert (await gateway.api.get("/jobs")).status_code == 200
    await eventually(partial(has_entry, gateway, queued), "the cancelled job is in the audit")
    assert (await gateway.nobody.get("/jobs", headers={"X-Admin-Key": "wrong"})).status_code == 401
    await eventually(partial(has_entry, gateway, None), "the refused key is in the audit")
    page = asyncio.create_task(gateway.api.get("/tenants/carol"))
    await finish_next(handler, "tenant")
    assert (await page).status_code == 404
    assert (await gateway.nobody.get("/metrics")).status_code == 200


async def has_entry(gateway: Gateway, job_id: str | None) -> bool:
    answer = await gateway.api.get("/audit")
    return any(entry["job_id"] == job_id for entry in answer.json()["entries"])


FORBIDDEN_SUBJECTS = [">", "_INBOX.>", "_INBOX_provisioner.>", "$KV.>", "everest.v1.jobs.>", "$JS.>"]


@pytest.mark.parametrize("role", ["gateway", "handler", "portal"])
@pytest.mark.parametrize("subject", FORBIDDEN_SUBJECTS)
async def test_nobody_listens_to_others(
    server: NatsServer, publishers: list[Publisher], role: str, subject: str
) -> None:
    """Neither to answers for others, nor to jobs, records or events as a whole."""
    async with intruding(server, role, publishers) as intruder:
        await intruder.client.subscribe(subject)
        await intruder.expect_refusal(subject)


DESTRUCTIVE = [
    f"$JS.API.STREAM.PURGE.KV_{names.JOBS_BUCKET}",
    f"$JS.API.STREAM.DELETE.{names.JOBS_STREAM}",
    f"$JS.API.STREAM.UPDATE.{names.JOBS_STREAM}",
    f"$JS.API.STREAM.MSG.DELETE.{names.JOBS_STREAM}",
    "$JS.API.STREAM.CREATE.MINE",
    f"$JS.API.CONSUMER.DELETE.{names.JOBS_STREAM}.{names.BOOTSTRAP_CONSUMER}",
    f"$JS.API.CONSUMER.DURABLE.CREATE.{names.JOBS_STREAM}.mine",
    f"$JS.API.CONSUMER.CREATE.{names.JOBS_STREAM}",
    f"$JS.API.CONSUMER.CREATE.KV_{names.JOBS_BUCKET}",
]
OF_HANDLERS = [
    f"$JS.API.CONSUMER.MSG.NEXT.{names.JOBS_STREAM}.{names.BOOTSTRAP_CONSUMER}",
    f"$JS.ACK.{names.JOBS_STREAM}.{names.BOOTSTRAP_CONSUMER}.1.1.1.1.0",
    f"$JS.API.CONSUMER.MSG.NEXT.{names.JOBS_STREAM}.{names.LIFECYCLE_CONSUMER}",
    f"$JS.ACK.{names.JOBS_STREAM}.{names.LIFECYCLE_CONSUMER}.1.1.1.1.0",
    f"$KV.{names.TENANTS_BUCKET}.alice",
    "everest.v1.dead.bootstrap.x",
    names.waiting_subject("alice", "x"),
    f"$JS.API.STREAM.MSG.DELETE.{names.WAITING_STREAM}",
]
OF_GATEWAYS = ["everest.v1.queries.accounts-list.x", f"$KV.{names.CANCELS_BUCKET}.x", "_R_.x"]
OF_BOTH = [f"$KV.{names.JOBS_BUCKET}.victim", f"$JS.API.STREAM.MSG.GET.KV_{names.JOBS_BUCKET}", f"{JOBS}.billing.x"]
DOORS = ("gateway", "handler", "reading")
ATTACKS = [
    *[(role, subject) for role in ("gateway", "handler", "portal") for subject in DESTRUCTIVE],
    *[(role, "_INBOX_provisioner.x") for role in ("gateway", "handler", "portal")],
    *[(role, subject) for role in ("gateway", "portal") for subject in OF_HANDLERS],
    *[("handler", subject) for subject in OF_GATEWAYS],
    *[("portal", subject) for subject in (*OF_BOTH, *OF_GATEWAYS[1:])],
    ("portal", "everest.v1.events.order-1"),
    ("portal", "everest.v1.jobs.offboard.order-1"),  # a kind that its operator has not given it
    ("portal", "everest.v1.status.billing.order-1"),
    ("provisioner", f"$KV.{names.JOBS_BUCKET}.victim"),
    # The doors of others, and what lies behind one's own, by the names that they have inside.
    *[(role, f"{door}.$KV.{names.TENANTS_BUCKET}.x") for role in ROLES for door in DOORS],
    *[(role, f"$JS.API.DIRECT.GET.KV_{names.JOBS_BUCKET}") for role in ("handler", "portal")],
    ("gateway", f"$JS.API.DIRECT.GET.KV_{names.TENANTS_BUCKET}"),
    *[(role, f"everest.v1.api.STREAM.DELETE.{names.JOBS_STREAM}") for role in ("gateway", "handler", "portal")],
    *[(role, "everest.v1.told.x") for role in ("portal", "provisioner")],
    *[(role, "everest.v1.records.x") for role in ROLES],
    *[(role, "everest.v1.answers.x") for role in ROLES],
    # Entries of jobs are nobody's to write, and the acts of operators are no handler's or publisher's.
    *[(role, names.audited_subject("x")) for role in ROLES],
    *[(role, names.act_subject("put-back", "x")) for role in ("handler", "portal")],
    *[(role, f"$KV.{names.ANSWERS_BUCKET}.x") for role in ("gateway", "portal", "provisioner")],
    *[(role, f"$JS.API.STREAM.MSG.GET.{names.AUDIT_STREAM}") for role in ("handler", "portal")],
    ("handler", f"$JS.API.CONSUMER.DURABLE.CREATE.{names.EVENTS_STREAM}.mine"),
    ("handler", f"$JS.ACK.{names.EVENTS_STREAM}.webhook_all.1.1.1.1.0"),
    ("gateway", f"$JS.API.CONSUMER.DURABLE.CREATE.{names.AUDIT_STREAM}.mine"),
    ("gateway", f"$JS.API.CONSUMER.DELETE.{names.EVENTS_STREAM}.webhook_all"),
    *[(role, f"$JS.API.STREAM.PURGE.{names.AUDIT_STREAM}") for role in ("gateway", "handler", "portal")],
]


@pytest.mark.parametrize(("role", "subject"), ATTACKS)
async def test_nobody_sends_what_is_not_his(
    server: NatsServer, publishers: list[Publisher], role: str, subject: str
) -> None:
    """Each is refused by the server itself, or leads nowhere from the role's account."""
    async with intruding(server, role, publishers) as intruder:
        await intruder.expect_no_way(subject, b"{}")


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_nobody_comes_in_without_credentials(server: NatsServer, password: str) -> None:
    credentials = {"user": "gateway", "pass": password} if password else {}
    assert await knock(server.port, **credentials) == "-ERR 'Authorization Violation'"


async def test_a_publisher_follows_its_own_jobs_only(
    server: NatsServer, gateway: Gateway, publishers: list[Publisher]
) -> None:
    """Two services' order-42 are two jobs, each with its caller proved; each sees its own status and events."""
    heard: dict[str, list[str]] = {"portal": [], "billing": []}
    async with (
        as_handler(server) as handler,
        publishers[0].connected(server) as portal,
        publishers[1].connected(server) as billing,
    ):
        for client, name in ((portal, "portal"), (billing, "billing")):

            async def hear(message: Msg, name: str = name) -> None:
                heard[name].append(message.subject)

            # The widest that the server lets it ask for.
            await client.subscribe("everest.v1.events.>", cb=hear)
            await client.jetstream().publish(f"{JOBS}.order-42", BODY)
            with pytest.raises(nats.js.errors.APIError, match="per subject"):
                await client.jetstream().publish(f"{JOBS}.order-42", BODY)
        statuses = [
            json.loads((await client.request("everest.v1.status.order-42", b"", timeout=LIMIT_SECONDS)).data)
            for client in (portal, billing)
        ]
        assert [(status["job_id"], status["caller"], status["status"]) for status in statuses] == [
            ("portal.order-42", "portal", "queued"),
            ("billing.order-42", "billing", "queued"),
        ]
        assert {await finish_next(handler), await finish_next(handler)} == {"portal.order-42", "billing.order-42"}
        answer = await gateway.wait_until("/jobs/portal.order-42/result", 200)
        assert answer.json()["overall_status"] == "succeeded"
        unknown = json.loads((await portal.request("everest.v1.status.order-43", b"", timeout=LIMIT_SECONDS)).data)
        assert unknown["code"] == "job_not_found"
        await eventually(lambda: all(heard.values()), "it comes")
        assert {name: set(subjects) for name, subjects in heard.items()} == {
            "portal": {"everest.v1.events.order-42"},
            "billing": {"everest.v1.events.order-42"},
        }


async def test_a_reply_subject_overwrites_nothing(
    server: NatsServer, gateway: Gateway, publishers: list[Publisher]
) -> None:
    """The server checks no permission on a reply: its acknowledgement must not land in a record or become a job."""
    async with as_handler(server) as handler, publishers[0].connected(server) as portal:
        revision = await handler.jobs.write("victim", b"as it was", last=0)
        state = await count_jobs(gateway)
        for number, reply in enumerate(
            (f"$KV.{names.JOBS_BUCKET}.victim", f"{JOBS}.made-by-an-ack", "_INBOX_gateway.x")
        ):
            await portal.publish(f"{JOBS}.attack-{number}", BODY, reply=reply)
            await portal.publish(f"everest.v1.status.attack-{number}", b"", reply=reply)
        await settle(portal)
        for number in range(3):
            await wait_for_message(handler, f"{JOBS}.portal.attack-{number}")
        assert await count_jobs(gateway) == state + 3
        entry = await handler.jobs.read("victim")
        assert (entry.value, entry.revision) == (b"as it was", revision)
        for _ in range(3):
            await finish_next(handler)


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({"Nats-TTL": "1s"}, False),
        ({"Nats-Rollup": "all"}, False),
        ({"Nats-Msg-Id": "squatted"}, True),
        ({"Nats-Rollup": "sub"}, False),
        ({"Nats-Expected-Last-Sequence": "0"}, False),
        ({"Nats-Batch-Id": "held", "Nats-Batch-Sequence": "1"}, False),
        ({"Nats-Batch-Id": "held", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"}, False),
        ({"Nats-Incr": "+1"}, False),
        ({"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": f"{JOBS}.portal.scheduled"}, False),
    ],
)
async def test_headers_of_a_publisher_harm_nobody(
    server: NatsServer, gateway: Gateway, publishers: list[Publisher], headers: dict[str, str], is_taken: bool
) -> None:
    """No time to live, no roll-up of others' messages, no batch held open, no counter, no schedule.

    An id in a header keeps no other job out.
    """
    async with as_handler(server) as handler, publishers[0].connected(server) as portal:
        before = await count_jobs(gateway)
        try:
            await portal.jetstream().publish(f"{JOBS}.headed", BODY, headers=headers)
        except nats.js.errors.APIError:
            assert not is_taken
        else:
            assert is_taken
        job_id = await gateway.submit()
        assert await count_jobs(gateway) == before + 1 + is_taken
        finished = {await finish_next(handler) for _ in range(1 + is_taken)}
        assert job_id in finished


async def test_a_message_that_is_dropped_is_told(server: NatsServer, publishers: list[Publisher]) -> None:
    """JetStream takes two messages of one Nats-Msg-Id, a moment apart, for one: its acknowledgement says so."""
    async with as_handler(server) as handler, publishers[0].connected(server) as portal:
        for number in range(100):  # the two may come further apart than the window, on a machine that is busy
            ids = [f"{number}-{part}" for part in ("first", "second")]
            headers = {"Nats-Msg-Id": f"same-{number}"}
            sent = [portal.jetstream().publish(f"{JOBS}.{job_id}", BODY, headers=headers) for job_id in ids]
            told = dict(zip(ids, await asyncio.gather(*sent), strict=True))
            accepted = {f"portal.{job_id}" for job_id, answer in told.items() if not answer.duplicate}
            assert {await finish_next(handler) for _ in accepted} == accepted
            if len(accepted) < len(ids):
                return
    raise AssertionError("no message was dropped")


async def test_a_mistyped_subject_is_refused(server: NatsServer, publishers: list[Publisher]) -> None:
    """Nothing is stored where no handler looks: a publisher may not send it, and for others no stream takes it."""
    async with intruding(server, "portal", publishers) as intruder:
        for subject in ("everest.v1.jobs.bootsrap.x", f"{JOBS}.a.b"):
            await intruder.client.publish(subject, BODY)
            await intruder.expect_refusal(subject)
    async with intruding(server, "provisioner", publishers) as intruder:
        answer = await intruder.client.request("$JS.API.STREAM.NAMES", b'{"subject": "everest.v1.jobs.bootsrap.x"}')
        assert json.loads(answer.data)["streams"] is None


async def test_an_account_cannot_import_what_is_anothers(tmp_path: Path) -> None:
    """A block that claims another's jobs is refused when the configuration is read."""
    thief = await make_publisher(tmp_path, "thief")
    block = thief.block.replace(".thief.*", ".portal.*")
    configuration = write_configuration(tmp_path / "conf", "node.conf", "accounts.conf", publishers=block)
    running = NatsServer(tmp_path / "nats", configuration=configuration, variables=VARIABLES)
    try:
        with pytest.raises(AssertionError, match="import not authorized"):
            await running.start()
    finally:
        await running.stop()


async def test_a_publisher_is_added_by_two_reloads(tmp_path: Path, publishers: list[Publisher]) -> None:
    """The first makes its account, the second connects it; who is connected goes on over both."""
    old, new = publishers
    async with (
        secured_server(tmp_path, [old]) as running,
        as_handler(running) as handler,
        old.connected(running) as portal,
    ):
        (tmp_path / "conf" / "publishers.conf").write_text(f"{old.block}\n{new.block}")
        for count in (1, 2):
            running.send_signal(signal.SIGHUP)
            await eventually(partial(has_reloaded, running, count), f"it reloads {count} times")
        async with new.connected(running) as billing:
            await billing.jetstream().publish(f"{JOBS}.order-1", BODY)
        await portal.jetstream().publish(f"{JOBS}.order-1", BODY)
        assert {await finish_next(handler), await finish_next(handler)} == {"portal.order-1", "billing.order-1"}


async def test_a_publisher_hears_of_the_end_that_the_gateway_makes(
    server: NatsServer, gateway: Gateway, publishers: list[Publisher]
) -> None:
    """A person cancels its queued job, and tries it again: both are done in the gateway's account."""
    async with as_handler(server) as handler, publishers[0].connected(server) as portal:
        events = await portal.subscribe("everest.v1.events.order-9")
        await portal.jetstream().publish(f"{JOBS}.order-9", BODY)
        assert (await gateway.api.post("/jobs/portal.order-9/cancel")).status_code == 202
        assert json.loads((await events.next_msg(timeout=LIMIT_SECONDS)).data)["reason"] == "cancelled"
        source = handler.source(names.JOBS_STREAM, names.BOOTSTRAP_CONSUMER)
        await source.bind()
        delivery = await source.fetch()
        assert delivery is not None
        await delivery.acknowledge()  # as of a job that has ended
        assert (await gateway.api.post("/jobs/portal.order-9/retry")).status_code == 202
        assert await finish_next(handler) == "portal.order-9"


async def test_progress_is_heard_by_whose_job_it_is_and_by_who_follows_it(
    server: NatsServer, gateway: Gateway, publishers: list[Publisher]
) -> None:
    """A publisher hears of its own jobs, a gateway of all, and tells who follows one of them over HTTP."""
    async with as_handler(server) as handler, publishers[0].connected(server) as portal:
        progress = await portal.subscribe("everest.v1.progress.>")
        await portal.jetstream().publish(f"{JOBS}.order-5", BODY)
        heard: set[str] = set()
        told: list[str] = []

        async def follow() -> None:
            async with gateway.api.stream("GET", "/jobs/portal.order-5/events") as answer:
                async for line in answer.aiter_lines():
                    told.append(line)  # noqa: PERF401 - each as it comes

        async def tell() -> bool:
            """Each at most once: who misses one hears the next."""
            for job_id in ("by-rest", "billing.order-5", "portal.order-5", "portal.order-6"):
                await handler.publish_progress(job_id, b'{"job_id":"%s"}' % job_id.encode())
            with contextlib.suppress(nats.errors.TimeoutError):
                while True:
                    heard.add((await progress.next_msg(timeout=0.5)).subject)
            return len(heard) >= 2 and "event: progress" in told

        following = asyncio.create_task(follow())
        await eventually(tell, lambda: f"both are heard, and one is followed: {heard}, {told}")
        assert heard == {"everest.v1.progress.order-5", "everest.v1.progress.order-6"}
        assert told[told.index("event: progress") + 1] == 'data: {"job_id":"portal.order-5"}'
        assert (await gateway.api.post("/jobs/portal.order-5/cancel")).status_code == 202
        await asyncio.wait_for(following, LIMIT_SECONDS)


async def test_nkeys_open_the_same_doors(tmp_path: Path) -> None:
    """The server holds public keys only; the seed of another user opens nothing."""
    keys = {role: make_user_key() for role in (*PASSWORDS, "stranger")}
    files = {role: tmp_path / f"{role}.nk" for role in keys}
    for role, (_, seed) in keys.items():
        files[role].write_text(seed)
    variables = {f"NATS_{role.upper()}_NKEY": keys[role][0] for role in PASSWORDS}
    configuration = write_configuration(tmp_path / "conf", "node.conf", "accounts-nkeys.conf")
    async with nats_server(tmp_path, configuration=configuration, variables=variables) as running:
        await running.provision(NATS_NKEY_FILE=str(files["provisioner"]))
        async with running_gateway(running.url, tmp_path, NATS_NKEY_FILE=str(files["gateway"])) as gateway:
            job_id = await gateway.submit()
            settings = NatsSettings(nats_url=running.url, nats_nkey_file=str(files["handler"]))
            handler = await connect_handler(settings, "a test", lambda: None)
            assert await finish_next(handler) == job_id
            await handler.close()
        with pytest.raises(NotLetIn, match=r"(?i)authorization"):
            await running.provision(NATS_NKEY_FILE=str(files["stranger"]))


async def count_jobs(gateway: Gateway) -> int:
    """Messages of the job stream, by the gateway's own measure."""
    text = (await gateway.nobody.get("/metrics")).text
    found = re.search(rf'everest_bootstrap_stream_messages{{stream="{names.JOBS_STREAM}"}} (\S+)', text)
    assert found is not None, text
    return int(float(found[1]))


async def wait_for_message(handler: JetStream, subject: str) -> None:
    await eventually(lambda: handler.holds_message(names.JOBS_STREAM, subject), f"a message waits on {subject}")


def has_reloaded(server: NatsServer, count: int) -> bool:
    return server.read_log().count("Reloaded server configuration") == count
