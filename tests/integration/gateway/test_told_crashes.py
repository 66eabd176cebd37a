"""kill -9 of a gateway at each point between record, event, delivery and audit: what ended is told, and as one end."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from contracts import names
from contracts.records import JobRecord, Status
from contracts.reporting.webhooks import webhook_id
from tests.support.ends import declare_webhook, expect_taken, find_end, find_entries
from tests.support.eventually import eventually
from tests.support.gateways import Gateway, manual_handler, running_gateway
from tests.support.peers.proxy import Proxy, Publish, running_proxy
from tests.support.peers.receivers import Receiver, receiving
from tests.support.records import read_published
from tests.support.servers import LIMIT_SECONDS, NatsServer, nats_server

pytestmark = pytest.mark.asyncio
_GONE = 410  # a receiver that wants no more of it: it is given up at once


@dataclass(frozen=True, slots=True)
class Point:
    """A publish before or behind which a gateway dies, that cancels a job, or brings its end to a receiver.

    `status` is what the receiver answers.
    """

    name: str
    fits: Callable[[Publish], bool]
    sent: bool
    status: int = 200

    @property
    def username(self) -> str:
        return self.name.replace(" ", "_")


def _is_end(publish: Publish) -> bool:
    record: JobRecord | None = read_published(publish)
    return record is not None and record.is_finished


def _on(prefix: str, payload: bytes = b"") -> Callable[[Publish], bool]:
    return lambda publish: publish.subject.startswith(prefix) and publish.payload.startswith(payload)


def _is_taken(publish: Publish) -> bool:
    return publish.subject.startswith("$JS.ACK.EVEREST_EVENTS.") and publish.payload == b"+ACK"


_TOLD = _on(names.told_subject(""))
_ACT = _on("everest.v1.audit.acts.webhook-given-up.")
_TERM = _on("$JS.ACK.EVEREST_EVENTS.", b"+TERM")

CANCELS = (
    Point("before the end is written", _is_end, sent=False),
    Point("after the end is written", _is_end, sent=True),
    Point("before the end is told", _TOLD, sent=False),
    Point("after the end is told", _TOLD, sent=True),
)
DELIVERIES = (
    Point("before it is acknowledged", _is_taken, sent=False),
    Point("after it is acknowledged", _is_taken, sent=True),
    Point("before it is noted as given up", _ACT, sent=False, status=_GONE),
    Point("after it is noted as given up", _ACT, sent=True, status=_GONE),
    Point("before it is given up", _TERM, sent=False, status=_GONE),
    Point("after it is given up", _TERM, sent=True, status=_GONE),
)


@dataclass(frozen=True, slots=True)
class Doomed:
    """A gateway of its own behind a proxy; with a receiver where it is to bring something."""

    point: Point
    proxy: Proxy
    gateway: Gateway
    receiver: Receiver | None


@asynccontextmanager
async def doomed(server: NatsServer, folder: Path, point: Point) -> AsyncIterator[Doomed]:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(running_proxy(server))
        receiver, variables = None, {}
        if point in DELIVERIES:
            receiver = await stack.enter_async_context(receiving(lambda _: point.status))
            variables = {"WEBHOOKS_FILE": str(declare_webhook(folder, point.username, receiver))}
        gateway = await stack.enter_async_context(_gateway(proxy.url, folder, variables))
        yield Doomed(point, proxy, gateway, receiver)


def _gateway(url: str, folder: Path, variables: dict[str, str]) -> AbstractAsyncContextManager[Gateway]:
    return running_gateway(url, folder, **variables)  # type: ignore[arg-type]  # they are settings, all of them texts


async def cancel(gateway: Gateway, job_id: str) -> None:
    """As a caller does who hears nothing when the gateway dies."""
    with suppress(httpx.TransportError):
        await gateway.api.post(f"/jobs/{job_id}/cancel")


async def wait_for_webhook(server: NatsServer, point: Point) -> None:
    async with manual_handler(server) as manual:
        consumer = f"{names.WEBHOOK_CONSUMER_PREFIX}{point.username}"

        async def look() -> bool:
            info = await manual.jetstream.consumers_info(names.EVENTS_STREAM)
            return consumer in [one.name for one in info]

        await eventually(look, f"{consumer} is there")


@pytest.mark.parametrize(
    "points",
    [
        (DELIVERIES[0], CANCELS[1], CANCELS[2]),
        pytest.param((*DELIVERIES, CANCELS[0], CANCELS[3]), marks=pytest.mark.slow),  # ack_wait passes: half a minute
    ],
    ids=["between", "everywhere"],
)
async def test_a_gateway_dies_and_every_end_is_told_as_one(points: Sequence[Point], tmp_path: Path) -> None:
    """Another gateway lives on; the dead one comes back. Each end is an event, is brought as one, and an entry once."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(nats_server(tmp_path, lease_seconds=2))
        living = await stack.enter_async_context(running_gateway(server.url, tmp_path))
        victims = await asyncio.gather(*(stack.enter_async_context(doomed(server, tmp_path, one)) for one in points))
        for victim in victims:
            if victim.receiver:
                await wait_for_webhook(server, victim.point)
        ends: list[str] = []
        for victim in victims:
            job_id = await living.submit(username=victim.point.username, namespace="tenant")
            victim.proxy.stop_at(victim.point.fits, sent=victim.point.sent)
            cancelling = asyncio.create_task(cancel(living if victim.receiver else victim.gateway, job_id))
            await asyncio.wait_for(victim.proxy.wait_until_stopped(), LIMIT_SECONDS)
            await victim.gateway.stop(signal.SIGKILL)
            await cancelling
            await cancel(living, job_id)  # again, as who heard nothing does
            victim.proxy.stop_at(lambda _: False)
            if victim.receiver:
                await victim.gateway.start()
            ends.append(await find_end(server, job_id, Status.FAILED))
        for victim, end_id in zip(victims, ends, strict=True):
            await see_told(victim, living, end_id)


async def see_told(victim: Doomed, living: Gateway, end_id: str) -> None:
    name = victim.point.username
    if victim.receiver:
        await see_brought(victim.receiver, victim.point, end_id)
    entries = await find_entries(living, name)
    assert entries == [("cancel", "cancelled"), ("submit", "failed")], victim.point.name
    if victim.point.status == _GONE:
        await eventually(lambda: is_given_up_once(living, name, end_id), f"one entry says that it was given up: {name}")


async def see_brought(receiver: Receiver, point: Point, end_id: str) -> None:
    """Of what was given up nothing is taken; what was acknowledged does not come again."""
    if point.status != _GONE:
        await expect_taken(receiver, end_id)
    about_it = [one.body for one in receiver.brought if one.id == webhook_id(end_id)]
    assert len(set(about_it)) == 1, f"{point.name}: an id stands for one content"


async def is_given_up_once(gateway: Gateway, name: str, end_id: str) -> bool:
    entries = (await gateway.api.get("/audit")).json()["entries"]
    about = [(entry.get("webhook"), entry["job_id"]) for entry in entries]
    return about.count((name, end_id.partition(":")[0])) == 1
