"""What the images are made of."""

import json
import re
from typing import Any

from tests.laboratory.image.engine import docker, run
from tests.laboratory.image.surroundings import Surroundings

TARGETS = {
    "gateway": "everest-bootstrap-gateway",
    "handler": "everest-bootstrap-handler",
    "demo": "everest-bootstrap-demo",
}
WHOLE = "everestctl-api"
IMAGES = (*TARGETS.values(), WHOLE)
OF_COMPOSE_ALONE = ("everest-bootstrap-provision", "everest-bootstrap-demo-handler")


def every_target_is_built(here: Surroundings) -> None:
    """docker build -t everestctl-api . and each target, from files that only their owner may read"""
    for target, tag in TARGETS.items():
        docker("build", "--target", target, "-t", tag, *here.build_arguments, str(here.checkout))
    run("docker", "build", "-t", WHOLE, *here.build_arguments, ".", cwd=here.checkout)


def images_hold_what_they_need_and_no_more(here: Surroundings) -> None:
    """CLIs where they are needed and nowhere else, user 10001, no build tools, labels, a health check"""
    assert _has(TARGETS["gateway"], "kubectl", "everestctl", "nats-server", "everest-rbac-import") == set()
    assert _has(TARGETS["handler"], "kubectl", "everestctl", "nats-server", "everest-rbac-import") == {
        "/usr/local/bin/kubectl",
        "/usr/local/bin/everestctl",
        "/opt/everest/bin/everest-rbac-import",
    }
    assert "/app/tests/simulator/bin/everestctl" in _has(TARGETS["demo"], "everestctl")
    assert "/usr/local/bin/nats-server" in _has(WHOLE, "nats-server")
    users = {tag: _inspect(tag)["Config"]["User"] for tag in IMAGES}
    assert users == {**dict.fromkeys(TARGETS.values(), "10001"), WHOLE: "root"}, users
    for tag in IMAGES:
        config = _inspect(tag)["Config"]
        assert _has(tag, "gcc", "cc", "make", "/opt/everest/bin/pip") == set(), tag
        assert config["Labels"]["org.opencontainers.image.title"] == "everest-bootstrap"
        assert config["Healthcheck"]["Test"][0] == "CMD"
        assert "/bin/sh" not in [*(config["Entrypoint"] or []), *(config["Cmd"] or [])]
    assert "8080/tcp" in _inspect(WHOLE)["Config"]["ExposedPorts"]
    help_text = docker("run", "--rm", TARGETS["handler"], "everest-rbac-import", "--help")
    assert "--file" in help_text, help_text
    # Without any capability too: Kubernetes' restricted policy.
    docker("run", "--rm", "--read-only", "--cap-drop", "ALL", TARGETS["gateway"], "--help")


def downloads_are_checked(here: Surroundings) -> None:
    """a wrong SHA-256, none for this architecture, a version that is not there: each ends the build, and says so"""
    # An address of its own, so that the builder takes it for news and shows what is done.
    whole = _build_kubectl(here, f"KUBECTL_URL={here.downloads}/kubectl?again", expect=0)
    total = re.findall(r"  sha256 ([0-9a-f]{64})", whole)[0]
    machine = docker("version", "-f", "{{.Server.Arch}}")
    _build_kubectl(here, f"KUBECTL_SHA256=other:{'1' * 64} {machine}:{total}", expect=0)
    assert f"is {total}, and {'0' * 64} was asked for" in _build_kubectl(here, f"KUBECTL_SHA256={'0' * 64}")
    assert f"no SHA-256 is given for {machine}" in _build_kubectl(here, f"KUBECTL_SHA256=other:{total}")
    missing = f"KUBECTL_URL={here.downloads}/@VERSION@/@ARCH@/kubectl"
    said = _build_kubectl(here, missing, "--build-arg", "KUBECTL_VERSION=9.9.9")
    assert f"/9.9.9/{machine}/kubectl answers 404" in said, said
    assert "is there such a version?" in said


def _build_kubectl(here: Surroundings, argument: str, *more: str, expect: int | None = 1) -> str:
    words = ["--build-arg", argument, *more]
    return docker(
        "build", "--force-rm", "--target", "kubectl", *here.build_arguments, *words, str(here.checkout), expect=expect
    )


def _has(tag: str, *programs: str) -> set[str]:
    search = "for name; do command -v $name; done; true"
    return set(docker("run", "--rm", "--entrypoint", "sh", tag, "-c", search, "sh", *programs).split())


def _inspect(tag: str) -> dict[str, Any]:
    return dict(json.loads(docker("image", "inspect", tag))[0])
