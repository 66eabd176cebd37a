"""Events that last: a publisher pulls its own from where it stopped, and reaches nobody else's."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import nats
import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from contracts import names
from contracts.process.settings import NatsSettings
from contracts.records import JobRecord
from handlers.jetstream import JetStream
from handlers.jetstream import connect as connect_handler
from tests.support.gateways import new_record, succeeded_record
from tests.support.peers.accounts import PASSWORDS, intruding, secured_server
from tests.support.peers.publishers import Publisher, make_publisher
from tests.support.servers import LIMIT_SECONDS, NatsServer, settle

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVENTS = names.EVENTS_STREAM


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def publishers(tmp_path_factory: pytest.TempPathFactory) -> list[Publisher]:
    folder = tmp_path_factory.mktemp("publishers")
    return [await make_publisher(folder, name) for name in ("portal", "billing")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory, publishers: list[Publisher]) -> AsyncIterator[NatsServer]:
    async with secured_server(tmp_path_factory.mktemp("secured"), publishers) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def handler(server: NatsServer) -> AsyncIterator[JetStream]:
    settings = NatsSettings(nats_url=server.url, nats_user="handler", nats_password=PASSWORDS["handler"])
    jetstream = await connect_handler(settings, "a test", lambda: None)
    yield jetstream
    await jetstream.close()


def ended(job_id: str) -> JobRecord:
    return replace(succeeded_record(new_record("carol")), job_id=job_id)


async def pull(client: Client, durable: str, count: int) -> list[Any]:
    subscription = await client.jetstream().pull_subscribe_bind(durable=durable, stream=EVENTS)
    messages = await subscription.fetch(count, timeout=LIMIT_SECONDS)
    await subscription.unsubscribe()
    return messages


async def test_a_publisher_that_was_away_hears_of_every_end(
    server: NatsServer, handler: JetStream, publishers: list[Publisher]
) -> None:
    """In order, with what CloudEvents asks for; what it has acknowledged does not come again; others' never come."""
    portal, _ = publishers
    ids = ["portal.one", "by-rest", "billing.one", "portal.two", "portal.three"]
    for revision, job_id in enumerate(ids, 1):
        await handler.events.tell_end(ended(job_id), revision)
    async with portal.connected(server) as client:
        first, second = await pull(client, "portal", 2)
        assert first.subject == "everest.v1.events.portal.one"
        assert json.loads(first.data)["job_id"] == first.headers["ce-subject"] == "portal.one"
        assert {name: first.headers[name] for name in first.headers if name.startswith("ce-")} == {
            "ce-specversion": "1.0",
            "ce-id": "portal.one:1",
            "ce-type": "dev.everest-bootstrap.job.succeeded",
            "ce-source": "/everest-bootstrap",
            "ce-subject": "portal.one",
            "ce-time": json.loads(first.data)["changed_at"],
        }
        for message in (first, second):
            await message.ack_sync(timeout=LIMIT_SECONDS)
    await handler.events.tell_end(ended("portal.four"), 9)
    async with portal.connected(server) as client:  # it comes back, and goes on
        rest = await pull(client, "portal", 2)
        assert [message.headers["ce-id"] for message in rest] == ["portal.three:5", "portal.four:9"]
        for message in rest:
            await message.ack_sync(timeout=LIMIT_SECONDS)
    async with publishers[1].connected(server) as client:
        (message,) = await pull(client, "billing", 1)
        assert message.headers["ce-id"] == "billing.one:3"
        await message.ack_sync(timeout=LIMIT_SECONDS)


async def test_an_end_is_told_once_however_often_it_is_looked_at(handler: JetStream) -> None:
    """A redelivery after a kill tells what is missing, and nothing that is there."""
    record = ended("portal.again")
    assert await handler.events.tell_end_once(record, 20)
    assert not await handler.events.tell_end_once(record, 20)
    assert await handler.events.tell_end_once(record, 21), "another end of a job that was reopened"


async def test_who_listens_hears_it_live_with_its_headers(
    server: NatsServer, handler: JetStream, publishers: list[Publisher]
) -> None:
    async with publishers[0].connected(server) as client:
        events = await client.subscribe("everest.v1.events.>")
        await settle(client)
        await handler.events.tell(new_record("carol", "portal.live"), 30)
        message = await events.next_msg(timeout=LIMIT_SECONDS)
        assert message.headers is not None
        assert (message.subject, message.headers["ce-id"]) == ("everest.v1.events.live", "portal.live:30")


