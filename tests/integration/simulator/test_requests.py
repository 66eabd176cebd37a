"""Whatever form a client sends its objects in, the simulated API stores what they say."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.simulator.running import SimulatedEverest, simulated_everest

pytestmark = pytest.mark.asyncio(loop_scope="module")

# kubectl's own commands send protobuf, as everestctl does.
IMPERATIVE: dict[str, tuple[str, Any]] = {
    "secret generic one --from-literal=word=value": ("data", {"word": "dmFsdWU="}),
    "configmap one --from-literal=word=value": ("data", {"word": "value"}),
    "quota one --hard=requests.cpu=2,pods=3": ("spec", {"hard": {"requests.cpu": "2", "pods": "3"}}),
    "role one --verb=get,list --resource=pods": (
        "rules",
        [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}],
    ),
    "rolebinding one --role=one --user=somebody": (
        "subjects",
        [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "somebody"}],
    ),
    "cronjob one --image=busybox --schedule=@daily": ("spec.schedule", "@daily"),
    "job one --image=busybox": ("spec.template.spec.containers", [{"name": "one", "image": "busybox"}]),
    "deployment one --image=busybox --replicas=2": ("spec.replicas", 2),
    "service clusterip one --tcp=5432": ("spec.type", "ClusterIP"),
    "serviceaccount one": ("metadata.name", "one"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def everest(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedEverest]:
    async with simulated_everest(tmp_path_factory.mktemp("requests"), job_seconds=0.05) as running:
        yield running


def member(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value[name]
    return value


def without_empty(value: Any) -> Any:
    """Protobuf knows no members that are absent: an empty map is one."""
    if isinstance(value, dict):
        return {name: without_empty(item) for name, item in value.items() if item not in ({}, [], "", None)}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("command", IMPERATIVE)
async def test_protobuf(everest: SimulatedEverest, command: str) -> None:
    path, wanted = IMPERATIVE[command]
    code, _, stderr = await everest.run("kubectl", "create", *command.split())
    assert code == 0, stderr
    found = await everest.get(command.split()[0], "one")
    assert without_empty(member(found, path)) == wanted


async def test_the_accounts_secret_as_protobuf_yaml_and_json(everest: SimulatedEverest) -> None:
    """The bytes that client-go makes of it: an envelope, then each member behind its field number."""
    path = "/api/v1/namespaces/everest-system/secrets/everest-accounts"
    async with httpx.AsyncClient(base_url=everest.server) as client:
        version = (await client.get(path)).json()["metadata"]["resourceVersion"]

        def put(body: bytes, kind: str) -> Any:
            return client.put(path, content=body, headers={"Content-Type": kind})

        answer = await put(secret_as_protobuf(version, b"first: {}\n"), "application/vnd.kubernetes.protobuf")
        assert (answer.status_code, answer.json()["data"]) == (200, {"users.yaml": "Zmlyc3Q6IHt9Cg=="})
        stale = await put(secret_as_protobuf(version, b"late: {}\n"), "application/vnd.kubernetes.protobuf")
        assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
        document = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: everest-accounts\ndata:\n  users.yaml: e30K\n"
        answer = await put(document.encode(), "application/yaml")
        assert (answer.status_code, answer.json()["data"]) == (200, {"users.yaml": "e30K"})
        answer = await put(b"neither: [of them", "application/json")
        assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


def secret_as_protobuf(version: str, users: bytes) -> bytes:
    def part(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value

    metadata = part(1, b"everest-accounts") + part(3, b"everest-system") + part(6, version.encode())
    secret = part(1, metadata) + part(2, part(1, b"users.yaml") + part(2, users)) + part(3, b"Opaque")
    return b"k8s\0" + part(1, part(1, b"v1") + part(2, b"Secret")) + part(2, secret)


async def test_json_patches_and_server_side_apply(everest: SimulatedEverest) -> None:
    operations = [
        {"op": "test", "path": "/kind", "value": "Namespace"},
        {"op": "add", "path": "/metadata/annotations", "value": {"a/b": "1"}},
        {"op": "replace", "path": "/metadata/annotations/a~1b", "value": "2"},
        {"op": "remove", "path": "/metadata/labels"},
    ]
    code, _, stderr = await everest.run(
        "kubectl", "patch", "ns", "default", "--type=json", "-p", json.dumps(operations)
    )
    assert code == 0, stderr
    metadata = (await everest.get("namespace", "default"))["metadata"]
    assert (metadata["annotations"], "labels" in metadata) == ({"a/b": "2"}, False)
    code, _, stderr = await everest.run(
        "kubectl", "patch", "ns", "default", "--type=json", "-p", json.dumps(operations[3:])
    )
    assert (code, "rejected our request" in stderr) == (1, True)
    limits = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"}, "spec": {"limits": []}}
    for _ in range(2):
        code, _, stderr = await everest.run("kubectl", "apply", "--server-side", "-f", "-", stdin=json.dumps(limits))
        assert code == 0, stderr


async def test_installed_operators_have_their_services(everest: SimulatedEverest) -> None:
    assert (await everest.run("everestctl", "namespaces", "add", "alice", "--operator.postgresql=true"))[0] == 0
    services = (await everest.get("clusterserviceversions", "-n", "alice"))["items"]
    subscriptions = (await everest.get("subscriptions", "-n", "alice"))["items"]
    assert {one["status"]["phase"] for one in services} == {"Succeeded"}
    assert {one["metadata"]["name"] for one in services} == {one["status"]["installedCSV"] for one in subscriptions}


@pytest.mark.parametrize(
    "kubeconfig",
    [
        "",
        "{}",
        "[]",
        "words",
        "clusters: 5\nusers: {}\ncurrent-context: x\n",
        "clusters:\n- name: c\n  cluster: {}\ncontexts:\n- name: x\n  context:\n    cluster: c\ncurrent-context: x\n",
        "clusters:\n- name: c\n  cluster:\n    server: nonsense\ncontexts:\n- {name: x, context: {cluster: c}}\n"
        "current-context: x",
        "contexts:\n- name: x\n  context:\n    cluster: c\n    user: u\ncurrent-context:\n  x\n",
        "clusters: [\n",
        "\x00\x01",
    ],
)
async def test_version_explains_odd_kubeconfigs_without_a_traceback(everest: SimulatedEverest, kubeconfig: str) -> None:
    path = everest.home / "odd.kubeconfig"
    path.write_text(kubeconfig)
    for words in (("version",), ("accounts", "list"), ("--json", "namespaces", "list"), ("version", "--client-only")):
        code, _, stderr = await everest.run("everestctl", *words, KUBECONFIG=str(path))
        assert (code, "Traceback" in stderr) == (0 if "--client-only" in words else 1, False), stderr
