"""What is asked of the cluster while somebody waits, answered by a real handler: accounts, namespaces, tenants."""

import base64
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest
import pytest_asyncio

from contracts import names
from contracts.schemas import make_schema
from tests.support.eventually import eventually
from tests.support.gateways import manual_handler
from tests.support.handlers import Service, open_service

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with open_service(tmp_path_factory.mktemp("service"), lease_seconds=60) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def everest(service: Service) -> AsyncIterator[Any]:
    yield service.everest
    await service.everest.set_faults()


_SCHEMAS = {"accounts": "accounts-answer", "namespaces": "namespaces-answer", "tenants": "tenant-answer"}


async def ask(service: Service, path: str) -> tuple[int, dict[str, Any]]:
    """What is answered keeps to the schema that is published for it."""
    answer = await service.gateway.api.get(path)
    if answer.status_code == 200:
        jsonschema.validate(answer.json(), make_schema(_SCHEMAS[path.split("/")[1]]))
    return answer.status_code, answer.json()


def new_username() -> str:
    return f"u{uuid.uuid4().hex[:8]}"


async def test_accounts_are_listed(service: Service) -> None:
    name = new_username()
    async with service.handler():
        await service.have_tenant(username=name)
        status, answer = await ask(service, "/accounts/list")
    assert (status, answer["simulated"]) == (200, True)
    users = [account["user"] for account in answer["data"]]
    assert users == sorted(users)
    assert {"user": name, "capabilities": ["login"], "enabled": True} in answer["data"]
    assert "admin" in users


async def test_a_command_that_fails_is_a_502_with_its_words(service: Service, everest: Any) -> None:
    accounts = await everest.get("secret", "everest-accounts", "-n", "everest-system")
    await everest.delete("secret", "everest-accounts", "-n", "everest-system")
    try:
        async with service.handler():
            status, answer = await ask(service, "/accounts/list")
    finally:
        accounts["metadata"] = {"name": "everest-accounts", "namespace": "everest-system"}
        await everest.create(accounts)
    assert (status, answer["error"], answer["code"]) == (502, "everestctl failed", "everestctl_failed")
    assert 'secrets "everest-accounts" not found' in answer["detail"]
    assert answer["reason"] == "everest_not_installed"


async def test_an_unreachable_cluster_is_a_502_that_says_so(service: Service, everest: Any) -> None:
    """Where everestctl meets it; where kubectl does, it is a 503 of its own code. Both can be tried again."""
    await everest.set_faults(unreachable=True)
    async with service.handler():
        status, answer = await ask(service, "/accounts/list")
        outage, problem = await ask(service, f"/tenants/{new_username()}")
    assert (status, answer["error"], answer["reason"]) == (502, "everestctl failed", "cluster_unreachable")
    assert (outage, problem["code"], problem["retryable"]) == (503, "cluster_unreachable", answer["retryable"])
    assert "connection refused" in answer["detail"]


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"PATH": "/nowhere"}, "everestctl_missing"),
        ({"KUBECONFIG": "/nowhere/kubeconfig"}, "kubeconfig_missing"),
        ({"KUBECONFIG": "/"}, "kubeconfig_missing"),
    ],
)
async def test_what_the_handler_lacks_is_a_503(service: Service, variables: dict[str, str], code: str) -> None:
    async with service.handler(**variables):
        status, answer = await ask(service, "/accounts/list")
    assert (status, answer["code"]) == (503, code)
    assert answer["hint"]


async def test_namespaces_are_listed_also_while_an_installation_runs(service: Service, everest: Any) -> None:
    """everestctl's own list fails then; kubectl's has the same shape, and says whose it is."""
    name, slow = new_username(), new_username()
    async with service.handler():
        await service.have_tenant(username=name, operators={"postgresql": True})
        expected = {
            "namespace": name,
            "managed": True,
            "operators": [{"name": "postgresql", "version": "v2.7.0"}],
        }
        status, answer = await ask(service, "/namespaces/list")
        assert status == 200
        assert expected in answer["data"]
        assert "warnings" not in answer
        await everest.set_faults(job_hangs=True)
        job_id = await service.gateway.submit(username=slow, operators={"mongodb": True})

        async def is_warned() -> dict[str, Any] | None:
            status, answer = await ask(service, "/namespaces/list")
            assert status == 200, answer
            return answer if "warnings" in answer else None

        answer = await eventually(is_warned, "the list is kubectl's")
        assert "kubectl" in answer["warnings"][0]
        assert expected in answer["data"]
        assert {"namespace": slow, "managed": False, "operators": []} in answer["data"]
        await everest.set_faults()
        await service.wait_until_finished(job_id)


async def test_namespaces_are_listed_whatever_makes_everestctl_fail(service: Service, everest: Any) -> None:
    name = new_username()
    async with service.handler():
        await service.have_tenant(username=name, operators={"postgresql": True})
        await everest.set_faults(only="namespaces list", fail={"exit_code": 1, "stderr": "❌ something new\n"})
        status, answer = await ask(service, "/namespaces/list")
        await everest.set_faults()
    assert status == 200, answer
    assert "something new" in answer["warnings"][0]
    assert name in [row["namespace"] for row in answer["data"]]


