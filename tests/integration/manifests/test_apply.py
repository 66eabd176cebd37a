"""`kubectl apply -k` on a real Kubernetes API: it takes every object, admits every pod and grants the rights."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from handlers.preflight.rights import needed_rights
from tests.integration.manifests.test_schemas import MODULES, fetch_module
from tests.laboratory import kubernetes
from tests.support.manifests import BASES, MONITORING, OVERLAYS, Object, workloads
from tests.support.servers import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

HANDLER = "system:serviceaccount:everest-bootstrap:handler"
CREDENTIALS = "everest-bootstrap-credentials"
DEFINITIONS = {
    "keda.sh": ("scaledjobs", "scaledobjects"),
    "monitoring.coreos.com": ("podmonitors", "prometheusrules"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """Everest's namespaces and the definitions of others are there, nothing of ours."""
    files = [
        fetch_module(*MODULES[group]) / f"{group}_{plural}.yaml"
        for group, plurals in DEFINITIONS.items()
        for plural in plurals
    ]
    try:
        async with kubernetes.real_everest(tmp_path_factory.mktemp("kubernetes")) as everest:
            for file in files:
                await must(everest, "apply", "--server-side", "-f", str(file))
            await must(everest, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
            for folder in (*BASES, MONITORING):
                await must(everest, "apply", "-k", str(ROOT / folder))
            yield everest
    except kubernetes.Unavailable as reason:
        pytest.skip(str(reason))


async def must(everest: Any, *arguments: str, stdin: str = "") -> str:
    code, stdout, stderr = await everest.run("kubectl", *arguments, stdin=stdin)
    assert code == 0, stderr
    assert "Warning" not in stderr, "the API server says here what violates the restricted standard"
    return str(stdout)


async def test_applying_again_changes_nothing(cluster: Any) -> None:
    for folder in (*BASES, MONITORING):
        before = await read_versions(cluster, folder)
        await must(cluster, "apply", "-k", str(ROOT / folder))
        assert await read_versions(cluster, folder) == before


async def read_versions(everest: Any, folder: str) -> dict[str, str]:
    """What the API server counts up whenever something really changes."""
    found = json.loads(await must(everest, "get", "-k", str(ROOT / folder), "-o", "json"))
    return {
        f"{part['kind']} {part['metadata']['name']}": part["metadata"]["resourceVersion"] for part in found["items"]
    }


@pytest.mark.parametrize("folder", OVERLAYS)
async def test_every_variant_can_follow(cluster: Any, folder: str) -> None:
    """Nothing that cannot be changed differs: who has the base may apply a variant."""
    await must(cluster, "delete", "job", "provision", "-n", "everest-bootstrap", "--ignore-not-found")
    await must(cluster, "apply", "--dry-run=server", "-k", str(ROOT / folder))


@pytest.mark.parametrize("folder", [*BASES, *OVERLAYS])
async def test_pods_are_admitted(cluster: Any, folder: str) -> None:
    """Also those that KEDA makes, whose template nobody looks at before."""
    for workload in workloads(folder):
        await must(cluster, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod_of(workload.template)))


async def test_another_pod_is_not_admitted(cluster: Any) -> None:
    """The check can fail."""
    (workload,) = workloads("handlers/k8s")
    pod = pod_of(workload.template)
    del pod["spec"]["containers"][0]["securityContext"]
    code, _, stderr = await cluster.run("kubectl", "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    assert code != 0
    assert 'violates PodSecurity "restricted' in stderr


def pod_of(template: Object) -> Object:
    spec = json.loads(json.dumps(template["spec"]))
    mounted = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
    for name in mounted - {volume["name"] for volume in spec["volumes"]}:  # a StatefulSet's claim
        spec["volumes"].append({"name": name, "persistentVolumeClaim": {"claimName": name}})
    metadata = {**template["metadata"], "name": "one", "namespace": "everest-bootstrap"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


async def test_the_service_account_has_the_rights(cluster: Any) -> None:
    """By the API server's own judgement; and it may not do what none of them says."""
    for right in needed_rights(CREDENTIALS, None):
        what = f"{right.resource}.{right.group}" if right.group else right.resource
        named = f"{what}/{right.name}" if right.name else what
        where = ("-n", right.namespace) if right.namespace else ("-A",)
        told = await must(cluster, "auth", "can-i", right.verb, named, *where, "--as", HANDLER)
        assert told.strip() == "yes", str(right)
    for verb, what in (("delete", "namespaces"), ("create", "pods"), ("get", "nodes"), ("bind", "clusterroles")):
        code, stdout, _ = await cluster.run("kubectl", "auth", "can-i", verb, what, "-A", "--as", HANDLER)
        assert (code, stdout.strip()) == (1, "no"), (verb, what)
