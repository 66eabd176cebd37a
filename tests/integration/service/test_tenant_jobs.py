"""The verbs of a tenant as their callers meet them: by REST and NATS, at once, in a queue, killed on their way."""

import asyncio
import base64
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts import names
from handlers.tenants.accounts_file import proves
from tests.support.gateways import manual_handler
from tests.support.handlers import Service, open_service, start_handler
from tests.support.tenants import look_at, read_users


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with open_service(tmp_path, job_seconds=0.05) as opened:
        yield opened


async def read_password(service: Service, result: dict[str, Any]) -> str | None:
    """What the Secret of a result holds."""
    where = result["credentials_secret"]
    secret = await service.everest.get("secret", where["name"], "-n", where["namespace"])
    return base64.b64decode(secret["data"]["password"]).decode() if secret else None


async def opens(service: Service, password: str) -> bool:
    system = await service.everest.get("namespace", "everest-system")
    return proves(await read_users(service.everest), system["metadata"]["uid"], "alice", password)


async def test_a_tenants_verbs_over_rest_and_nats(service: Service) -> None:
    """Refused at once where a handler can tell; two at once one after the other; what waits meets what they leave."""
    api = service.gateway.api
    async with service.handler(), manual_handler(service.server) as manual:
        await service.have_tenant(username="alice")
        before = await look_at(service.everest, "alice")
        for path, body, status, code in (
            ("/tenants/nobody_here/suspend", None, 404, "tenant_not_found"),
            ("/tenants/nobody_here/manager", {"caller": "billing"}, 404, "tenant_not_found"),
            ("/tenants/alice/suspend?pause_databases=perhaps", None, 400, "bad_parameter"),
            ("/tenants/alice/resume", {"username": "alice"}, 400, "bad_parameter"),
            ("/tenants/alice/manager", {}, 422, "validation_failed"),
            ("/tenants/alice/manager", {"caller": "a caller"}, 422, "validation_failed"),
            ("/tenants/alice/manager", {"caller": "billing", "username": "bob"}, 422, "validation_failed"),
        ):
            answer = await api.post(path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text

        accepted = await asyncio.gather(*(api.post("/tenants/alice/password") for _ in range(2)))
        results = [await service.wait_until_finished(answer.json()["job_id"]) for answer in accepted]
        assert [result["overall_status"] for result in results] == ["succeeded"] * 2
        held = [password for result in results if (password := await read_password(service, result))]
        assert len(held) == 1, "the other one's Secret is gone: its password opens nothing any more"
        assert await opens(service, held[0])

        await service.everest.set_faults(only="settings rbac validate", slow_seconds=3, times=1)
        await manual.jetstream.publish(names.job_subject("suspend", "order-1"), b'{"username":"alice"}')
        await service.wait_for_job("order-1", lambda job: job["status"] == "running")
        waiting = await service.gateway.submit(username="alice", role="owner")
        assert (await service.wait_until_finished("order-1"))["summary"].startswith("Tenant alice is suspended")
        refused = await service.wait_until_finished(waiting)
        assert (refused["overall_status"], refused["reason"]) == ("failed", "tenant_suspended")
        tenant = (await api.get("/tenants/alice")).json()["data"]
        assert (tenant["suspended"], tenant["account"]["enabled"], tenant["differences"]) == (True, False, [])

        answer = await api.post("/tenants/alice/resume", headers={"Prefer": "wait=60"})
        assert answer.json()["status"] == "succeeded", answer.text
        after = await look_at(service.everest, "alice")
        assert (after.policy, after.is_enabled) == (before.policy, True)
        answer = await api.post(f"/jobs/{waiting}/retry", headers={"Prefer": "wait=60"})
        assert answer.json()["status"] == "succeeded", "what was refused can be taken up again"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("suspend", ("settings", "rbac")),
        ("resume", ("settings", "rbac")),
        ("password", ("accounts", "set-password")),
    ],
)
async def test_a_handler_that_is_killed_in_the_middle_is_followed_by_another(
    service: Service, kind: str, words: tuple[str, ...]
) -> None:
    """By SIGKILL, while its command runs; the next one goes on from the record."""
    async with service.handler():
        await service.have_tenant(username="alice")
        before = await look_at(service.everest, "alice")
        if kind == "resume":
            await service.gateway.api.post("/tenants/alice/suspend", headers={"Prefer": "wait=60"})
            assert (await look_at(service.everest, "alice")).is_suspended == {True}
    await service.everest.set_faults(only=" ".join(words), slow_seconds=30, times=1)
    earlier = len(await service.runs_of(*words))
    dying = await start_handler(service.server.url, service.everest, service.folder)
    async with manual_handler(service.server) as manual:  # a gateway would ask for a plan first, which runs it too
        await manual.jetstream.publish(names.job_subject(kind, job_id := f"killed-{kind}"), b'{"username":"alice"}')
    await service.wait_for_run(*words, count=earlier + 1)
    await dying.stop(signal.SIGKILL)
    await service.everest.set_faults()
    async with service.handler():
        result = await service.wait_until_finished(job_id)
    assert result["overall_status"] == "succeeded", result
    assert (await service.job(job_id))["losses"] == 1
    state = await look_at(service.everest, "alice")
    if kind == "suspend":
        assert (state.is_enabled, state.is_suspended) == (False, {True})
    elif kind == "resume":
        assert (state.policy, state.is_enabled, state.is_suspended) == (before.policy, True, {False})
    else:
        assert await opens(service, await read_password(service, result) or "")
        assert state.specs["alice"]["credentials"] == [job_id]


@pytest.mark.slow
async def test_a_handler_that_is_killed_at_a_handover_is_followed_by_another(service: Service) -> None:
    """By SIGKILL, while it waits for a cluster that is away; no everestctl runs for this kind."""
    async with service.handler():
        await service.have_tenant(username="alice")
    await service.everest.set_faults(unreachable=True)
    dying = await start_handler(service.server.url, service.everest, service.folder)
    async with manual_handler(service.server) as manual:
        request = b'{"username":"alice","caller":"billing"}'
        await manual.jetstream.publish(names.job_subject("handover", job_id := "killed-handover"), request)
    await service.wait_for_job(job_id, lambda job: job.get("reason") == "cluster_unreachable")
    await dying.stop(signal.SIGKILL)
    await service.everest.set_faults(unreachable=False)
    async with service.handler():
        result = await service.wait_until_finished(job_id)
    assert result["overall_status"] == "succeeded", result
    assert (await service.job(job_id))["losses"] == 1
    wanted = (await look_at(service.everest, "alice")).specs["alice"]["wanted"]
    assert (wanted["managed_by"], wanted["account_created"]) == ("billing", True)
