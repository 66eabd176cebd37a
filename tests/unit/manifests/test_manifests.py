"""The chart's objects: hardened, and true to the settings, names and rights that the code knows."""

import itertools
import json
import os
import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import jsonschema
import pytest
import yaml

import contracts
from contracts import names
from contracts.process.settings import NatsSettings, Settings, read_settings
from contracts.requests import BootstrapRequest
from gateway.commands.processes import find_program
from gateway.settings import GatewaySettings, ProvisionSettings
from handlers.preflight.rights import Right, needed_rights
from handlers.results import StepFailed
from handlers.settings import HandlerSettings
from handlers.tenants.claims import OWNER, Namespace, check_owner
from handlers.tools.kubeconfig import check_kubeconfig
from tests.laboratory.chart import DIGEST, make_digest
from tests.support.environments import handler_settings
from tests.support.manifests import CHART, VARIANTS, Object, Workload, find, find_workload, mebibytes, render, workloads
from tests.support.servers import ROOT

WORKLOADS = [(variant, part) for variant in VARIANTS for part in workloads(variant)]
IDS = [f"{variant}-{part.name}" for variant, part in WORKLOADS]
HANDLERS = [find_workload(variant, "handler") for variant in VARIANTS]
OWN_NATS = [variant for variant in VARIANTS if any(part.name == "nats" for part in workloads(variant))]
RIGHTS = {"flat": "default", "narrow": "secured"}  # a variant with each
OURS = "everest-bootstrap"
CREDENTIALS = "everest-bootstrap-credentials"

SETTINGS: dict[str, tuple[type[Settings], ...]] = {
    "gateway": (GatewaySettings, NatsSettings),
    "provision": (ProvisionSettings, NatsSettings),
    "handler": (HandlerSettings, NatsSettings),
}
# Not settings of ours: the command line tools keep their caches below them.
OF_TOOLS = {"HOME", "XDG_CACHE_HOME"}
# What the Pod Security Standard "restricted" lets a pod mount.
RESTRICTED_VOLUMES = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim"}


@pytest.mark.parametrize(("variant", "workload"), WORKLOADS, ids=IDS)
def test_pods_are_restricted(variant: str, workload: Workload) -> None:
    """The Pod Security Standard "restricted", and what it does not ask for: no writable root, no token, limits."""
    pod, container = workload.pod, workload.container
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 10001)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert not any("hostPort" in port for port in container.get("ports", []))
    assert {kind for volume in pod["volumes"] for kind in volume if kind != "name"} <= RESTRICTED_VOLUMES
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False, "a Service named nats would set NATS_PORT"
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize(("variant", "workload"), WORKLOADS, ids=IDS)
def test_all_that_is_written_to_is_a_volume(variant: str, workload: Workload) -> None:
    """The root is read-only; every file that a variable names is in a volume."""
    mounts = {mount["name"] for mount in workload.container["volumeMounts"]}
    claimed = {"data"} if workload.kind == "StatefulSet" else set()
    assert mounts == {volume["name"] for volume in workload.pod["volumes"]} | claimed
    files, folders = set(workload.files()), [mount["mountPath"] for mount in workload.container["volumeMounts"]]
    for name, value in workload.variables.items():
        if not value or not value.startswith("/"):
            continue
        assert any(value == folder or value.startswith(f"{folder}/") for folder in folders), name
        if (name.endswith("_FILE") and name != "READY_FILE") or name in ("KUBECONFIG", "NATS_TLS_CA"):
            assert PurePosixPath(value) in files or workload.name == "nats", name


@pytest.mark.parametrize(
    ("variant", "workload"),
    [(variant, part) for variant, part in WORKLOADS if part.name in SETTINGS],
    ids=[name for name in IDS if not name.endswith("-nats")],
)
def test_settings_are_known_and_legal(variant: str, workload: Workload) -> None:
    """A mistyped name would be ignored in silence; a value that cannot be read would end the pod."""
    models = SETTINGS[workload.name]
    known = {name.upper() for model in models for name in model.model_fields}
    variables = {name: value for name, value in workload.variables.items() if value is not None}
    assert set(variables) - known <= (OF_TOOLS if workload.name == "handler" else set())
    for model in models:
        read_settings(model, variables)


