"""The main job end to end: real gateway, NATS, handler and kubectl; only Everest is simulated."""

import base64
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
import pytest_asyncio

from tests.support.handlers import Handler, Service, open_service

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with open_service(tmp_path_factory.mktemp("service"), lease_seconds=60) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def handler(service: Service) -> AsyncIterator[Handler]:
    async with service.handler() as running:
        yield running


def new_username() -> str:
    return f"u{uuid.uuid4().hex[:8]}"


def steps_of(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {step["name"]: step for step in result["steps"]}


async def test_a_tenant_is_made_in_five_steps(service: Service) -> None:
    """The result has the shape and the literal command lines that are promised."""
    name = new_username()
    result = await service.run_job(username=name, operators={"postgresql": True})
    steps = steps_of(result)
    assert list(steps) == [
        "create_account",
        "add_namespace",
        "apply_resource_quota",
        "apply_rbac_policy",
        "verify_tenant",
    ]
    assert (result["overall_status"], result["simulated"]) == ("succeeded", True)
    assert result["summary"] == f"User {name} and namespace {name} created; quota applied; role bound."
    assert steps["create_account"]["command"] == f"everestctl accounts create -u {name} -p ********"
    assert steps["add_namespace"]["command"] == (
        f"everestctl namespaces add {name} --operator.mongodb=false --operator.postgresql=true "
        "--operator.xtradb-cluster=false --take-ownership"
    )
    assert steps["apply_resource_quota"]["command"] == f"kubectl apply -n {name} -f -"
    assert 'requests.memory: "2048Mi"' in steps["apply_resource_quota"]["manifest_preview"]
    assert steps["apply_rbac_policy"]["rbac_applied"] is True
    outcomes = [step["outcome"] for step in result["steps"]]
    assert outcomes == ["created", "created", "applied", "applied", "unverified"]
    assert result["usable"] is False  # the request's own default is below Everest's smallest preset
    proof = steps["verify_tenant"]
    assert (proof["command"], proof["exit_code"], proof["usable"]) == (None, None, False)
    for step in result["steps"][:4]:
        assert (step["exit_code"], step["stderr"][:6]) in ((0, ""), (0, "Flag -")), step
        assert step["started_at"] <= step["finished_at"]
        assert step["commands"][-1]["exit_code"] == 0
    asked = {
        "username": name,
        "account": True,
        "subjects": [name],
        "namespace": name,
        "operators": {"mongodb": False, "postgresql": True, "xtradb_cluster": False},
        "take_ownership": False,
        "resources": {"cpu_cores": 2, "ram_mb": 2048, "disk_gb": 20},
    }
    assert asked.items() <= result["inputs"].items()


async def test_the_cluster_holds_what_the_record_says(service: Service) -> None:
    name = new_username()
    await service.run_job(
        username=name,
        namespace=f"{name}-ns",
        operators={"mongodb": True, "postgresql": True},
        resources={"cpu_cores": "8", "ram_mb": 4096, "disk_gb": 100},
    )
    everest = service.everest
    namespace = await everest.get("ns", f"{name}-ns")
    assert namespace["metadata"]["annotations"]["everest-bootstrap/owner"] == name
    assert namespace["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "everest"
    quota = await everest.get("resourcequota", "user-quota", "-n", f"{name}-ns")
    assert quota["spec"]["hard"] == {
        "requests.cpu": "8",
        "requests.memory": "4Gi",
        "requests.storage": "100Gi",
        "limits.cpu": "8",
        "limits.memory": "4Gi",
    }
    limits = await everest.get("limitrange", "user-limits", "-n", f"{name}-ns")
    (limit,) = limits["spec"]["limits"]
    assert (limit["default"], limit["defaultRequest"]) == (
        {"cpu": "2", "memory": "1Gi"},
        {"cpu": "1", "memory": "512Mi"},
    )
    policy = (await everest.get("configmap", "everest-rbac", "-n", "everest-system"))["data"]["policy.csv"]
    lines = [line for line in policy.splitlines() if name in line]
    assert lines == [
        f"p, role:{name}, namespaces, read, {name}-ns",
        f"p, role:{name}, database-engines, read, {name}-ns/*",
        f"p, role:{name}, database-clusters, read, {name}-ns/*",
        f"p, role:{name}, database-clusters, update, {name}-ns/*",
        f"p, role:{name}, database-clusters, create, {name}-ns/*",
        f"p, role:{name}, database-clusters, delete, {name}-ns/*",
        f"p, role:{name}, database-cluster-credentials, read, {name}-ns/*",
        f"g, {name}, role:{name}",
    ]


async def test_the_password_is_in_one_secret_and_nowhere_else(service: Service, handler: Handler) -> None:
    """Not in the record, the job document, the stream, or a log."""
    name = new_username()
    job_id = await service.gateway.submit(username=name)
    result = await service.wait_until_finished(job_id)
    kept = result["credentials_secret"]
    assert kept["read_with"].startswith(f"kubectl get secret {kept['name']} -n everest-system")
    secret = await service.everest.get("secret", kept["name"], "-n", kept["namespace"])
    password = base64.b64decode(secret["data"]["password"]).decode()
    assert len(password) >= 16
    client = await nats.connect(service.server.url)
    record = await client.jetstream().get_last_msg("KV_everest_jobs", f"$KV.everest_jobs.{job_id}")
    await client.close()
    texts = [
        json.dumps(result),
        json.dumps(await service.job(job_id)),
        (record.data or b"").decode(),
        handler.read_log(),
        service.gateway.read_log(),
    ]
    for text in texts:
        assert password not in text
        assert base64.b64encode(password.encode()).decode() not in text


async def test_a_repeat_changes_nothing(service: Service) -> None:
    name = new_username()
    first = await service.run_job(username=name, operators={"postgresql": True})
    again = await service.run_job(username=name, operators={"postgresql": True})
    assert first["overall_status"] == again["overall_status"] == "succeeded"
    outcomes = [step["outcome"] for step in again["steps"]]
    assert outcomes == ["unchanged", "unchanged", "applied", "applied", "unverified"]
    assert "credentials_secret" not in again
    assert any("existed before this job" in warning for warning in again["warnings"])


async def test_a_foreign_namespace_is_refused_before_anything_is_made(service: Service) -> None:
    """It shows as the failed step add_namespace; there is no account."""
    name = new_username()
    foreign = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{name}-ns"}}
    await service.everest.create(foreign)
    result = await service.run_job(username=name, namespace=f"{name}-ns")
    assert (result["overall_status"], result["error"]["retryable"]) == ("failed", False)
    (step,) = result["steps"]
    assert (step["name"], step["outcome"], step["error"]["code"]) == ("add_namespace", "failed", "namespace_exists")
    assert "take_ownership" in step["error"]["hint"]
    accounts = (await service.gateway.api.get("/accounts/list")).json()["data"]
    assert name not in [account["user"] for account in accounts]
    taken = await service.run_job(username=name, namespace=f"{name}-ns", take_ownership=True)
    assert (taken["overall_status"], steps_of(taken)["add_namespace"]["outcome"]) == ("succeeded", "updated")


async def test_a_nats_client_gets_the_same_job(service: Service) -> None:
    """Publishes, hears of each transition, asks for the status; the record over REST is the same."""
    name = new_username()
    job_id = f"order-{name}"
    client = await nats.connect(service.server.url)
    events = await client.subscribe(f"everest.v1.events.{job_id}")
    ack = await client.jetstream().publish(
        f"everest.v1.jobs.bootstrap.{job_id}", json.dumps({"username": name}).encode()
    )
    assert ack.stream == "EVEREST_JOBS"
    heard: list[dict[str, Any]] = []
    while not heard or heard[-1]["status"] not in ("succeeded", "failed"):
        heard.append(json.loads((await events.next_msg(timeout=60)).data))
    assert [event["revision"] for event in heard] == sorted(event["revision"] for event in heard)
    started = [event["step"] for event in heard if event["status"] == "running" and event["outcome"] is None]
    names = ["create_account", "add_namespace", "apply_resource_quota", "apply_rbac_policy", "verify_tenant"]
    assert [step for step in started if step] == names
    status = json.loads((await client.request(f"everest.v1.status.{job_id}", b"", timeout=10)).data)
    await client.close()
    assert status == await service.job(job_id)
    assert (status["status"], status["caller"]) == ("succeeded", "nats")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"not json", "not JSON"),
        (b"[]", "JSON object"),
        (b'{"username": "admin"}', "username"),
        (b'{"username": "a", "namespace": "kube-system"}', "namespace"),
        (b'{"username": "alice", "resources": {"cpu_cores": 1e309}}', "resources.cpu_cores"),
        (b'{"username": "alice", "extra": 1}', "extra"),
    ],
)
async def test_bad_input_over_nats_is_a_failed_job(service: Service, body: bytes, words: str) -> None:
    """Its reason says what REST would have said; the queue goes on."""
    job_id = uuid.uuid4().hex
    client = await nats.connect(service.server.url)
    await client.jetstream().publish(f"everest.v1.jobs.bootstrap.{job_id}", body)
    await client.close()
    result = await service.wait_until_finished(job_id)
    assert (result["overall_status"], result["reason"]) == ("failed", "invalid_request")
    assert words in result["error"]["message"]


async def test_a_request_can_be_followed_through_the_logs(service: Service, handler: Handler) -> None:
    """One JSON line an event, with the ids that the caller gave."""
    request_id = f"trace-{uuid.uuid4().hex[:8]}"
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Request-Id": request_id, "traceparent": traceparent}
    job_id = await service.gateway.submit(headers, username=new_username())
    await service.wait_until_finished(job_id)
    (ended,) = await handler.wait_for_event("job.ended", job_id=job_id)
    assert (ended["request_id"], ended["status"], ended["level"]) == (request_id, "succeeded", "info")
    steps = [line for line in handler.log_lines() if line["event"] == "step.finished" and line["job_id"] == job_id]
    assert [line["step"] for line in steps][-1] == "verify_tenant"
    assert all(line["duration_seconds"] >= 0 and line["attempt"] == 1 for line in steps)
    assert (await service.job(job_id))["request_id"] == request_id
