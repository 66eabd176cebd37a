"""Tenants declared, planned, listed and compared over REST, by a real handler."""

import json
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest
import pytest_asyncio

from contracts.schemas import make_schema
from tests.support.handlers import Service, open_service

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """With one handler for all of the module."""
    async with open_service(tmp_path_factory.mktemp("service"), lease_seconds=60) as opened, opened.handler():
        yield opened


async def declare(service: Service, username: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    """The job that a PUT has made, once it has ended."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()} | {"Prefer": "wait=60"}
    answer = await service.gateway.api.put(f"/tenants/{username}/namespaces/{username}", json=body, headers=sent)
    assert answer.status_code in (200, 202), answer.text
    return await service.wait_until_finished(answer.json()["job_id"])


async def read(service: Service, path: str, schema: str) -> dict[str, Any]:
    answer = await service.gateway.api.get(path)
    assert answer.status_code == 200, answer.text
    jsonschema.validate(answer.json(), make_schema(schema))
    return dict(answer.json())


async def observe(service: Service) -> tuple[dict[str, str], list[str]]:
    """Every object of the cluster that a repair may write, by uid with its version; and the ids of all jobs."""
    kinds = "namespaces,resourcequotas,limitranges,configmaps,secrets"
    found = [one["metadata"] for one in (await service.everest.get(kinds, "-A"))["items"]]
    jobs = (await service.gateway.api.get("/jobs", params={"limit": "200"})).json()["jobs"]
    return {one["uid"]: one["resourceVersion"] for one in found}, sorted(job["job_id"] for job in jobs)


async def plan_repairs(service: Service) -> dict[str, str]:
    """What a repair of all would do, by tenant. Nothing is queued for it, and nothing changed."""
    before = await observe(service)
    answer = await service.gateway.api.post("/tenants/repair", params={"dry_run": "true"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.text
    assert await observe(service) == before
    lines = [json.loads(line) for line in answer.text.splitlines()]
    for line in lines:
        jsonschema.validate(line, make_schema("tenant-plan"))
    return {line["username"]: line["plan"]["would"] for line in lines}


async def test_tenants_are_repaired_one_and_all(service: Service) -> None:
    """The plans are those of exactly the tenants that get a job, in the same order. First: each other costs plans."""
    api = service.gateway.api
    for name in ("mend_a", "mend_b", "sound"):
        await service.have_tenant(username=name, namespace=name.replace("_", "-"))
    others = await plan_repairs(service)
    assert "sound" not in others
    for name in ("mend-a", "mend-b"):
        await service.everest.delete("limitrange", "user-limits", "-n", name)
    planned = await plan_repairs(service)
    assert planned == others | {"mend_a": "change", "mend_b": "change"}
    path = "/tenants/mend_a/namespaces/mend-a/repair"
    plan = (await api.post(path, params={"dry_run": "true"})).json()
    assert (plan["would"], plan["steps"][2]["outcome"]) == ("change", "would update")
    answer = await api.post(path)
    assert answer.status_code == 202, answer.text
    result = await service.wait_until_finished(answer.json()["job_id"])
    assert result["summary"] == "Tenant mend_a: apply_resource_quota applied."
    everyone = await api.post("/tenants/repair")
    assert everyone.status_code == 202, everyone.text
    jsonschema.validate(everyone.json(), make_schema("tenant-repairs"))
    jobs = {job["username"]: job["job_id"] for job in everyone.json()["jobs"]}
    assert list(jobs) == [name for name in planned if name != "mend_a"], "it does not differ any more"
    assert (await service.wait_until_finished(jobs["mend_b"]))["overall_status"] == "succeeded"
    assert (await read(service, "/tenants?differs=true&username=mend_b", "tenant-list"))["tenants"] == []


async def test_a_tenant_is_declared_and_changed(service: Service) -> None:
    """The generation grows with what is wanted, and a stale one is refused: at once, or by the job."""
    api, path = service.gateway.api, "/tenants/delia/namespaces/delia"
    assert (await declare(service, "delia", {"role": "viewer"}, If_None_Match="*"))["overall_status"] == "succeeded"
    seen = await api.get(path, headers={"If-None-Match": '"1"'})
    assert (seen.status_code, seen.headers["etag"]) == (200, '"1"'), "never a 304"
    found = (await read(service, path, "declared-namespace-answer"))["data"]
    assert (found["generation"], found["desired"]["role"], found["differences"]) == (1, "viewer", [])
    assert found["observed"]["quota"]["hard"]["limits.memory"] == "2Gi"
    assert "if_generation" not in found["desired"]
    changed = await declare(service, "delia", {"role": "owner", "resources": {"disk_gb": 30}}, If_Match='"1"')
    assert changed["steps"][1]["changed"] == ["resources.disk_gb", "role"]
    stale = await api.put(f"{path}?dry_run=false", json={"role": "developer"}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"], stale.headers["etag"]) == (412, "generation_conflict", '"2"')
    there = await api.put(path, json={}, headers={"If-None-Match": "*"})
    assert (there.status_code, there.json()["code"]) == (412, "generation_conflict")
    late = await service.run_job(username="delia", role="developer", if_generation=1)
    assert (late["reason"], [step["name"] for step in late["steps"]]) == ("generation_conflict", ["add_namespace"])
    asked = {"role": "owner", "resources": {"disk_gb": 30}}
    again = await declare(service, "delia", asked, If_Match='"1"', Idempotency_Key="delia-owner")
    assert "changed" not in again["steps"][1]
    assert again["overall_status"] == "succeeded", "what is asked for is so already: a repeat"
    assert (await read(service, path, "declared-namespace-answer"))["data"]["generation"] == 2


async def test_what_a_declaration_must_not_say(service: Service) -> None:
    api, path = service.gateway.api, "/tenants/delia/namespaces/delia"
    for body in ({"username": "delia"}, {"namespace": "delia"}, {"if_generation": 1}, {"surprise": 1}):
        answer = await api.put(path, json=body)
        assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, next(iter(body)))
    for headers in ({"If-Match": "*"}, {"If-Match": '"x"'}, {"If-None-Match": '"1"'}):
        answer = await api.put(path, json={}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_parameter")
    answer = await api.put("/tenants/a..b/namespaces/delia", json={})
    assert answer.status_code == 422
    assert (await api.put(path, json=[])).status_code == 422


async def test_a_precondition_that_a_route_would_not_look_at_is_refused(service: Service) -> None:
    """Nobody takes a tenant away who believes that an If-Match held him back; nor are all repaired for one named."""
    api, of_tenant = service.gateway.api, "/tenants/delia"
    for method, path, body in (
        ("DELETE", of_tenant, None),
        ("DELETE", f"{of_tenant}/namespaces/delia", None),
        ("POST", f"{of_tenant}/suspend", None),
        ("POST", f"{of_tenant}/namespaces/delia/repair", None),
        ("POST", "/tenants/repair", None),
        ("POST", f"{of_tenant}/manager", {"caller": "billing"}),
        ("POST", "/bootstrap/users", {"username": "delia"}),
    ):
        for name in ("If-Match", "If-None-Match"):
            answer = await api.request(method, path, json=body, headers={name: '"99"'})
            assert (answer.status_code, answer.json()["code"]) == (400, "bad_parameter"), (method, path, answer.text)
    answer = await api.post("/tenants/repair", json={"username": "delia"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_parameter")
    assert "takes no body" in answer.json()["detail"]


async def test_a_plan_is_answered_at_once_and_no_job_is_made(service: Service) -> None:
    api = service.gateway.api
    answer = await api.post("/bootstrap/users", params={"dry_run": "true"}, json={"username": "planned"})
    assert answer.status_code == 200, answer.text
    jsonschema.validate(answer.json(), make_schema("plan"))
    assert (answer.json()["would"], answer.json()["simulated"]) == ("change", True)
    path = "/tenants/planned/namespaces/planned"
    refused = await api.put(path, params={"dry_run": "true"}, json={}, headers={"If-Match": '"4"'})
    assert (refused.json()["would"], refused.json()["steps"][-1]["outcome"]) == (
        "fail",
        "refused: generation_conflict",
    )
    assert (await api.get(path)).json()["code"] == "tenant_not_found"
    assert (await api.get("/jobs", params={"username": "planned"})).json()["jobs"] == []
    odd = await api.post("/bootstrap/users", params={"dry_run": "maybe"}, json={"username": "planned"})
    assert (odd.status_code, odd.json()["code"]) == (400, "bad_parameter")


async def test_tenants_are_listed_page_by_page_those_that_differ_too(service: Service) -> None:
    """A claim of version 0.1.0, which bears no label, is among them."""
    claim = {"everest-bootstrap/owner": "list_old", "everest-bootstrap/job": "an-earlier-job"}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "list-old", "annotations": claim}}
    await service.everest.create(manifest)
    for name in ("list_a", "list_b"):
        await service.have_tenant(username=name, namespace=name.replace("_", "-"), role="owner")
    listed = await read(service, "/tenants?limit=200", "tenant-list")
    by_name = {tenant["username"]: tenant for tenant in listed["tenants"]}
    assert list(by_name) == sorted(by_name)
    assert by_name["list_old"] == {
        "username": "list_old",
        "managed_by": None,
        "suspended": False,
        "namespaces": [{"name": "list-old", "generation": None, "role": None, "managed": False, "terminating": False}],
    }
    assert by_name["list_a"]["managed_by"] == "admin"
    assert by_name["list_a"]["namespaces"][0] | {"name": ""} == {
        "name": "",
        "generation": 1,
        "role": "owner",
        "managed": False,
        "terminating": False,
    }
    first = await read(service, "/tenants?limit=1", "tenant-list")
    following = await read(service, f"/tenants?limit=200&cursor={first['next_cursor']}", "tenant-list")
    assert [tenant["username"] for tenant in (*first["tenants"], *following["tenants"])] == list(by_name)
    assert following["next_cursor"] is None
    assert (await read(service, "/tenants?differs=true&username=list_a", "tenant-list"))["tenants"] == []
    await service.everest.delete("limitrange", "user-limits", "-n", "list-a")
    (differing,) = (await read(service, "/tenants?differs=true", "tenant-list"))["tenants"]
    assert (differing["username"], differing["differences"][0]["what"]) == ("list_a", "limit_range")
    for parameters in ({"cursor": "a/b"}, {"limit": "0"}, {"differs": "1"}):
        answer = await service.gateway.api.get("/tenants", params=parameters)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_parameter")
