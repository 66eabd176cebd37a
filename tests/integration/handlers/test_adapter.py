"""The adapter before a real server, and the server in memory, behave alike: what the engine's tests rest on."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nats.js.errors import APIError

from contracts import names
from contracts.process.settings import NatsSettings
from handlers.jetstream import Conflict, connect
from tests.support.gateways import manual_handler
from tests.support.memory import Process, Server
from tests.support.servers import nats_server

ACK_WAIT_SECONDS = 2.0
FULL_SUBJECT = 10077  # maximum messages per subject exceeded
SUBJECT = names.job_subject("bootstrap", "j")


@dataclass(slots=True)
class Side:
    """One of the two: what a handler is given, and a publisher."""

    store: Any
    source: Any
    publish: Any

    async def delivery(self) -> Any:
        """The next one."""
        async with asyncio.timeout(20):
            while True:
                if delivery := await self.source.fetch():
                    return delivery


@pytest_asyncio.fixture(params=["memory", "nats"])
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Side]:
    if request.param == "memory":
        server = Server(ACK_WAIT_SECONDS)

        async def publish_here(subject: str, body: bytes) -> bool:
            await asyncio.sleep(0)
            return server.publish(subject, body)

        process = Process(server)
        yield Side(process, process, publish_here)
        return
    async with nats_server(tmp_path, lease_seconds=2 * ACK_WAIT_SECONDS) as nats, manual_handler(nats) as manual:

        async def publish_there(subject: str, body: bytes) -> bool:
            try:
                await manual.jetstream.publish(subject, body)
            except APIError as error:
                if error.err_code != FULL_SUBJECT:
                    raise
                return False
            return True

        jetstream = await connect(NatsSettings(nats_url=nats.url), "test", lambda: None)
        source = jetstream.source(names.JOBS_STREAM, names.BOOTSTRAP_CONSUMER)
        assert await source.bind() == ACK_WAIT_SECONDS
        yield Side(jetstream, source, publish_there)
        await jetstream.close()


async def test_a_bucket_is_written_by_compare_and_set(side: Side) -> None:
    jobs = side.store.jobs
    assert (await jobs.read("j")).value is None
    assert (await jobs.read("j")).revision == 0
    first = await jobs.write("j", b"1", last=0)
    with pytest.raises(Conflict):
        await jobs.write("j", b"2", last=0)
    second = await jobs.write("j", b"2", last=first, ttl_seconds=600)
    assert second > first
    entry = await jobs.read("j")
    assert (entry.value, entry.revision) == (b"2", second)
    with pytest.raises(Conflict):
        await jobs.write("j", b"3", last=first)
    # Revisions of one key are not moved by another's.
    await jobs.write("k", b"1", last=0)
    await jobs.write("j", b"3", last=second)


async def test_values_are_made_together_or_none_is(side: Side) -> None:
    jobs = side.store.jobs
    await jobs.create_together([("a", b"1"), ("b", b"2")], 10)
    with pytest.raises(Conflict):
        await jobs.create_together([("c", b"3"), ("b", b"4")], 10)
    assert [(await jobs.read(key)).value for key in "abc"] == [b"1", b"2", None]


async def test_a_subject_holds_one_message_until_it_is_acknowledged(side: Side) -> None:
    assert await side.publish(SUBJECT, b"1")
    assert not await side.publish(SUBJECT, b"2")
    assert await side.store.holds_message(names.JOBS_STREAM, SUBJECT)
    delivery = await side.delivery()
    assert (delivery.subject, delivery.body, delivery.delivered) == (SUBJECT, b"1", 1)
    assert await side.store.holds_message(names.JOBS_STREAM, SUBJECT)
    await delivery.acknowledge()
    assert not await side.store.holds_message(names.JOBS_STREAM, SUBJECT)
    assert await side.publish(SUBJECT, b"3")


async def test_what_is_not_answered_comes_again_after_ack_wait(side: Side) -> None:
    await side.publish(SUBJECT, b"1")
    loop = asyncio.get_running_loop()
    first = await side.delivery()
    begun = loop.time()
    again = await side.delivery()
    assert loop.time() - begun >= ACK_WAIT_SECONDS * 0.9
    assert (again.sequence, again.delivered) == (first.sequence, 2)


async def test_what_is_extended_comes_later(side: Side) -> None:
    await side.publish(SUBJECT, b"1")
    loop = asyncio.get_running_loop()
    delivery = await side.delivery()
    begun = loop.time()
    await asyncio.sleep(ACK_WAIT_SECONDS / 2)
    await delivery.extend()
    await side.delivery()
    assert loop.time() - begun >= ACK_WAIT_SECONDS * 1.4


@pytest.mark.parametrize("delay_seconds", [0, 1])
async def test_what_is_handed_back_comes_after_its_delay(side: Side, delay_seconds: float) -> None:
    await side.publish(SUBJECT, b"1")
    loop = asyncio.get_running_loop()
    delivery = await side.delivery()
    begun = loop.time()
    await delivery.hand_back(delay_seconds)
    assert (await side.delivery()).delivered == 2
    assert loop.time() - begun >= delay_seconds * 0.9


async def test_what_is_terminated_is_gone(side: Side) -> None:
    await side.publish(SUBJECT, b"1")
    await (await side.delivery()).terminate("invalid_request")
    async with asyncio.timeout(20):
        while not await side.publish(SUBJECT, b"2"):
            pass


async def test_more_is_fetched_without_waiting_for_it(side: Side) -> None:
    for number in range(5):
        await side.publish(f"{SUBJECT}-{number}", b"1")
    first = await side.delivery()
    more = await side.source.fetch_more(8)
    assert [delivery.subject for delivery in (first, *more)] == [f"{SUBJECT}-{number}" for number in range(5)]
    assert list(await side.source.fetch_more(8)) == []
    await side.publish(f"{SUBJECT}-5", b"1")
    assert (await side.delivery()).subject == f"{SUBJECT}-5"


async def test_a_line_keeps_the_order_in_which_places_were_taken(side: Side) -> None:
    line = side.store.line
    assert await line.first("alice") is None
    for tenant, job_id in (("alice", "b"), ("bob", "x"), ("alice", "caller.a"), ("alice", "b")):
        await line.join(tenant, job_id)
    first = await line.first("alice")
    assert (first.tenant, first.job_id) == ("alice", "b")
    behind = await line.first("alice", after=first.sequence)
    assert behind.job_id == "caller.a"
    assert await line.first("alice", after=behind.sequence) is None
    assert await line.read() == {"alice": {"b", "caller.a"}, "bob": {"x"}}
    await line.leave(first)
    await line.leave(first)  # what is gone is gone
    assert (await line.first("alice")).job_id == "caller.a"
    assert await line.read() == {"alice": {"caller.a"}, "bob": {"x"}}


async def test_places_are_taken_together_in_order(side: Side) -> None:
    """Who has one keeps it, and the others take theirs all the same."""
    line = side.store.line
    await line.join_together([("alice", "b"), ("bob", "x"), ("alice", "a")], 10)
    await line.join_together([("alice", "c"), ("alice", "b"), ("alice", "d")], 10)
    place, order = await line.first("alice"), []
    while place is not None:
        order.append(place.job_id)
        place = await line.first("alice", after=place.sequence)
    assert order == ["b", "a", "c", "d"]
