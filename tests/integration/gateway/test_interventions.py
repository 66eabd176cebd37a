"""Cancel and retry by a person."""

import asyncio
import uuid
from dataclasses import replace

import orjson
import pytest

from contracts import names
from contracts.cancels import decode_cancel
from contracts.codes import Failure
from contracts.records import Status
from tests.support.gateways import NOW, Gateway, ManualHandler, new_record, succeeded_record
from tests.support.servers import settle

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_queued_job_ends_at_once(gateway: Gateway, manual: ManualHandler) -> None:
    """Also one that has no record yet; the record says who, and goes with its retention."""
    job_id = await gateway.submit()
    answer = await gateway.api.post(f"/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["cancelled"]) == (202, "at once")
    job = (await gateway.api.get(f"/jobs/{job_id}")).json()
    assert (job["status"], job["reason"], job["caller"]) == ("failed", "cancelled", "admin")
    assert "admin" in job["summary"]
    subject = f"$KV.{names.JOBS_BUCKET}.{job_id}"
    message = await manual.jetstream.get_last_msg(f"KV_{names.JOBS_BUCKET}", subject)
    assert (message.headers or {})["Nats-TTL"] == "2592000s"


async def test_a_cancel_is_told_over_nats(gateway: Gateway, manual: ManualHandler) -> None:
    """The job of another service too, whose status request and events tell of it."""
    job_id = f"svc-a.{uuid.uuid4().hex}"
    await manual.jetstream.publish(names.job_subject("bootstrap", job_id), b'{"username":"bob"}')
    events = await manual.client.subscribe(names.event_subject(job_id))
    await settle(manual.client)
    assert (await gateway.api.post(f"/jobs/{job_id}/cancel")).status_code == 202
    event = orjson.loads((await events.next_msg(timeout=30)).data)
    assert (event["status"], event["reason"]) == ("failed", "cancelled")


async def test_a_running_job_is_marked(gateway: Gateway, manual: ManualHandler) -> None:
    """Its record is its owner's: the cancel is left beside it, for this run."""
    record = new_record().claimed("me", NOW)
    revision = await manual.write(record)
    answer = await gateway.api.post(f"/jobs/{record.job_id}/cancel")
    assert (answer.status_code, answer.json()["cancelled"]) == (202, "at the next safe point")
    message = await manual.jetstream.get_last_msg(
        f"KV_{names.CANCELS_BUCKET}", f"$KV.{names.CANCELS_BUCKET}.{record.job_id}"
    )
    mark = decode_cancel(message.data or b"")
    assert mark is not None
    assert mark.applies_to(record)
    untouched = await manual.jetstream.get_last_msg(
        f"KV_{names.JOBS_BUCKET}", f"$KV.{names.JOBS_BUCKET}.{record.job_id}"
    )
    assert untouched.seq == revision


async def test_a_job_that_was_handed_back_ends_at_once(gateway: Gateway, manual: ManualHandler) -> None:
    record = new_record().claimed("me", NOW).handed_back(NOW)
    await manual.write(record)
    answer = await gateway.api.post(f"/jobs/{record.job_id}/cancel")
    assert answer.json()["cancelled"] == "at once"
    assert (await manual.read(record.job_id)).status is Status.FAILED


async def test_a_finished_job_stays_as_it_is(gateway: Gateway, manual: ManualHandler) -> None:
    for record in (succeeded_record(new_record()), new_record().failed(Failure("forbidden", "no"), NOW)):
        await manual.write(record)
        answer = await gateway.api.post(f"/jobs/{record.job_id}/cancel")
        assert (answer.status_code, answer.json()["code"]) == (409, "job_finished")


async def test_a_cancel_races_with_a_claim(gateway: Gateway, manual: ManualHandler) -> None:
    """Whoever writes first wins; the loser never overwrites."""
    for _ in range(10):
        job_id = await gateway.submit()
        record = new_record(job_id=job_id).claimed("me", NOW)
        cancel = asyncio.create_task(gateway.api.post(f"/jobs/{job_id}/cancel"))
        try:
            await manual.jetstream.publish(
                f"$KV.{names.JOBS_BUCKET}.{job_id}",
                orjson.dumps(record),
                headers={"Nats-Expected-Last-Subject-Sequence": "0"},
            )
            claimed = True
        except Exception:
            claimed = False
        answer = (await cancel).json()
        assert answer["cancelled"] == ("at the next safe point" if claimed else "at once")
        assert (await manual.read(job_id)).status is (Status.RUNNING if claimed else Status.FAILED)


async def test_a_failed_job_goes_on(gateway: Gateway, manual: ManualHandler) -> None:
    """The same id, what succeeded kept, the history told, the request published again."""
    running = succeeded_record(new_record()).steps
    record = replace(new_record().claimed("me", NOW), steps=running).failed(Failure("quota_rejected", "no"), NOW)
    await manual.write(record)
    answer = await gateway.api.post(f"/jobs/{record.job_id}/retry")
    assert (answer.status_code, answer.json()["job_id"]) == (202, record.job_id)
    job = (await gateway.api.get(f"/jobs/{record.job_id}")).json()
    done = [step["name"] for step in job["steps"] if step["state"] == "finished"]
    assert (job["status"], job["finished_at"], done) == ("queued", None, [running[0].name])
    assert job["history"][0]["reason"] == "quota_rejected"
    message = await manual.jetstream.get_last_msg(names.JOBS_STREAM, names.job_subject("bootstrap", record.job_id))
    assert orjson.loads(message.data or b"")["username"] == "alice"
    kept = await manual.jetstream.get_last_msg(f"KV_{names.JOBS_BUCKET}", f"$KV.{names.JOBS_BUCKET}.{record.job_id}")
    assert "Nats-TTL" not in (kept.headers or {})


async def test_a_retry_from_the_start(gateway: Gateway, manual: ManualHandler) -> None:
    record = replace(new_record().claimed("me", NOW), steps=succeeded_record(new_record()).steps)
    await manual.write(record.failed(Failure("quota_rejected", "no"), NOW))
    assert (await gateway.api.post(f"/jobs/{record.job_id}/retry?from=start")).status_code == 202
    assert (await manual.read(record.job_id)).steps == ()


async def test_what_cannot_be_retried(gateway: Gateway, manual: ManualHandler) -> None:
    unreadable = replace(new_record(), request=None).failed(Failure("invalid_request", "no"), NOW)
    for record, code in (
        (succeeded_record(new_record()), "job_finished"),
        (new_record().claimed("me", NOW), "job_not_finished"),
        (new_record(), "job_not_finished"),
        (unreadable, "job_finished"),
    ):
        await manual.write(record)
        answer = await gateway.api.post(f"/jobs/{record.job_id}/retry")
        assert (answer.status_code, answer.json()["code"]) == (409, code)
    queued = await gateway.submit()
    assert (await gateway.api.post(f"/jobs/{queued}/retry")).json()["code"] == "job_not_finished"
    assert (await gateway.api.post("/jobs/nobody/retry")).json()["code"] == "job_not_found"
    assert (await gateway.api.post("/jobs/nobody/cancel")).json()["code"] == "job_not_found"
    assert (await gateway.api.post(f"/jobs/{queued}/retry?from=middle")).json()["code"] == "bad_parameter"


async def test_what_a_later_version_wrote_is_shown_and_left_alone(gateway: Gateway, manual: ManualHandler) -> None:
    """Its codes are shown as they are, alone and in the list; nobody here cancels or retries it."""
    failed = new_record("tomorrow").failed(Failure("from_tomorrow", "no"), NOW)
    for record in (replace(failed, version=2), replace(new_record("tomorrow"), version=2)):
        revision = await manual.write(record)
        job = (await gateway.api.get(f"/jobs/{record.job_id}")).json()
        assert (job["status"], job["reason"]) == (record.status.value, record.reason)
        listed = (await gateway.api.get("/jobs", params={"username": "tomorrow"})).json()["jobs"]
        assert job in listed
        action = "retry" if record.is_finished else "cancel"
        answer = await gateway.api.post(f"/jobs/{record.job_id}/{action}")
        assert answer.json()["code"] == "record_unreadable"
        stored = await manual.jetstream.get_last_msg(
            f"KV_{names.JOBS_BUCKET}", f"$KV.{names.JOBS_BUCKET}.{record.job_id}"
        )
        assert stored.seq == revision
