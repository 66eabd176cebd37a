"""The reconciler: a record whose message is gone goes on or ends, whoever looks first."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from contracts import names
from contracts.codes import Failure
from contracts.records import JobRecord, Status, encode_record
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
from tests.support.servers import nats_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEASE_SECONDS = 1


@asynccontextmanager
async def two_gateways(folder: Path) -> AsyncIterator[tuple[Gateway, Gateway, ManualHandler]]:
    async with (
        nats_server(folder, lease_seconds=LEASE_SECONDS) as server,
        manual_handler(server) as manual,
        running_gateway(server.url, folder) as gateway,
        running_gateway(server.url, folder) as other,
    ):
        yield gateway, other, manual


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Gateway, Gateway, ManualHandler]]:
    """For those who count nothing: each has records of its own."""
    async with two_gateways(tmp_path_factory.mktemp("gateways")) as running:
        yield running


async def wait_for_message(manual: ManualHandler, record: JobRecord) -> None:
    await eventually(
        lambda: manual.count_messages(names.job_subject("bootstrap", record.job_id)), "it is published again"
    )


async def test_a_record_without_a_message_is_published_again(pair: tuple[Gateway, Gateway, ManualHandler]) -> None:
    """Queued (a retry that was cut off), held by a handler that is gone, handed back: once each, by two gateways."""
    gateway, _, manual = pair
    records = [
        new_record("queued"),
        new_record("held").claimed("gone", NOW),
        new_record("handedback").claimed("gone", NOW).handed_back(NOW),
    ]
    for record in records:
        await manual.write(record)
    for record in records:
        await wait_for_message(manual, record)
        assert await manual.count_messages(names.job_subject("bootstrap", record.job_id)) == 1
        healed = await manual.read(record.job_id)
        assert (healed.owner, healed.is_finished, healed.request_hash) == (None, False, record.request_hash)
    metrics = (await gateway.nobody.get("/metrics")).text
    assert 'everest_bootstrap_reconciler_findings_total{finding="requeued"}' in metrics


async def test_a_record_that_nobody_can_read_keeps_nobody_from_being_healed(
    pair: tuple[Gateway, Gateway, ManualHandler],
) -> None:
    """Whatever was written under a key before the others."""
    _, _, manual = pair
    for number, body in enumerate((b"\xff", b"[]", b"{}", b'{"status":"running"}', *_strange_records())):
        await manual.jetstream.publish(f"$KV.{names.JOBS_BUCKET}.strange-{number}", body)
    record = new_record("good")
    await manual.write(record)
    await wait_for_message(manual, record)


def _strange_records() -> list[bytes]:
    """Records with one member of another type each."""
    whole = orjson.loads(encode_record(new_record("strange").claimed("gone", NOW)))
    return [orjson.dumps(whole | {name: {"of": ["another type"]}}) for name in whole]


async def test_what_cannot_be_repeated_ends_as_lost(pair: tuple[Gateway, Gateway, ManualHandler]) -> None:
    """A request that is not kept, and a query nobody waits for any more."""
    gateway, _, manual = pair
    forgotten = replace(new_record(), request=None).claimed("gone", NOW)
    query = replace(new_record(), kind="accounts-list").claimed("gone", NOW)
    for record in (forgotten, query):
        await manual.write(record, bucket=names.JOBS_BUCKET)  # where version 0.1.0 has queries too
    for record in (forgotten, query):
        answer = await gateway.api.get(f"/jobs/{record.job_id}?wait=60")
        assert (answer.json()["status"], answer.json()["reason"]) == ("failed", "lost")


async def test_who_waits_for_a_tenant_that_is_free_is_woken(pair: tuple[Gateway, Gateway, ManualHandler]) -> None:
    """The handler that should have done it has died, or is an older one. Who waits behind goes on waiting."""
    gateway, _, manual = pair
    ended = succeeded_record(new_record("ended"))
    gone, first, second = (new_record("alice", id_).waiting("tenant_busy", NOW) for id_ in ("gone", "one", "two"))
    await manual.write(gone.failed(Failure("cancelled", "by admin"), NOW))
    for record in (ended, first, second):
        await manual.write(record)
    for record in (gone, first, second):
        await manual.jetstream.publish(names.waiting_subject("alice", record.job_id), b"")
    await manual.jetstream.publish(f"$KV.{names.TENANTS_BUCKET}.alice", ended.job_id.encode())
    await wait_for_message(manual, first)
    await asyncio.sleep(6 * LEASE_SECONDS)
    assert await manual.count_messages(names.job_subject("bootstrap", second.job_id)) == 0
    assert await manual.count_messages(names.job_subject("bootstrap", gone.job_id)) == 0
    assert (await manual.read(second.job_id)).is_waiting
    metrics = (await gateway.nobody.get("/metrics")).text
    assert 'everest_bootstrap_reconciler_findings_total{finding="woken"}' in metrics


async def test_a_record_that_nobody_can_read_keeps_no_tenant_waiting(
    pair: tuple[Gateway, Gateway, ManualHandler],
) -> None:
    """Of who has a tenant, and of who is first in its line: gateways ended by it. A later version's is its own."""
    gateway, other, manual = pair
    ended = succeeded_record(new_record("over"))
    await manual.write(ended)
    unreadable, later = b"\xff", b'{"version":99}'
    waiting = {name: new_record(name).waiting("tenant_busy", NOW) for name in ("held", "late", "behind")}
    lines = {"held": ("holder-1", unreadable), "late": ("holder-2", later), "behind": ("first-1", unreadable)}
    for tenant, (job_id, body) in lines.items():
        holder = ended.job_id if tenant == "behind" else job_id
        await manual.jetstream.publish(f"$KV.{names.JOBS_BUCKET}.{job_id}", body)
        if tenant == "behind":
            await manual.jetstream.publish(names.waiting_subject(tenant, job_id), b"")
        await manual.write(waiting[tenant])
        await manual.jetstream.publish(names.waiting_subject(tenant, waiting[tenant].job_id), b"")
        await manual.jetstream.publish(f"$KV.{names.TENANTS_BUCKET}.{tenant}", holder.encode())
    for tenant in ("held", "behind"):
        await wait_for_message(manual, waiting[tenant])
    assert await manual.count_messages(names.job_subject("bootstrap", waiting["late"].job_id)) == 0
    assert [(await one.nobody.get("/healthz")).status_code for one in (gateway, other)] == [200, 200]


