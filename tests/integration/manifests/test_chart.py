"""The chart by Helm's own judgement: linted, rendered as it is committed, packed, and refusing what cannot work."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.laboratory.chart import EARLIER, KUBERNETES, find_helm, render_files, run_helm, template
from tests.support.manifests import CHART, RENDERED, VARIANTS, values_of
from tests.support.servers import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_helm() is None, reason="helm is not here: make test-chart builds it"),
]
# All values, as a deployment of that version has them.
OLDER_VALUES = sorted(EARLIER.glob("values-*.yaml"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_committed_is_what_helm_renders(variant: str) -> None:
    folder = RENDERED / variant
    committed = {str(file.relative_to(folder)): file.read_text() for file in sorted(folder.rglob("*.yaml"))}
    assert render_files(variant) == committed, "make documents"


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_to_lint(variant: str) -> None:
    done = run_helm("lint", "--strict", str(CHART), "--values", str(values_of(variant)))
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout


GIVEN = ("--values", str(values_of("default")))
REFUSED = {
    "Secrets would be made anew at each rendering": ((), "must name a Secret of yours"),
    "only one Secret is given": (("--set", "nats.existingSecret=a"), "gateway.existingSecret must name a Secret"),
    "certificates, too": ((*GIVEN, "--set", "nats.tls.enabled=true"), "nats.tls.existingSecret must name a Secret"),
    "two nodes are no cluster": ((*GIVEN, "--set", "nats.nodes=2"), "nats/nodes"),
    "a mode that is none": ((*GIVEN, "--set", "handlers.mode=daemonset"), "handlers/mode"),
    "a pod of one's own": ((*GIVEN, "--set", "nats.pod.hostNetwork=true"), "hostNetwork"),
    "a mistyped name": ((*GIVEN, "--set", "gateway.replica=3"), "replica"),
    "a mistyped setting": ((*GIVEN, "--set", "gateway.settings.rate_limit=1"), "rate_limit"),
    "KEDA cannot find another NATS": (
        (*GIVEN, "--set", "nats.external.url=nats://a:4222"),
        "needs nats.external.monitoring",
    ),
    "nobody's passwords": (
        ("--set", "gateway.existingSecret=a,nats.external.url=nats://a:4222"),
        "nats.existingSecret must name",
    ),
    "keys without a place": ((*GIVEN, "--set", "gateway.keys=a:b"), "under the name keys"),
    "a namespace that a tenant could have": (
        (*GIVEN, "--set", "handlers.credentialsNamespace=passwords"),
        "credentials",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_work_is_refused(why: str) -> None:
    """Before anything is installed, and with what to do."""
    arguments, words = REFUSED[why]
    done = template(*arguments)
    assert done.returncode != 0
    assert words in done.stderr


@pytest.mark.parametrize("values", OLDER_VALUES, ids=lambda path: path.stem)
def test_values_of_earlier_versions_still_count(values: Path) -> None:
    """An upgrade with --reset-then-reuse-values hands all of them to the new templates and their schema."""
    done = template("--values", str(values), *GIVEN)
    assert done.returncode == 0, done.stderr


def test_any_namespace_is_as_good() -> None:
    """Nothing leads to the one that the documentation names, but for what is one in a cluster."""
    done = run_helm("template", "x", str(CHART), "--namespace", "platform", "--kube-version", KUBERNETES, *GIVEN)
    assert done.returncode == 0, done.stderr
    parts = list(yaml.safe_load_all(done.stdout))
    assert {part["metadata"].get("namespace") for part in parts} == {None, "platform", "everest-system"}
    for text in ("everest-bootstrap.svc", "serviceaccount:everest-bootstrap", "namespace: everest-bootstrap\n"):
        assert text not in done.stdout


@pytest.mark.parametrize(
    ("limit", "shown"),
    [("2Gi", "1802MiB"), ("512Mi", "451MiB"), ("1.5Gi", "1352MiB"), ("2G", "1678MiB"), ("1073741824", None)],
)
def test_the_memory_of_the_servers_is_of_their_limit(limit: str, shown: str | None) -> None:
    """Where it cannot be read they are given none."""
    setting = f"nats.resources.limits.memory={limit}"
    done = template(*GIVEN, "--set-string", setting, "--show-only", "templates/nats/statefulset.yaml")
    assert done.returncode == 0, done.stderr
    (variables,) = (
        {part["name"]: part.get("value") for part in found["spec"]["template"]["spec"]["containers"][0]["env"]}
        for found in yaml.safe_load_all(done.stdout)
        if found["kind"] == "StatefulSet"
    )
    assert variables.get("GOMEMLIMIT") == shown


def test_what_a_value_leaves_out_is_not_rendered() -> None:
    """A pod may live for as long as it has work, and have metrics although it runs until idle."""
    wanted = ("--set", "handlers.podLifetime=0", "--set", "handlers.settings.METRICS_PORT=9100")
    done = template(*GIVEN, *wanted, "--show-only", "templates/handlers/scaledjob.yaml")
    assert done.returncode == 0, done.stderr
    assert "activeDeadlineSeconds" not in done.stdout
    assert "{name: metrics, containerPort: 9100}" in done.stdout


def test_the_hook_is_an_alternative() -> None:
    """For who wants `helm install` to end when all is provisioned."""
    done = template(*GIVEN, "--set", "provision.hook=true", "--show-only", "templates/gateway/provision.yaml")
    assert done.returncode == 0, done.stderr
    (job,) = yaml.safe_load_all(done.stdout)
    assert job["metadata"]["name"] == "provision"
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade"


def test_the_package_holds_what_an_installation_needs(tmp_path: Path) -> None:
    done = run_helm("package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.glob("everest-bootstrap-*.tgz")
    with tarfile.open(package) as archive:
        names = {name.removeprefix("everest-bootstrap/") for name in archive.getnames()}
    assert {"Chart.yaml", "values.yaml", "values.schema.json", "README.md", "files/nats/permissions.conf"} <= names
    assert not any(name.startswith("ci/") for name in names)


def test_a_release_names_its_own_images(tmp_path: Path) -> None:
    """As CI packs it: of what was pushed just before."""
    helm = find_helm()
    assert helm is not None
    command = [str(ROOT / ".ci" / "pack-chart"), "registry.example.com/team/", str(tmp_path)]
    path = f"{Path(helm).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, env={**os.environ, "PATH": path}, check=True, capture_output=True, timeout=60)
    (package,) = tmp_path.glob("*.tgz")
    done = run_helm("template", "x", str(package), "--kube-version", KUBERNETES, *GIVEN)
    assert done.returncode == 0, done.stderr
    images = {line.split()[-1].strip('"') for line in done.stdout.splitlines() if line.strip().startswith("image:")}
    assert {image.rpartition("/")[0] for image in images if "everest" in image} == {"registry.example.com/team"}
    shown = run_helm("show", "chart", str(package)).stdout
    assert shown.count('"registry.example.com/team/everest-bootstrap-') == 2
