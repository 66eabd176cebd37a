"""The end of a tenant as its callers meet it: by REST and NATS, refused at once, waited for, killed on its way."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts import names
from tests.support.gateways import manual_handler
from tests.support.handlers import Service, open_service, start_handler

ALL_GONE = ["unchanged", "removed", "removed", "removed", "removed"]


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with open_service(tmp_path, job_seconds=0.05) as opened:
        yield opened


async def put_claim(service: Service, namespace: str) -> None:
    metadata = {"name": "files", "namespace": namespace}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
    await service.everest.create(claim)


async def test_a_tenants_end_over_rest(service: Service) -> None:
    """Refused at once where a handler can tell; accepted once for a key; the next tenant of the name starts anew."""
    api = service.gateway.api
    async with service.handler():
        await service.have_tenant(username="alice")
        first = (await service.everest.get("ns", "alice"))["metadata"]["uid"]
        for path, status, code in (
            ("/tenants/nobody_here", 404, "tenant_not_found"),
            ("/tenants/alice/namespaces/other", 404, "tenant_not_found"),
            ("/tenants/alice/namespaces/alice?confirm=alcie", 422, "validation_failed"),
            ("/tenants/alice?delete_databases=yes", 400, "bad_parameter"),
            ("/tenants/alice?namespace=alice", 400, "bad_parameter"),
        ):
            answer = await api.delete(path)
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        await put_claim(service, "alice")
        answer = await api.delete("/tenants/alice")
        assert (answer.status_code, answer.json()["code"]) == (409, "databases_left")
        assert "PersistentVolumeClaim/files" in answer.json()["detail"]
        planned = (await api.delete("/tenants/alice", params={"dry_run": "true"})).json()
        assert (planned["would"], planned["steps"][0]["outcome"]) == ("fail", "refused: databases_left")
        assert (await api.get("/jobs", params={"kind": "offboard"})).json()["jobs"] == []
        planned = (await api.delete("/tenants/alice?delete_databases=true&confirm=alice&dry_run=true")).json()
        assert [step["outcome"] for step in planned["steps"]] == ["unchanged", *["would remove"] * 4]
        asked = "/tenants/alice?delete_databases=true&confirm=alice"
        await service.everest.set_faults(only="settings rbac validate", slow_seconds=3, times=1)
        accepted = await api.delete(asked, headers={"Idempotency-Key": "the-end"})
        assert accepted.status_code == 202
        job_id = accepted.json()["job_id"]
        await service.wait_for_job(job_id, lambda job: job["status"] == "running")
        again = await service.gateway.submit(username="alice")
        result = await service.wait_until_finished(job_id)
        assert [step["outcome"] for step in result["steps"]] == ALL_GONE, result
        assert result["summary"] == "Tenant alice: access revoked; namespace alice removed; account removed."
        repeated = await api.delete(asked, headers={"Idempotency-Key": "the-end"})
        assert (repeated.status_code, repeated.json()["job_id"]) == (202, job_id)
        made = await service.wait_until_finished(again)
        assert [step["outcome"] for step in made["steps"]][:2] == ["created", "created"]
        assert (await service.everest.get("ns", "alice"))["metadata"]["uid"] != first
    (listed,) = (await api.get("/jobs", params={"kind": "offboard"})).json()["jobs"]
    assert (listed["username"], listed["status"]) == ("alice", "succeeded")


async def test_without_a_handler_it_is_accepted(service: Service) -> None:
    """Nobody can tell in time: then the job's failure does. Over NATS it always does."""
    accepted = await service.gateway.api.delete("/tenants/nobody_here")
    assert accepted.status_code == 202, accepted.text
    async with manual_handler(service.server) as manual, service.handler():
        await manual.jetstream.publish(names.job_subject("offboard", "order-1"), b'{"username":"nobody_here"}')
        for job_id in (accepted.json()["job_id"], "order-1"):
            result = await service.wait_until_finished(job_id)
            assert (result["overall_status"], result["reason"]) == ("failed", "tenant_not_found")


@pytest.mark.slow
@pytest.mark.parametrize("words", [("settings", "rbac"), ("namespaces", "remove")])
async def test_a_handler_that_is_killed_in_the_middle_is_followed_by_another(
    service: Service, words: tuple[str, ...]
) -> None:
    """The next one goes on from the record; no right and no database's namespace is left half gone."""
    async with service.handler():
        await service.have_tenant(username="alice", operators={"postgresql": True})
    await service.everest.set_faults(only=" ".join(words), slow_seconds=30, times=1)
    earlier = len(await service.runs_of(*words))
    dying = await start_handler(service.server.url, service.everest, service.folder)
    job_id = (await service.gateway.api.delete("/tenants/alice")).json()["job_id"]
    await service.wait_for_run(*words, count=earlier + 1)
    await dying.stop(signal.SIGKILL)
    await service.everest.set_faults()
    async with service.handler():
        result = await service.wait_until_finished(job_id)
    assert result["overall_status"] == "succeeded", result
    assert await service.everest.get("ns", "alice") is None
    policy = (await service.everest.get("configmap", "everest-rbac", "-n", "everest-system"))["data"]["policy.csv"]
    assert "alice" not in policy
    assert (await service.job(job_id))["losses"] == 1