async def test_what_version_0_1_0_tells_is_kept_too(server: NatsServer, publishers: list[Publisher]) -> None:
    """It publishes where events are heard; its account leads that to where they are stored."""
    credentials: Any = {"user": "handler", "password": PASSWORDS["handler"], "inbox_prefix": b"_INBOX_handler"}
    old = await nats.connect(server.url, **credentials)
    async with publishers[0].connected(server) as client:
        events = await client.subscribe("everest.v1.events.old")
        await settle(client)
        await old.publish("everest.v1.events.portal.old", b"{}")
        assert (await events.next_msg(timeout=LIMIT_SECONDS)).headers
    await old.close()


OTHERS = [
    f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.billing",
    f"$JS.API.CONSUMER.INFO.{EVENTS}.billing",
    f"everest.v1.api.CONSUMER.MSG.NEXT.{EVENTS}.billing",
    f"$JS.ACK.{EVENTS}.billing.1.1.1.1.0",
    f"$JS.ACK.{EVENTS}.webhook_ops.1.1.1.1.0",
    f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.webhook_ops",
    f"$JS.API.CONSUMER.MSG.NEXT.{names.JOBS_STREAM}.portal",
    f"$JS.API.CONSUMER.DURABLE.CREATE.{EVENTS}.portal",
    f"$JS.API.CONSUMER.CREATE.{EVENTS}.portal",
    f"$JS.API.CONSUMER.CREATE.{EVENTS}.portal.everest.v1.events.>",
    f"$JS.API.CONSUMER.DELETE.{EVENTS}.portal",
    f"$JS.API.STREAM.MSG.GET.{EVENTS}",
    f"$JS.API.STREAM.PURGE.{EVENTS}",
    f"$JS.API.DIRECT.GET.{EVENTS}.everest.v1.events.billing.one",
    "everest.v1.told.billing.x",
]


@pytest.mark.parametrize("subject", OTHERS)
async def test_a_publisher_reaches_no_consumer_but_its_own(
    server: NatsServer, publishers: list[Publisher], subject: str
) -> None:
    """It neither pulls nor acknowledges what is another's, nor makes, changes or removes a consumer."""
    async with intruding(server, "portal", publishers) as intruder:
        await intruder.expect_no_way(subject, b"{}")


async def test_what_is_pulled_for_somebody_else_arrives_nowhere(
    server: NatsServer, handler: JetStream, publishers: list[Publisher]
) -> None:
    """The answer stays in the account of whoever asks: it is no record, no call, and no message to another."""
    await handler.events.tell_end(ended("portal.bait"), 40)
    portal, billing = publishers
    revision = await handler.jobs.write("victim", b"as it was", last=0)
    async with portal.connected(server) as client, billing.connected(server) as other:
        heard = await other.subscribe("_INBOX_billing.>")
        await settle(other)
        subject = f"everest.v1.api.CONSUMER.MSG.NEXT.{EVENTS}.portal"
        for reply in ("$KV.everest_jobs.victim", "_INBOX_billing.x", "$JS.API.STREAM.DELETE.EVEREST_DEAD"):
            await client.publish(subject, b'{"batch": 1, "no_wait": true}', reply=reply)
        await settle(client)
        with pytest.raises(nats.errors.TimeoutError):
            await heard.next_msg(timeout=0.5)
    entry = await handler.jobs.read("victim")
    assert (entry.value, entry.revision) == (b"as it was", revision)


async def test_an_acknowledgement_ends_nothing_of_anothers(
    server: NatsServer, handler: JetStream, publishers: list[Publisher]
) -> None:
    """Not even with the numbers of a delivery that the other one holds."""
    await handler.events.tell_end(ended("billing.held"), 50)
    portal, billing = publishers
    async with billing.connected(server) as client, portal.connected(server) as thief:
        (message,) = await pull(client, "billing", 1)
        assert message.headers["ce-id"] == "billing.held:50"
        await thief.publish(message.reply, b"+ACK")
        await thief.publish(message.reply.replace(".billing.", ".portal."), b"+ACK")  # its own, by another's numbers
        await settle(thief)
        await message.nak()
        (again,) = await pull(client, "billing", 1)
        assert again.headers["ce-id"] == message.headers["ce-id"]
        await again.ack_sync(timeout=LIMIT_SECONDS)


async def test_a_handler_is_given_all_that_it_pulls_for(server: NatsServer, handler: JetStream) -> None:
    """Many answers to one request come through the door between two accounts, not only the first."""
    for number in range(6):
        await handler.publish_job(names.job_subject("bootstrap", f"many-{number}"), b"{}", {})
    source = handler.source(names.JOBS_STREAM, names.BOOTSTRAP_CONSUMER)
    await source.bind()
    first = await source.fetch()
    assert first is not None
    deliveries = [first, *await source.fetch_more(8)]
    assert [delivery.subject[-6:] for delivery in deliveries] == [f"many-{number}" for number in range(6)]
    for delivery in deliveries:
        await delivery.acknowledge()
