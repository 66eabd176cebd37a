"""The audit: every act on a job is an entry, whatever becomes of its record, and nobody writes over one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from nats.js.errors import NoStreamResponseError

from contracts import names
from contracts.codes import Failure
from contracts.records import CommandRecord, Outcome, StepRecord, encode_record
from gateway.audit.refusals import FLUSH_SECONDS
from gateway.keys import make_key
from tests.support.eventually import eventually
from tests.support.gateways import (
    LATER,
    NOW,
    Gateway,
    ManualHandler,
    manual_handler,
    new_record,
    running_gateway,
    succeeded_record,
)
from tests.support.servers import NatsServer, nats_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

READER, READER_LINE = make_key("reader", "read")
OLD, OLD_LINE = make_key("retired", "")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "keys").write_text(f"{READER_LINE}\n{OLD_LINE}:2020-01-01\n")
    async with running_gateway(server.url, folder, ADMIN_API_KEYS_FILE=str(folder / "keys")) as running:
        yield running


async def entries(gateway: Gateway, count: int, **filters: str) -> list[dict[str, Any]]:
    """The server copies a record a moment after it is written."""
    found: list[dict[str, Any]] = []

    async def look() -> bool:
        answer = await gateway.api.get("/audit", params=filters)
        assert answer.status_code == 200, answer.text
        found[:] = answer.json()["entries"]
        return len(found) >= count

    await eventually(look, lambda: f"{count} entries for {filters}: {found}")
    return found


async def test_a_job_is_told_with_all_that_was_asked_for(gateway: Gateway, manual: ManualHandler) -> None:
    """Who submitted, cancelled and retried, when, what each run did with which commands, and how it ended."""
    job_id = await gateway.submit({"X-Request-Id": "ticket-7"}, username="tess", correlation="order 7")
    for act, ticket in (("cancel", "ticket-8"), ("retry", "ticket-9")):
        answer = await gateway.api.post(f"/jobs/{job_id}/{act}", headers={"X-Request-Id": ticket})
        assert answer.status_code == 202
    record = (await manual.read(job_id)).claimed("me", NOW)
    commands = (
        CommandRecord("everestctl accounts list", 0),
        CommandRecord("everestctl accounts create -p ********", 0),
    )
    step = StepRecord("create_account", NOW, LATER, Outcome.CREATED, commands[1].command, 0, commands=commands)
    await manual.write(record.started("create_account", NOW).finished(step, LATER).succeeded("All is well.", LATER))
    retry, cancel, submit = await entries(gateway, 3, username="tess")
    assert [(entry["action"], entry["outcome"], entry["caller"]) for entry in (retry, cancel, submit)] == [
        ("retry", "succeeded", "admin"),
        ("cancel", "cancelled", "admin"),
        ("submit", "failed", "admin"),
    ]
    assert {entry["job_id"] for entry in (retry, cancel, submit)} == {job_id}
    assert [entry["request_id"] for entry in (submit, cancel, retry)] == ["ticket-7", "ticket-8", "ticket-9"]
    assert (submit["code"], submit["run"]) == ("cancelled", 1)
    assert submit["at"] <= cancel["at"] <= retry["at"]
    assert (retry["run"], retry["namespace"], retry["kind"]) == (2, "tess", "bootstrap")
    assert (retry["inputs"]["username"], retry["correlation"]) == ("tess", "order 7")
    assert retry["steps"][0]["commands"] == [{"command": ran.command, "exit_code": 0} for ran in commands]


async def test_a_renewal_is_no_entry_and_a_forgotten_record_keeps_its_own(
    gateway: Gateway, manual: ManualHandler
) -> None:
    """However often a record is written, it leaves one message; the record's time to live is not the entry's."""
    record = replace(new_record("renewed"), job_id="renewed").claimed("me", NOW)
    for _ in range(50):
        await manual.write(record)
    subject = f"$KV.{names.JOBS_BUCKET}.renewed"
    await manual.jetstream.publish(subject, encode_record(succeeded_record(record)), headers={"Nats-TTL": "1s"})
    (entry,) = await entries(gateway, 1, username="renewed")
    held = await manual.jetstream.stream_info(names.AUDIT_STREAM, subjects_filter=names.audited_subject("renewed"))
    assert held.state.subjects == {names.audited_subject("renewed"): 1}
    await gateway.wait_until("/jobs/renewed", 404)
    assert await entries(gateway, 1, username="renewed") == [{**entry, "outcome": "succeeded"}]


async def test_nobody_publishes_over_an_entry(manual: ManualHandler) -> None:
    """Not even who may do everything: no stream takes what bears an entry's subject."""
    with pytest.raises(NoStreamResponseError):
        await manual.jetstream.publish(names.audited_subject("renewed"), b"{}")