async def test_an_end_that_a_killed_gateway_did_not_tell_is_told(pair: tuple[Gateway, Gateway, ManualHandler]) -> None:
    """It died between the record of a cancel and its event; no delivery would make that good."""
    one, other, manual = pair
    record = new_record("untold").failed(Failure("cancelled", "by admin"), NOW)
    headers = {"Nats-TTL": "600s", names.HEADER_ENDED_BY: "gateway"}
    subject = f"$KV.{names.JOBS_BUCKET}.{record.job_id}"
    revision = (await manual.jetstream.publish(subject, encode_record(record), headers=headers)).seq
    told = await eventually(partial(manual.find_event, record.job_id), "it is told")
    assert told.headers["ce-id"] == f"{record.job_id}:{revision}"

    async def is_counted() -> bool:
        found = 'everest_bootstrap_reconciler_findings_total{finding="untold"} 1.0'
        return found in "".join([(await gateway.nobody.get("/metrics")).text for gateway in (one, other)])

    await eventually(is_counted, "it is counted")


async def test_what_is_well_is_left_alone(pair: tuple[Gateway, Gateway, ManualHandler]) -> None:
    """A finished job, a queued one with its message, and a running one whose lease is renewed."""
    gateway, _, manual = pair
    finished = succeeded_record(new_record())
    revision = await manual.write(finished)
    waiting = new_record("waiting", await gateway.submit(username="waiting")).waiting("tenant_busy", NOW)
    await manual.write(waiting)
    renewed = new_record("renewed").claimed("me", NOW)
    lost = new_record("lost")
    await manual.write(lost)
    for turn in range(8 * LEASE_SECONDS):  # beyond two leases, and the reconciler's turn after them
        await manual.write(replace(renewed, write=str(turn)))
        await asyncio.sleep(0.5)
    await wait_for_message(manual, lost)
    subject = f"$KV.{names.JOBS_BUCKET}.{finished.job_id}"
    assert (await manual.jetstream.get_last_msg(f"KV_{names.JOBS_BUCKET}", subject)).seq == revision
    assert (await manual.read(renewed.job_id)).owner == "me"
    assert (await manual.read(waiting.job_id)).status is Status.QUEUED
    assert await manual.count_messages(names.job_subject("bootstrap", renewed.job_id)) == 0


async def test_a_message_that_nobody_takes_is_reported(tmp_path: Path) -> None:
    """The metrics tell of a queue that stands still, and how old its oldest job is."""
    async with two_gateways(tmp_path) as (gateway, _, manual):
        await gateway.submit()
        finished = f"svc.{uuid.uuid4().hex}"
        await manual.jetstream.publish(names.job_subject("bootstrap", finished), b'{"username":"bob"}')
        await manual.write(succeeded_record(new_record("bob", finished)))
        wanted = [
            'findings_total{finding="message_without_record"} 1.0',
            'findings_total{finding="finished_with_message"} 1.0',
            'jobs{kind="bootstrap",status="queued"} 2.0',
        ]

        async def read_metrics() -> str | None:
            text = (await gateway.nobody.get("/metrics")).text
            return text if all(part in text for part in wanted) else None

        metrics = await eventually(read_metrics, f"the metrics tell {wanted}")
        (age,) = [line for line in metrics.splitlines() if line.startswith("everest_bootstrap_oldest_queued_seconds")]
        assert float(age.split()[1]) > 1