async def test_a_tenant_is_described_and_compared(service: Service, everest: Any) -> None:
    """What was changed by hand is named, with how to mend it; the same request again mends it."""
    name = new_username()
    async with service.handler():
        await service.run_job(username=name, operators={"postgresql": True})
        status, answer = await ask(service, f"/tenants/{name}")
        tenant = answer["data"]
        assert (status, tenant["differences"]) == (200, [])
        assert tenant["namespace"]["operators"] == [{"name": "postgresql", "installed": True, "version": "v2.7.0"}]
        assert (tenant["namespace"]["owner"], tenant["namespace"]["release"]) == (name, "deployed")
        assert tenant["quota"]["hard"]["limits.memory"] == "2Gi"
        assert f"g, {name}, role:{name}" in tenant["rbac"]["lines"]
        assert tenant["last_job"]["status"] == "succeeded"

        hard = {"spec": {"hard": {"limits.memory": "1Gi"}}}
        for argv in (
            ("patch", "resourcequota", "user-quota", "-n", name, "--type=merge", "-p", json.dumps(hard)),
            ("delete", "limitrange", "user-limits", "-n", name),
            ("delete", "subscriptions.operators.coreos.com", "percona-postgresql-operator", "-n", name),
        ):
            code, _, stderr = await everest.run("kubectl", *argv)
            assert code == 0, stderr
        policy = await everest.get("configmap", "everest-rbac", "-n", "everest-system")
        lines = policy["data"]["policy.csv"].splitlines(keepends=True)
        policy["data"]["policy.csv"] = "".join(line for line in lines if f"{name}, database-engines" not in line)
        await everest.replace(policy)

        differences = (await ask(service, f"/tenants/{name}"))[1]["data"]["differences"]
        assert [difference["what"] for difference in differences] == ["operators", "quota", "limit_range", "rbac"]
        assert "limits.memory is 1Gi; it was set to 2048Mi" in differences[1]["message"]
        mend = "Repair the tenant, or submit the same request again."
        assert all(difference["mend"] == mend for difference in differences)
        await service.run_job(username=name, operators={"postgresql": True})
        assert (await ask(service, f"/tenants/{name}"))[1]["data"]["differences"] == []


async def test_a_tenant_that_nobody_made(service: Service) -> None:
    async with service.handler():
        status, answer = await ask(service, f"/tenants/{new_username()}")
    assert (status, answer["code"]) == (404, "tenant_not_found")


async def test_all_namespaces_of_a_tenant_are_shown_each_with_what_differs(service: Service) -> None:
    name = new_username()
    async with service.handler():
        await service.have_tenant(username=name, role="owner", subjects=["DB Admins"])
        await service.run_job(username=name, namespace=f"{name}-2")
        await service.everest.delete("limitrange", "user-limits", "-n", name)
        tenant = (await ask(service, f"/tenants/{name}"))[1]["data"]
    by_name = {namespace["name"]: namespace for namespace in tenant["namespaces"]}
    assert list(by_name) == [f"{name}-2", name], "that of the last job first"
    assert by_name[f"{name}-2"]["differences"] == []
    (difference,) = by_name[name]["differences"]
    assert (difference["what"], difference["namespace"]) == ("limit_range", name)
    assert tenant["differences"] == [difference]
    wanted = by_name[name]["wanted"]
    assert (wanted["role"], wanted["subjects"], by_name[name]["generation"]) == ("owner", [name, "DB Admins"], 1)
    lines = tenant["rbac"]["lines"]
    assert f"p, role:{name}, database-clusters, *, {name}/*" in lines
    assert f"g, DB Admins, role:{name}" in lines


async def test_an_answer_that_no_bucket_takes_ends_the_query(service: Service) -> None:
    """At once, and as what it is: the server's refusal is no silence, and nobody retries it."""
    secret = await service.everest.get("secret", "everest-accounts", "-n", "everest-system")
    admin = base64.b64decode(secret["data"]["users.yaml"]).decode()
    crowd = admin + "".join(admin.replace("admin:", f"user{number}:") for number in range(150))
    patch = {"data": {"users.yaml": base64.b64encode(crowd.encode()).decode()}}
    arguments = ("-n", "everest-system", "--type=merge", "--patch-file=/dev/stdin")
    command = ("kubectl", "patch", "secret", "everest-accounts", *arguments)
    code, _, stderr = await service.everest.run(*command, stdin=json.dumps(patch))
    assert code == 0, stderr
    async with manual_handler(service.server) as manual, service.handler():
        info = await manual.jetstream.stream_info(f"KV_{names.ANSWERS_BUCKET}")
        info.config.max_msg_size = 10_000
        await manual.jetstream.update_stream(info.config)
        status, answer = await ask(service, "/accounts/list")
    assert (status, answer["code"]) == (502, "result_too_large")