async def test_filters_and_pages(gateway: Gateway, manual: ManualHandler) -> None:
    """Newest first, each entry once; lines of JSON hold the same, all at once."""
    for number in range(5):
        caller = f"portal-{number % 2}"
        record = replace(new_record("paged"), job_id=f"paged-{number}", caller=caller)
        await manual.write(record.failed(Failure("forbidden", "no"), LATER))
    every = await entries(gateway, 5, username="paged")
    assert [entry["job_id"] for entry in every] == [f"paged-{number}" for number in reversed(range(5))]
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await gateway.api.get("/audit", params={"username": "paged", "limit": "2", **cursor})).json()
        seen += page["entries"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == every
    assert [entry["job_id"] for entry in await entries(gateway, 2, username="paged", caller="portal-1")] == [
        "paged-3",
        "paged-1",
    ]
    answer = await gateway.api.get("/audit", params={"username": "paged"}, headers={"Accept": "application/x-ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [orjson.loads(line) for line in answer.text.splitlines()] == every
    for moment, count in (({"since": LATER}, 5), ({"since": "2026-02-01"}, 0), ({"until": "2025-01-01"}, 0)):
        answer = await gateway.api.get("/audit", params={"username": "paged", **moment})
        assert len(answer.json()["entries"]) == count, moment


async def test_what_comes_while_a_page_is_read_is_newest_first_too(gateway: Gateway, manual: ManualHandler) -> None:
    async def write() -> None:
        for number in range(200):
            record = replace(new_record("growing"), job_id=f"growing-{number:03}")
            await manual.write(record.failed(Failure("forbidden", "no"), LATER))

    writing = asyncio.create_task(write())
    ids: list[str] = []
    while len(ids) < 200:
        page = (await gateway.api.get("/audit", params={"username": "growing", "limit": "200"})).json()
        ids = [entry["job_id"] for entry in page["entries"]]
        assert ids == sorted(set(ids), reverse=True)
    await writing


async def test_refused_keys_are_counted_never_listed_one_by_one(gateway: Gateway) -> None:
    """Of whoever tries a wrong key, of a key whose days are over, and of one that is not good for what it asks."""
    tries = [gateway.nobody.get("/jobs", headers={"X-Admin-Key": key}) for key in ("guess", "another", "third", OLD)]
    assert {answer.status_code for answer in await asyncio.gather(*tries)} == {401}
    for _ in range(2):
        answer = await gateway.nobody.post("/bootstrap/users", headers={"X-Admin-Key": READER}, json={})
        assert answer.status_code == 403

    told: dict[Any, int] = {}

    async def look() -> bool:
        nonlocal told
        found = (await gateway.api.get("/audit")).json()["entries"]
        told = {(one["caller"], one["code"]): one["count"] for one in found if one["action"] == "refused-key"}
        expected = {("unknown", "unauthorized"): 3, ("retired", "unauthorized"): 1, ("reader", "scope_missing"): 2}
        return told == expected

    await eventually(look, lambda: f"they are written within {FLUSH_SECONDS} seconds: {told}", limit_seconds=20)


async def test_reading_needs_a_key_that_reads(gateway: Gateway) -> None:
    assert (await gateway.nobody.get("/audit")).status_code == 401
    assert (await gateway.nobody.get("/audit", headers={"X-Admin-Key": READER})).status_code == 200
    ended_before = {"since": "2026-02-01", "until": "2026-01-31"}
    for wrong in ({"limit": "0"}, {"kind": "x"}, {"until": "soon"}, {"cursor": "x"}, {"caller": ""}, ended_before):
        assert (await gateway.api.get("/audit", params=wrong)).status_code == 400, wrong


async def test_a_killed_server_goes_on_copying(tmp_path: Path) -> None:
    """What was written while nobody copied is copied after the restart: nothing is skipped, nothing is twice."""
    async with nats_server(tmp_path, lease_seconds=60) as server, manual_handler(server) as own:
        for number in range(40):
            record = replace(new_record("kept"), job_id=f"kept-{number}")
            await own.write(record.failed(Failure("forbidden", "no"), LATER))
            if number == 20:
                await server.restart()
                await eventually(lambda: own.client.is_connected, "it is connected again")

        async def look() -> bool:
            state = (await own.jetstream.stream_info(names.AUDIT_STREAM)).state
            return state.messages == 40

        await eventually(look, "forty entries")
