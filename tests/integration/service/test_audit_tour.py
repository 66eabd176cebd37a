"""The audit after a tour of everything that can be done: who, what, when, with which commands, and what came of it."""

import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
import pytest_asyncio

from contracts import names
from gateway.keys import make_key
from tests.simulator import simulated_everest
from tests.support.ends import SECRET, declare_webhook
from tests.support.eventually import eventually
from tests.support.gateways import KEY, manual_handler, running_gateway
from tests.support.handlers import LEASE_SECONDS, Service
from tests.support.peers.receivers import receiving
from tests.support.servers import LIMIT_SECONDS, ROOT, nats_server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PORTAL, PORTAL_LINE = make_key("portal", "admin")
TENANT = "tess"
_GONE = 410


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """With a named key, one handler, and a webhook whose receiver wants nothing."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "keys").write_text(f"{PORTAL_LINE}\n")
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving(lambda _: _GONE))
        server = await stack.enter_async_context(nats_server(folder, lease_seconds=LEASE_SECONDS))
        everest = await stack.enter_async_context(simulated_everest(folder / "everest", job_seconds=0.1))
        gateway = await stack.enter_async_context(
            running_gateway(
                server.url,
                folder,
                ADMIN_API_KEYS_FILE=str(folder / "keys"),
                WEBHOOKS_FILE=str(declare_webhook(folder, "deaf", receiver)),
            )
        )
        gateway.api.headers["X-Admin-Key"] = PORTAL
        opened = Service(server, everest, gateway, folder)
        await stack.enter_async_context(opened.handler())
        yield opened


async def do(service: Service, method: str, path: str, body: dict[str, Any] | None = None) -> str:
    """The job, once it has ended; its request has an id that says what was asked."""
    headers = {
        "X-Request-Id": f"tour-{method}-{path.strip('/').replace('/', '-')}".partition("?")[0],
        "Prefer": "wait=60",
    }
    answer = await service.gateway.api.request(method, path, json=body, headers=headers)
    assert answer.status_code in (200, 202), answer.text
    job_id = str(answer.json()["job_id"])
    assert (await service.wait_until_finished(job_id))["overall_status"] == "succeeded"
    return job_id


async def do_everything(service: Service) -> str:
    """Every kind once, and the first twice; gives the last job of it."""
    await do(service, "POST", "/bootstrap/users", {"username": TENANT, "operators": {"postgresql": True}})
    await do(
        service, "POST", "/bootstrap/users", {"username": TENANT, "operators": {"postgresql": True}, "role": "owner"}
    )
    await do(service, "POST", f"/tenants/{TENANT}/namespaces/{TENANT}/repair")
    await do(service, "POST", f"/tenants/{TENANT}/suspend")
    await do(service, "POST", f"/tenants/{TENANT}/resume")
    await do(service, "POST", f"/tenants/{TENANT}/password")
    return await do(service, "POST", f"/tenants/{TENANT}/manager", {"caller": "portal"})


async def cancel_and_retry(service: Service) -> None:
    await service.everest.set_faults(only="accounts create", holds="race")
    job_id = await service.gateway.submit(username="carl")
    await service.everest.wait_until_held("accounts", "create")
    headers = {"X-Request-Id": "tour-cancel"}
    assert (await service.gateway.api.post(f"/jobs/{job_id}/cancel", headers=headers)).status_code == 202
    await service.everest.set_faults()
    assert (await service.wait_until_finished(job_id))["reason"] == "cancelled"
    await do(service, "POST", f"/jobs/{job_id}/retry")


async def bury_and_put_back(service: Service, job_id: str) -> None:
    """A message under the id of another request has no record; an operator tries it once more."""
    async with manual_handler(service.server) as manual:
        await manual.jetstream.publish(names.job_subject("bootstrap", job_id), b'{"username": "somebody"}')

        async def is_buried() -> bool:
            return bool((await manual.jetstream.stream_info(names.DEAD_STREAM)).state.messages)

        await eventually(is_buried, "it is a dead letter")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "dead-letters", "put-back", "1"),
        cwd=ROOT,
        env={**os.environ, "NATS_URL": service.server.url},
    )
    assert await asyncio.wait_for(process.wait(), LIMIT_SECONDS) == 0


async def read_passwords(service: Service) -> list[str]:
    secrets = await service.everest.get("secret", "-n", "everest-system")
    texts = [one["data"]["password"] for one in secrets["items"] if "password" in (one.get("data") or {})]
    return [base64.b64decode(text).decode() for text in texts]


def show(entry: dict[str, Any]) -> str:
    commands = sum(len(step["commands"]) for step in entry.get("steps", []))
    about = " ".join(str(entry[name]) for name in ("kind", "username") if entry[name])
    more = [f"{name}={entry[name]}" for name in ("code", "changed", "request_id", "count", "webhook") if name in entry]
    words = (entry["at"], entry["caller"], entry["action"], about, entry["outcome"], f"commands={commands}", *more)
    return "  ".join(filter(None, words))


async def test_the_audit_tells_all_of_a_tour(service: Service) -> None:
    """Every kind and every act; each with who, which request, what, how it ended and by which commands; no secret."""
    last = await do_everything(service)
    await cancel_and_retry(service)
    await bury_and_put_back(service, last)
    assert (await service.gateway.nobody.get("/jobs", headers={"X-Admin-Key": "guessed"})).status_code == 401
    passwords = await read_passwords(service)
    await do(service, "DELETE", f"/tenants/{TENANT}/namespaces/{TENANT}")
    found: list[dict[str, Any]] = []
    acts = {"submit", "retry", "cancel", "put-back", "refused-key", "webhook-given-up"}

    async def look() -> bool:
        answer = await service.gateway.api.get("/audit", headers={"Accept": "application/x-ndjson"})
        found[:] = [orjson.loads(line) for line in answer.text.splitlines()]
        told = {entry["action"] for entry in found}
        return told == acts and not [entry for entry in found if entry["outcome"] in ("queued", "running")]

    await eventually(look, lambda: f"all is told: {[show(entry) for entry in found]}")
    print("\n".join(map(show, found)))
    submits = [entry for entry in reversed(found) if entry["action"] == "submit"]
    of_tenant = [entry for entry in submits if entry["username"] == TENANT]
    assert [(entry["kind"], entry.get("changed", [])[:3]) for entry in of_tenant[1:]] == [
        ("bootstrap", ["role"]),
        ("repair", []),
        ("suspend", ["suspended"]),
        ("resume", ["suspended"]),
        ("password", ["password"]),
        ("handover", []),  # to whom manages it already
        ("offboard", []),
    ]
    assert {"role", "subjects", "resources.ram_mb"} <= set(of_tenant[0]["changed"]), "all of a claim that is new"
    for entry in of_tenant:
        assert (entry["caller"], entry["outcome"]) == ("portal", "succeeded")
        assert entry["request_id"].startswith("tour-")
        assert entry["inputs"]["username"] == TENANT
        assert entry["finished_at"] >= entry["at"]
        assert any(step["commands"] for step in entry["steps"])
    by_act = {action: [entry for entry in found if entry["action"] == action] for action in acts}
    (cancel,), (retry,), (put_back,) = by_act["cancel"], by_act["retry"], by_act["put-back"]
    assert (cancel["caller"], cancel["username"], cancel["outcome"]) == ("portal", "carl", "cancelled")
    assert (retry["run"], retry["outcome"], retry["caller"]) == (2, "succeeded", "portal")
    assert retry["request_id"].startswith("tour-POST-jobs-")
    assert cancel["request_id"] == "tour-cancel", "the handler that ended the run knows who asked"
    (first,) = (entry for entry in submits if entry["username"] == "carl")
    assert (first["outcome"], first["code"]) == ("failed", "cancelled")
    assert (put_back["outcome"], put_back["job_id"]) == ("done", last)
    (refused,) = by_act["refused-key"]
    assert (refused["caller"], refused["code"], refused["count"]) == ("unknown", "unauthorized", 1)
    given_up = {entry["job_id"] for entry in by_act["webhook-given-up"] if entry["username"]}
    assert {entry["job_id"] for entry in of_tenant} <= given_up
    text = orjson.dumps(found).decode()
    assert passwords
    for secret in (*passwords, SECRET, PORTAL, KEY, "guessed"):
        assert secret not in text


async def test_one_kind_and_one_caller_can_be_asked_for(service: Service) -> None:
    for kind in names.JOB_KINDS:
        entries = (await service.gateway.api.get("/audit", params={"kind": kind, "caller": "portal"})).json()["entries"]
        assert {entry["kind"] for entry in entries} == {kind}