def test_every_secret_is_handed_to_who_needs_it() -> None:
    """Each role gets its own password and no other's; only NATS has all three."""
    taken: dict[str, set[str]] = {}
    for _, workload in WORKLOADS:
        for volume in workload.pod["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                if source.get("secret", {}).get("name") in ("nats-passwords", "nats-seeds"):
                    taken.setdefault(workload.name, set()).update(item["key"] for item in source["secret"]["items"])
        assert workload.variables.get("NATS_USER", None) in (*taken.get(workload.name, set()), None)
    assert taken == {"gateway": {"gateway"}, "provision": {"provisioner"}, "handler": {"handler"}}


@pytest.mark.parametrize("variant", OWN_NATS)
def test_the_server_has_every_variable_of_its_configuration(variant: str) -> None:
    """nats-server refuses to start where one is missing."""
    server = find_workload(variant, "nats")
    configuration = find(server.objects, "ConfigMap", "nats-configuration")["data"]
    publishers = find(server.objects, "ConfigMap", "nats-publishers")["data"]
    files = {**configuration, **publishers}
    wanted, reached = set(), ["nats.conf"]
    for name in reached:
        text = "\n".join(line.partition("#")[0] for line in files[name].splitlines())
        reached += re.findall(r"^\s*include (\S+)", text, re.MULTILINE)
        wanted |= set(re.findall(r"\$(NATS_\w+)", text))
    assert "permissions.conf" in reached, "without accounts everybody may do everything"
    assert "publishers.conf" in reached
    assert wanted <= set(server.variables)
    assert ("NATS_TLS_KEY_FILE" in wanted) is (variant == "secured")


@pytest.mark.parametrize("variant", ["default", "secured"])
def test_three_nodes_know_each_other(variant: str) -> None:
    server = find_workload(variant, "nats")
    stateful = find(server.objects, "StatefulSet", "nats")
    routes = re.findall(r"nats://([\w.-]+):6222", server.variables["NATS_ROUTES"] or "")
    assert routes == [f"nats-{number}.{stateful['spec']['serviceName']}" for number in range(3)]
    assert stateful["spec"]["replicas"] == 3
    assert find(server.objects, "PodDisruptionBudget", "nats")["spec"]["maxUnavailable"] == 1
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    limit = re.search(r"max_file_store: (\d+)GB", (ROOT / "nats" / "node.conf").read_text())
    assert limit is not None
    size = mebibytes(claim["spec"]["resources"]["requests"]["storage"])
    assert size > int(limit[1]) * 1024, "a server that meets a full disk stops answering"


@pytest.mark.parametrize(("variant", "replicas"), [("default", "3"), ("secured", "3"), ("small", "1")])
def test_as_many_copies_as_nodes(variant: str, replicas: str) -> None:
    assert find_workload(variant, "provision").variables["NATS_REPLICAS"] == replicas
    assert str(find(render(variant), "StatefulSet", "nats")["spec"]["replicas"]) == replicas


def test_another_nats_is_reached_and_none_installed() -> None:
    """Its URL, a seed for each role, and no object of ours."""
    assert "external" not in OWN_NATS
    assert not any(part["metadata"]["name"].startswith("nats") for part in render("external"))
    for part in workloads("external"):
        settings = read_settings(NatsSettings, {name: value or "" for name, value in part.variables.items()})
        assert settings.nats_url == "tls://nats.example.com:4443,tls://nats.example.org"
        assert (settings.nats_user, settings.nats_nkey_file) == (None, "/run/secrets/nats/password")


def test_the_gateway_stays_available() -> None:
    objects = render("default")
    assert find(objects, "Deployment", "gateway")["spec"]["replicas"] == 2
    assert find(objects, "PodDisruptionBudget", "gateway")["spec"]["minAvailable"] == 1
    gateway = find_workload("default", "gateway")
    probes = {name: gateway.container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness")}
    assert probes == {"liveness": "/healthz", "readiness": "/readyz"}
    (port,) = gateway.container["ports"]
    assert port["containerPort"] == GatewaySettings.model_fields["port"].default


@pytest.mark.parametrize("variant", VARIANTS)
def test_network_policies_reach_every_pod(variant: str) -> None:
    """Both directions are listed for each pod, and the label that NATS lets in is on each client."""
    policies = [part["spec"] for part in render(variant) if part["kind"] == "NetworkPolicy"]
    for workload in workloads(variant):
        labels = workload.template["metadata"]["labels"]
        (policy,) = (policy for policy in policies if _selects(policy["podSelector"], labels))
        assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
        assert ("everest-bootstrap/nats-client" in labels) is (workload.name != "nats")


def _selects(selector: Object, labels: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        labels.get(part["key"]) in part["values"] for part in selector.get("matchExpressions", [])
    )


def test_another_nats_is_let_through_at_its_ports() -> None:
    """Those that its URL names, 4222 where it names none."""
    for name in ("gateway", "handler"):
        rules = find(render("external"), "NetworkPolicy", name)["spec"]["egress"]
        assert [port["port"] for port in rules[0]["ports"]] == [4443, 4222]


def test_handlers_reach_what_values_add() -> None:
    """Beside NATS, names, and where the API server and the charts may be."""
    rules = find(render("external"), "NetworkPolicy", "handler")["spec"]["egress"]
    assert {port["port"] for rule in rules[:-1] for port in rule["ports"]} == {4443, 4222, 443, 6443, 53}
    assert rules[-1]["ports"] == [{"port": 4318, "protocol": "TCP"}]
    assert find(render("default"), "NetworkPolicy", "handler")["spec"]["egress"] == [
        {
            "to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "nats"}}}],
            "ports": [{"port": 4222, "protocol": "TCP"}],
        },
        *rules[1:-1],
    ]


@pytest.mark.parametrize("workload", HANDLERS, ids=VARIANTS)
def test_handlers_have_a_port_where_metrics_are(workload: Workload) -> None:
    """A PodMonitor takes every pod with that port for one that answers there; nobody else is let in."""
    port = workload.variables.get("METRICS_PORT")
    declared = [{"name": "metrics", "containerPort": int(port)}] if port else []
    assert workload.container.get("ports", []) == declared
    ingress = find(workload.objects, "NetworkPolicy", "handler")["spec"]["ingress"]
    assert [[allowed["port"] for allowed in rule["ports"]] for rule in ingress] == ([["metrics"]] if port else [])


@pytest.mark.parametrize("variant", OWN_NATS)
def test_the_servers_keep_below_their_memory(variant: str) -> None:
    server = find_workload(variant, "nats")
    limit = mebibytes(server.container["resources"]["limits"]["memory"])
    own = float(str(server.variables["GOMEMLIMIT"]).removesuffix("MiB"))
    assert 0.8 * limit < own < 0.9 * limit


@pytest.mark.parametrize("workload", HANDLERS, ids=VARIANTS)
def test_handlers_end_in_time_and_fit(workload: Workload) -> None:
    """An installation is finished before the pod is killed; the memory goes with the concurrency."""
    settings = handler_settings({name: value for name, value in workload.variables.items() if value})
    assert workload.pod["terminationGracePeriodSeconds"] >= settings.shutdown_grace + 30
    assert settings.shutdown_grace == 900
    resources = workload.container["resources"]
    assert mebibytes(resources["limits"]["memory"]) == 256 + 128 * settings.handler_concurrency
    assert settings.everest_credentials_namespace == CREDENTIALS
    assert settings.everest_rbac_apply_cmd == "everest-rbac-import"


SCALED = [part for part in HANDLERS if part.variables["NATS_URL"] == "nats://nats:4222" and part.kind == "ScaledJob"]
SCALED += [find_workload("secured", "handler")]


@pytest.mark.parametrize("workload", SCALED, ids=lambda part: part.kind)
def test_triggers_are_what_nats_holds(workload: Workload) -> None:
    """One trigger for each consumer, on the account of our roles, at the port that the Service has."""
    (scaler,) = (part for part in workload.objects if part["kind"].startswith("Scaled"))
    concurrency = workload.variables["HANDLER_CONCURRENCY"]
    triggers = {
        (trigger["metadata"]["stream"], trigger["metadata"]["consumer"]) for trigger in scaler["spec"]["triggers"]
    }
    assert triggers == set(names.CONSUMERS)
    service = find(workload.objects, "Service", "nats-headless")
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    for trigger in scaler["spec"]["triggers"]:
        metadata = trigger["metadata"]
        assert trigger["type"] == "nats-jetstream"
        assert f"  {metadata['account']}: {{\n    jetstream" in (ROOT / "nats" / "accounts.conf").read_text()
        assert metadata["natsServerMonitoringEndpoint"] == (
            f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local:{ports['monitor']}"
        )
        assert metadata["lagThreshold"] == (concurrency if metadata["stream"] == names.JOBS_STREAM else "1")
        assert metadata["activationLagThreshold"] == "0"


def test_a_scaled_job_never_kills_work() -> None:
    """The lag counts what is being worked on, so `default` is right; a change of it leaves running jobs alone."""
    spec = find(render("default"), "ScaledJob", "handler")["spec"]
    assert (spec["minReplicaCount"], spec["scalingStrategy"], spec["rollout"]) == (
        0,
        {"strategy": "default"},
        {"strategy": "gradual"},
    )
    assert spec["jobTargetRef"]["backoffLimit"] == 0
    lifetimes = [
        find(render(variant), "ScaledJob", "handler")["spec"]["jobTargetRef"]["activeDeadlineSeconds"]
        for variant in ("default", "external")
    ]
    assert lifetimes == [14400, 3600]
    handler = find_workload("default", "handler")
    assert handler.pod["restartPolicy"] == "Never"
    assert handler.container["command"][:3] == ["python", "-m", "handlers"]
    assert "--until-idle" in handler.container["command"]
    assert handler.variables["HANDLER_CONCURRENCY"] == "1"


def test_a_deployment_is_scaled_by_one_of_two() -> None:
    """KEDA, and then the Deployment says no number, or the values."""
    assert "replicas" not in find(render("secured"), "Deployment", "handler")["spec"]
    assert find(render("small"), "Deployment", "handler")["spec"]["replicas"] == 1
    assert not any(part["kind"].startswith("Scaled") for part in render("small"))
    for variant in ("secured", "small"):
        assert find_workload(variant, "handler").variables["METRICS_PORT"] == "9090"


@pytest.mark.parametrize(("age_seconds", "is_ready"), [(0, True), (3600, False), (None, False)])
def test_the_probe_tests_the_files_age(tmp_path: Path, age_seconds: int | None, is_ready: bool) -> None:
    """Run as the kubelet runs it."""
    file = tmp_path / "ready"
    if age_seconds is not None:
        file.touch()
        os.utime(file, (time.time() - age_seconds,) * 2)
    command = find_workload("default", "handler").container["readinessProbe"]["exec"]["command"]
    completed = subprocess.run(command, env={**os.environ, "READY_FILE": str(file)}, capture_output=True, check=False)
    assert (completed.returncode == 0) is is_ready


def test_the_kubeconfig_names_the_pods_own_files(tmp_path: Path) -> None:
    """It is one that a handler and kubectl can use, holds no secret, and the files are where the pod has them."""
    handler = find_workload("default", "handler")
    text = find(handler.objects, "ConfigMap", "handler-kubeconfig")["data"]["kubeconfig"]
    file = tmp_path / "kubeconfig"
    for name in ("ca.crt", "token"):
        (tmp_path / name).touch()
    file.write_text(text.replace("/run/secrets/cluster/", ""))
    assert check_kubeconfig(str(file)) is None
    file.write_text(text)
    command = [find_program("kubectl"), "config", "view", "--minify", "-o", "yaml", "--kubeconfig", str(file)]
    seen = yaml.safe_load(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    cluster, user = seen["clusters"][0]["cluster"], seen["users"][0]["user"]
    assert cluster["server"] == "https://kubernetes.default.svc"
    assert set(user) == {"tokenFile"}
    assert {PurePosixPath(cluster["certificate-authority"]), PurePosixPath(user["tokenFile"])} <= set(handler.files())


def _rules(
    objects: Iterable[Object], kind: str, name: str, namespace: str | None = None
) -> set[tuple[str, str, str, str]]:
    """Group, resource, verb and the names that the right is limited to."""
    return {
        (group, resource, verb, ",".join(rule.get("resourceNames", [])))
        for rule in find(objects, kind, name, namespace)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_rights_are_bounded() -> None:
    """No wildcard and no way to more rights; narrow has nothing on Secrets cluster-wide."""
    for variant in RIGHTS.values():
        objects = render(variant)
        for role in (part for part in objects if part["kind"] in ("Role", "ClusterRole")):
            for group, resource, verb, limited in _rules([role], role["kind"], role["metadata"]["name"]):
                assert "*" not in (group, resource, verb)
                assert verb not in ("escalate", "impersonate")
                assert verb != "bind" or limited == "everest-bootstrap-tenant"
        for binding in (part for part in objects if part["kind"] in ("RoleBinding", "ClusterRoleBinding")):
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "handler", "namespace": OURS}]
            reference, namespace = binding["roleRef"], binding["metadata"].get("namespace")
            assert find(
                objects, reference["kind"], reference["name"], namespace if reference["kind"] == "Role" else None
            )
    narrow = _rules(render(RIGHTS["narrow"]), "ClusterRole", "everest-bootstrap-handler")
    assert not any(resource == "secrets" for _, resource, _, _ in narrow)


@pytest.mark.parametrize("rights", RIGHTS)
def test_the_roles_grant_what_the_workflow_needs(rights: str) -> None:
    """All of it and, but for Everest's former name and the list of foreign namespaces, no more."""
    objects, handler = render(RIGHTS[rights]), find_workload(RIGHTS[rights], "handler")
    granted = {
        Right(verb, resource, group, role["metadata"].get("namespace", ""), limited)
        for role in objects
        if role["kind"] in ("Role", "ClusterRole") and role["metadata"]["name"] == "everest-bootstrap-handler"
        for group, resource, verb, names_of in _rules([role], role["kind"], "everest-bootstrap-handler")
        for limited in names_of.split(",")
    }
    needed = {
        right._replace(why="", is_optional=False)
        for right in needed_rights(CREDENTIALS, handler.variables.get("EVEREST_TENANT_ROLE"))
    }
    lists = {
        Right(verb, resource, "operators.coreos.com")
        for verb in ("get", "list")
        for resource in ("subscriptions", "clusterserviceversions")
    }
    missing = {right for right in needed - granted if right._replace(namespace="", name="") not in granted}
    assert not missing
    assert granted - needed <= lists | {Right("get", "deployments", "apps", "everest-system", "percona-everest")}


def test_narrow_is_flat_in_one_namespace() -> None:
    """Cluster-wide and in a tenant's namespace together both grant the same, but for the binding itself."""
    flat, narrow = render(RIGHTS["flat"]), render(RIGHTS["narrow"])
    everywhere = _rules(flat, "ClusterRole", "everest-bootstrap-handler")
    claimed = _rules(narrow, "ClusterRole", "everest-bootstrap-handler")
    inside = _rules(narrow, "ClusterRole", "everest-bootstrap-tenant")
    binding = ("rbac.authorization.k8s.io", "clusterroles", "bind", "everest-bootstrap-tenant")
    assert claimed | inside == everywhere | {binding}
    assert find_workload("secured", "handler").variables["EVEREST_TENANT_ROLE"] == "everest-bootstrap-tenant"
    system = _rules(narrow, "Role", "everest-bootstrap-handler", "everest-system")
    accounts = {("", "secrets", verb, "everest-accounts") for verb in ("get", "update")}
    assert system == _rules(flat, "Role", "everest-bootstrap-handler", "everest-system") | accounts


def test_no_tenant_can_have_our_namespaces() -> None:
    """Not even with take_ownership: by its annotation, whose name is no legal username, and by the API server."""
    (credentials,) = (part for part in render("default") if part["kind"] == "Namespace")
    assert credentials["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert credentials["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    seen = Namespace.of({**credentials, "metadata": {**credentials["metadata"], "resourceVersion": "1"}})
    request = BootstrapRequest(username="mallory", namespace=seen.name, take_ownership=True)
    with pytest.raises(StepFailed) as refused:
        check_owner(seen, request, may_adopt=True)
    assert refused.value.failure.code == "namespace_owned_by_another"
    assert "-" in credentials["metadata"]["annotations"][OWNER]
    policy = find(render("default"), "ValidatingAdmissionPolicy", "everest-bootstrap-claims")["spec"]
    for namespace in (OURS, CREDENTIALS):
        assert f"'{namespace}'" in policy["validations"][0]["expression"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_names_are_where_they_are_made(variant: str) -> None:
    """Every object is in the release's namespace, the one that the chart makes, or Everest's own."""
    used = {part["metadata"]["namespace"] for part in render(variant) if "namespace" in part["metadata"]}
    assert used <= {OURS, CREDENTIALS, "everest-system"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_secrets_that_are_there_are_named(variant: str) -> None:
    """Without a cluster the chart makes none, so a rendering holds no secret."""
    assert not any(part["kind"] == "Secret" for part in render(variant))


def test_the_renderings_are_of_this_chart() -> None:
    """So that a change of a template is tested here, where there is no Helm; `make test-chart` compares them."""
    assert DIGEST.read_text() == make_digest(), "make helm documents"


def test_one_version() -> None:
    """The chart's, its images' and the package's are the same."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert {chart["version"], chart["appVersion"]} == {contracts.__version__}
    images = {image["name"]: image["image"] for image in yaml.safe_load(chart["annotations"]["artifacthub.io/images"])}
    assert set(images.values()) == {
        part.container["image"] for variant in ("default", "small") for part in workloads(variant)
    }
    for name in ("crds", "changes"):
        assert yaml.safe_load(chart["annotations"][f"artifacthub.io/{name}"])


def test_every_value_says_what_it_is_for() -> None:
    """A comment above each, and a place in the schema, which has nothing else."""
    text = (CHART / "values.yaml").read_text().splitlines()
    values = [(before, line) for before, line in itertools.pairwise(text) if re.match(r" *\w+: .", line)]
    assert [line for before, line in values if not before.lstrip().startswith("#")] == []
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert _leaves(yaml.safe_load("\n".join(text))) == _schema_leaves(schema) - {"global"}
    jsonschema.Draft7Validator.check_schema(schema)


def _leaves(values: Object, path: str = "") -> set[str]:
    """Names of values with the folders they are in; what a person fills in freely is one value."""
    found: set[str] = set()
    for name, value in values.items():
        is_folder = isinstance(value, dict) and value and name not in ("resources", "dashboardLabels")
        found |= _leaves(value, f"{path}{name}.") if is_folder else {f"{path}{name}"}
    return found


def _schema_leaves(schema: Object, path: str = "") -> set[str]:
    found: set[str] = set()
    for name, part in schema["properties"].items():
        found |= _schema_leaves(part, f"{path}{name}.") if "properties" in part else {f"{path}{name}"}
    return found
