"""The chart's life on a real Kubernetes API: installed, upgraded, changed, taken away.

The API takes every object, admits every pod and grants the rights. No controller runs, so no pod does either.
"""

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from handlers.preflight.rights import needed_rights
from tests.integration.manifests.test_schemas import MODULES, fetch_module
from tests.laboratory import kubernetes
from tests.laboratory.chart import EARLIER, NAMESPACE, RELEASE, find_helm, run_helm
from tests.support.manifests import CHART, VARIANTS, Object, render, values_of, workloads

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

HANDLER = "system:serviceaccount:everest-bootstrap:handler"
CREDENTIALS = "everest-bootstrap-credentials"
DEFINITIONS = {
    "keda.sh": ("scaledjobs", "scaledobjects"),
    "monitoring.coreos.com": ("podmonitors", "prometheusrules"),
}
APPLY = ("apply", "--server-side", "--force-conflicts")
SECRETS = {"gateway-keys": {"admin-api-key"}, "nats-passwords": {"gateway", "handler", "provisioner"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bare(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """Everest's namespaces are there, and nothing of others or of ours."""
    if find_helm() is None:
        pytest.skip("helm is not here: make test-chart builds it")
    try:
        async with kubernetes.real_everest(tmp_path_factory.mktemp("kubernetes")) as everest:
            yield everest
    except kubernetes.Unavailable as reason:
        pytest.skip(str(reason))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(bare: Any) -> Any:
    """The chart is installed as its values are, with Secrets that it made, after it has said what is missing."""
    with pytest.raises(AssertionError, match=r"needs KEDA 2\.20 or later"):
        await helm(bare, "install", "--create-namespace")
    for group, plurals in DEFINITIONS.items():
        for plural in plurals:
            file = fetch_module(*MODULES[group]) / f"{group}_{plural}.yaml"
            await must(bare, "apply", "--server-side", "-f", str(file))
    await must(bare, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    told = await helm(bare, "install", "--create-namespace")
    assert "curl -sS http://localhost:8080/bootstrap/users" in told
    await must(bare, "label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    return bare


async def helm(everest: Any, verb: str, *arguments: str) -> str:
    chart = () if verb == "uninstall" else (str(CHART),)
    command = (verb, RELEASE, *chart, "--namespace", NAMESPACE, *arguments)
    done = await asyncio.to_thread(run_helm, *command, KUBECONFIG=str(everest.admin_kubeconfig))
    assert done.returncode == 0, done.stderr
    return done.stdout


async def must(everest: Any, *arguments: str, stdin: str = "") -> str:
    code, stdout, stderr = await everest.run("kubectl", *arguments, stdin=stdin)
    assert code == 0, stderr
    assert "Warning" not in stderr, "the API server says here what violates the restricted standard"
    return str(stdout)


async def read(everest: Any, kind: str, name: str, namespace: str = NAMESPACE) -> Object:
    return dict(json.loads(await must(everest, "get", kind, name, "-n", namespace, "-o", "json")))


async def read_secrets(everest: Any) -> dict[str, Object]:
    return {name: (await read(everest, "secret", name))["data"] for name in SECRETS}


async def test_secrets_are_made_once(cluster: Any) -> None:
    """They differ, NATS can read them, and an upgrade leaves them."""
    made = await read_secrets(cluster)
    assert {name: set(data) for name, data in made.items()} == SECRETS
    values = [base64.b64decode(value).decode() for data in made.values() for value in data.values()]
    assert len(set(values)) == 4
    assert all(value.isalnum() and len(value) >= 48 for value in values)
    assert all(base64.b64decode(value).startswith(b"p") for value in made["nats-passwords"].values())
    await helm(cluster, "upgrade", "--set", "nats.tls.enabled=true")
    certificate = await read(cluster, "secret", "nats-tls")
    await helm(cluster, "upgrade", "--set", "nats.tls.enabled=true")
    assert await read_secrets(cluster) == made
    assert (await read(cluster, "secret", "nats-tls"))["data"] == certificate["data"]


async def test_its_certificate_is_good_for_every_node(cluster: Any, tmp_path: Path) -> None:
    """For the Service, and for what nodes call each other and tell their clients; for a server and for a client."""
    await helm(cluster, "upgrade", "--set", "nats.tls.enabled=true")
    for name, value in (await read(cluster, "secret", "nats-tls"))["data"].items():
        (tmp_path / name).write_bytes(base64.b64decode(value))
    for host in ("nats", "nats.everest-bootstrap.svc", "nats-2.nats-headless.everest-bootstrap.svc"):
        for purpose in ("sslserver", "sslclient"):
            asked = ("-purpose", purpose, "-verify_hostname", host, "-CAfile", "ca.crt", "tls.crt")
            await asyncio.to_thread(subprocess.run, ["openssl", "verify", *asked], cwd=tmp_path, check=True, timeout=60)


async def test_an_upgrade_changes_what_values_change(cluster: Any) -> None:
    """And nothing else: but for the Job that provisions, which each revision has anew."""
    await helm(cluster, "upgrade", "--reset-values")
    before = await read_versions(cluster)
    await helm(cluster, "upgrade")
    after = await read_versions(cluster)
    jobs = {name for name in before if name.startswith("Job ")}
    assert len(jobs) == 1
    assert set(before.keys() ^ after.keys()) > jobs
    assert {name for name in before.keys() & after.keys() if before[name] != after[name]} == set()
    await helm(cluster, "upgrade", "--set", "gateway.settings.RATE_LIMIT=600/minute")
    changed = {name for name, version in (await read_versions(cluster)).items() if after.get(name, version) != version}
    assert changed == {"Deployment gateway"}


async def read_versions(everest: Any) -> dict[str, str]:
    """What the API server counts up whenever something really changes."""
    kinds = "job,deployment,statefulset,service,configmap,secret,networkpolicy,poddisruptionbudget,scaledjob"
    told = await must(
        everest, "get", kinds, "-n", NAMESPACE, "-l", f"app.kubernetes.io/instance={RELEASE}", "-o", "json"
    )
    return {
        f"{part['kind']} {part['metadata']['name']}": part["metadata"]["resourceVersion"]
        for part in json.loads(told)["items"]
    }


@pytest.mark.parametrize("variant", VARIANTS)
async def test_every_variant_can_follow(cluster: Any, variant: str) -> None:
    """Nothing that cannot be changed differs: the API takes it, in a dry run. But for fewer nodes Helm does."""
    if variant != "small":
        await helm(cluster, "upgrade", "--dry-run=server", "--values", str(values_of(variant)))
    await must(cluster, *APPLY, "--dry-run=server", "-f", "-", stdin=yaml.safe_dump_all(render(variant)))


async def test_fewer_nodes_are_refused(cluster: Any) -> None:
    with pytest.raises(AssertionError, match="NATS has 3 nodes here"):
        await helm(cluster, "upgrade", "--dry-run=server", "--values", str(values_of("small")))


@pytest.mark.parametrize("variant", VARIANTS)
async def test_pods_are_admitted(cluster: Any, variant: str) -> None:
    """Also those that KEDA makes, whose template nobody looks at before."""
    for workload in workloads(variant):
        await must(cluster, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod_of(workload.template)))


async def test_another_pod_is_not_admitted(cluster: Any) -> None:
    """The check can fail."""
    pod = pod_of(workloads("default")[0].template)
    del pod["spec"]["containers"][0]["securityContext"]
    code, _, stderr = await cluster.run("kubectl", "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    assert code != 0
    assert 'violates PodSecurity "restricted' in stderr


def pod_of(template: Object) -> Object:
    spec = json.loads(json.dumps(template["spec"]))
    mounted = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
    for name in mounted - {volume["name"] for volume in spec["volumes"]}:  # a StatefulSet's claim
        spec["volumes"].append({"name": name, "persistentVolumeClaim": {"claimName": name}})
    metadata = {**template["metadata"], "name": "one", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


async def test_the_service_account_has_the_rights(cluster: Any) -> None:
    """By the API server's own judgement; and it may not do what none of them says."""
    for right in needed_rights(CREDENTIALS, None):
        what = f"{right.resource}.{right.group}" if right.group else right.resource
        named = f"{what}/{right.name}" if right.name else what
        where = ("-n", right.namespace) if right.namespace else ("-A",)
        told = await must(cluster, "auth", "can-i", right.verb, named, *where, "--as", HANDLER)
        assert told.strip() == "yes", str(right)
    for verb, what in (("create", "pods"), ("get", "nodes"), ("bind", "clusterroles")):
        code, stdout, _ = await cluster.run("kubectl", "auth", "can-i", verb, what, "-A", "--as", HANDLER)
        assert (code, stdout.strip()) == (1, "no"), (verb, what)


@pytest.mark.parametrize("namespace", [NAMESPACE, CREDENTIALS, "everest-system"])
async def test_the_handler_cannot_claim_our_namespaces(cluster: Any, namespace: str) -> None:
    """Whatever its rights and a request say."""
    claim = ("annotate", "namespace", namespace, "everest-bootstrap/owner=mallory", "--overwrite", "--as", HANDLER)
    code, _, stderr = await cluster.run("kubectl", *claim)
    assert (code, "touches no namespace of the cluster's" in stderr) == (1, True), stderr


@pytest.mark.parametrize("namespace", [CREDENTIALS, NAMESPACE, "everest-system"])
async def test_the_handler_deletes_no_namespace_but_a_tenants(cluster: Any, namespace: str) -> None:
    """That of the passwords bears an owner, too, and one without a claim is nobody's to delete."""
    deletion = ("delete", "namespace", namespace, "--dry-run=server", "--as", HANDLER)
    code, _, stderr = await cluster.run("kubectl", *deletion)
    assert (code, "the handler deletes" in stderr) == (1, True), stderr


async def test_what_keeps_something_outlives_the_chart(cluster: Any) -> None:
    """The passwords' namespace and the volumes of NATS; installed again, the chart takes both."""
    retention = (await read(cluster, "statefulset", "nats"))["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert retention == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    uid = (await read(cluster, "namespace", CREDENTIALS))["metadata"]["uid"]
    await helm(cluster, "uninstall")
    left = json.loads(await must(cluster, "get", "all", "-n", NAMESPACE, "-o", "json"))["items"]
    assert left == []
    kept = await read(cluster, "namespace", CREDENTIALS)
    assert kept["metadata"]["uid"] == uid
    assert "deletionTimestamp" not in kept["metadata"]
    await helm(cluster, "install")
    assert (await read(cluster, "namespace", CREDENTIALS))["metadata"]["uid"] == uid
    await helm(cluster, "uninstall")


async def test_what_kustomize_made_is_taken_over(cluster: Any) -> None:
    """Whoever has 0.1.0: its Secrets count, and its NATS keeps its volumes."""
    await must(cluster, *APPLY, "-f", str(EARLIER / "kustomize-0.1.0.yaml"))
    for name, keys in SECRETS.items():
        literals = [f"--from-literal={key}=p0{key}" for key in keys]
        await must(cluster, "create", "secret", "generic", name, "-n", NAMESPACE, *literals)
    made, nats = await read_secrets(cluster), await read(cluster, "statefulset", "nats")
    await helm(cluster, "install", "--take-ownership")
    assert await read_secrets(cluster) == made
    assert (await read(cluster, "statefulset", "nats"))["metadata"]["uid"] == nats["metadata"]["uid"]
