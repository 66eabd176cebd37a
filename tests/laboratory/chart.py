"""The chart as Helm renders it: a folder for each variant, which tests without Helm read; `make documents` writes them.

Helm is the one on PATH, or built from its Go module into the cache, once; where it cannot be had nothing is rendered.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import contracts
from tests.laboratory.kubernetes import CACHE, Unavailable, go_install
from tests.support.manifests import CHART, RENDERED, VARIANTS, values_of

VERSION = "v3.22.0"
FOLDER = CACHE / f"helm-{VERSION}"
RELEASE = NAMESPACE = "everest-bootstrap"
# Of a rendering without a cluster: one that Go installed knows of none.
KUBERNETES = "1.34.0"
DIGEST = RENDERED / "digest"
EARLIER = RENDERED / "earlier"


def find_helm() -> str | None:
    return shutil.which("helm") or shutil.which("helm", path=str(FOLDER))


def build_helm() -> None:
    """Some minutes, where it is not here yet. Raises Unavailable."""
    if find_helm() is None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        print(f"building helm {VERSION}, once: some minutes", flush=True)
        go_install(f"helm.sh/helm/v3/cmd/helm@{VERSION}", FOLDER)


def run_helm(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """With a home of its own, so that nobody's plugins and repositories count."""
    helm = find_helm()
    assert helm is not None, "make test-chart builds helm"
    with tempfile.TemporaryDirectory() as home:
        places = {f"HELM_{part}_HOME": f"{home}/{part}" for part in ("CACHE", "CONFIG", "DATA")}
        return subprocess.run(
            [helm, *arguments],
            env={**os.environ, **places, **variables},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def template(*arguments: str) -> subprocess.CompletedProcess[str]:
    chart = (RELEASE, str(CHART), "--namespace", NAMESPACE, "--kube-version", KUBERNETES)
    return run_helm("template", *chart, *arguments)


def render_files(variant: str) -> dict[str, str]:
    """Every template that renders anything, by its path below templates/."""
    with tempfile.TemporaryDirectory() as folder:
        done = template("--values", str(values_of(variant)), "--output-dir", folder)
        assert done.returncode == 0, done.stderr
        templates = Path(folder) / RELEASE / "templates"
        return {str(file.relative_to(templates)): file.read_text() for file in sorted(templates.rglob("*.yaml"))}


def make_digest() -> str:
    """Of all that the renderings are made from: where it differs from the one beside them, they are old."""
    digest = hashlib.sha256()
    for file in sorted(path for path in CHART.rglob("*") if path.is_file() and path.suffix != ".md"):
        digest.update(f"{file.relative_to(CHART)}\n".encode() + file.read_bytes())
    return digest.hexdigest() + "\n"


def write_renderings() -> None:
    for variant in VARIANTS:
        folder = RENDERED / variant
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in render_files(variant).items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    # Those of earlier versions stay: what a deployment of that version may hand to an upgrade.
    (EARLIER / f"values-{contracts.__version__}.yaml").write_text((CHART / "values.yaml").read_text())
    DIGEST.write_text(make_digest())


def main() -> None:
    """Where Helm cannot be had its tests are skipped, which is no failure."""
    try:
        build_helm()
    except Unavailable as reason:
        print(f"helm is not here, so its tests are skipped: {reason}")


if __name__ == "__main__":
    main()
