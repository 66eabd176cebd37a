"""The end of a tenant as its callers meet it: by REST and NATS, refused at once, waited for, killed on its way."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts import names
from tests.support.gateways import helping_hand
from tests.support.handlers import House, open_house, start_handler

ALL_GONE = ["unchanged", "removed", "removed", "removed", "removed"]


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, job_seconds=0.05) as opened:
        yield opened


async def put_claim(house: House, namespace: str) -> None:
    metadata = {"name": "files", "namespace": namespace}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
    await house.everest.create(claim)


async def test_a_tenants_end_over_rest(house: House) -> None:
    """Refused at once where a handler can tell; accepted once for a key; the next tenant of the name starts anew."""
    api = house.gateway.api
    async with house.handler():
        await house.have_tenant(username="alice")
        first = (await house.everest.get("ns", "alice"))["metadata"]["uid"]
        for path, status, code in (
            ("/tenants/nobody_here", 404, "tenant_not_found"),
            ("/tenants/alice/namespaces/other", 404, "tenant_not_found"),
            ("/tenants/alice/namespaces/alice?confirm=alcie", 422, "validation_failed"),
            ("/tenants/alice?delete_databases=yes", 400, "bad_parameter"),
            ("/tenants/alice?namespace=alice", 400, "bad_parameter"),
        ):
            answer = await api.delete(path)
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        await put_claim(house, "alice")
        answer = await api.delete("/tenants/alice")
        assert (answer.status_code, answer.json()["code"]) == (409, "databases_left")
        assert "PersistentVolumeClaim/files" in answer.json()["detail"]
        planned = (await api.delete("/tenants/alice", params={"dry_run": "true"})).json()
        assert (planned["would"], planned["steps"][0]["outcome"]) == ("fail", "refused: databases_left")
        assert (await api.get("/jobs", params={"kind": "offboard"})).json()["jobs"] == []
        planned = (await api.delete("/tenants/alice?delete_databases=true&confirm=alice&dry_run=true")).json()
        assert [step["outcome"] for step in planned["steps"]] == ["unchanged", *["would remove"] * 4]
        asked = "/tenants/alice?delete_databases=true&confirm=alice"
        await house.everest.set_faults(only="settings rbac validate", slow_seconds=3, times=1)
        accepted = await api.delete(asked, headers={"Idempotency-Key": "the-end"})
        assert accepted.status_code == 202
        job_id = accepted.json()["job_id"]
        await house.wait_for_job(job_id, lambda job: job["status"] == "running")
        again = await house.gateway.submit(username="alice")
        result = await house.wait_until_finished(job_id)
        assert [step["outcome"] for step in result["steps"]] == ALL_GONE, result
        assert result["summary"] == "Tenant alice: access revoked; namespace alice removed; account removed."
        repeated = await api.delete(asked, headers={"Idempotency-Key": "the-end"})
        assert (repeated.status_code, repeated.json()["job_id"]) == (202, job_id)
        made = await house.wait_until_finished(again)
        assert [step["outcome"] for step in made["steps"]][:2] == ["created", "created"]
        assert (await house.everest.get("ns", "alice"))["metadata"]["uid"] != first
    (listed,) = (await api.get("/jobs", params={"kind": "offboard"})).json()["jobs"]
    assert (listed["username"], listed["status"]) == ("alice", "succeeded")


async def test_without_a_handler_it_is_accepted(house: House) -> None:
    """Nobody can tell in time: then the job's failure does. Over NATS it always does."""
    accepted = await house.gateway.api.delete("/tenants/nobody_here")
    assert accepted.status_code == 202, accepted.text
    async with helping_hand(house.server) as hand, house.handler():
        await hand.jetstream.publish(names.job_subject("offboard", "order-1"), b'{"username":"nobody_here"}')
        for job_id in (accepted.json()["job_id"], "order-1"):
            result = await house.wait_until_finished(job_id)
            assert (result["overall_status"], result["reason"]) == ("failed", "tenant_not_found")


@pytest.mark.slow
@pytest.mark.parametrize("words", [("settings", "rbac"), ("namespaces", "remove")])
async def test_a_handler_that_is_killed_in_the_middle_is_followed_by_another(
    house: House, words: tuple[str, ...]
) -> None:
    """The next one goes on from the record; no right and no database's namespace is left half gone."""
    async with house.handler():
        await house.have_tenant(username="alice", operators={"postgresql": True})
    await house.everest.set_faults(only=" ".join(words), slow_seconds=30, times=1)
    earlier = len(await house.runs_of(*words))
    dying = await start_handler(house.server.url, house.everest, house.folder)
    job_id = (await house.gateway.api.delete("/tenants/alice")).json()["job_id"]
    await house.wait_for_run(*words, count=earlier + 1)
    await dying.stop(signal.SIGKILL)
    await house.everest.set_faults()
    async with house.handler():
        result = await house.wait_until_finished(job_id)
    assert result["overall_status"] == "succeeded", result
    assert await house.everest.get("ns", "alice") is None
    policy = (await house.everest.get("configmap", "everest-rbac", "-n", "everest-system"))["data"]["policy.csv"]
    assert "alice" not in policy
    assert (await house.job(job_id))["losses"] == 1
