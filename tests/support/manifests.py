"""The Kubernetes manifests as kustomize renders them, and what a test asks of them."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import yaml

from gateway.commands.processes import find_program
from tests.support.servers import ROOT

Object = dict[str, Any]

BASES = ("nats/k8s", "gateway/k8s", "handlers/k8s")
OVERLAYS = (
    "nats/k8s/single",
    "nats/k8s/tls",
    "gateway/k8s/single",
    "gateway/k8s/tls",
    "handlers/k8s/always-on",
    "handlers/k8s/narrow",
    "handlers/k8s/tls",
)
MONITORING = "gateway/monitoring"
EVERY = (*BASES, *OVERLAYS, MONITORING)


@cache
def render_text(folder: str) -> str:
    """What `kubectl apply -k` would send."""
    command = [find_program("kubectl"), "kustomize", str(ROOT / folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def render(folder: str) -> list[Object]:
    return list(yaml.load_all(render_text(folder), yaml.CSafeLoader))  # a second's work for the one in Python


def find(objects: list[Object], kind: str, name: str, namespace: str | None = None) -> Object:
    """The one object of that kind; a generated name may end in its hash."""
    (found,) = (
        part
        for part in objects
        if part["kind"] == kind
        and (part["metadata"]["name"] == name or part["metadata"]["name"].rpartition("-")[0] == name)
        and namespace in (None, part["metadata"].get("namespace"))
    )
    return found


@dataclass(frozen=True)
class Workload:
    """Something that starts pods, with all that its containers are given. Ours have one container each."""

    kind: str
    name: str
    template: Object
    objects: list[Object]

    @property
    def pod(self) -> Object:
        return dict(self.template["spec"])

    @property
    def container(self) -> Object:
        (container,) = self.pod["containers"]
        return dict(container)

    @property
    def variables(self) -> dict[str, str | None]:
        """Its environment; None where the value is a Secret's or the kubelet's."""
        variables: dict[str, str | None] = {}
        for source in self.container.get("envFrom", []):
            variables |= find(self.objects, "ConfigMap", source["configMapRef"]["name"])["data"]
        return variables | {part["name"]: part.get("value") for part in self.container.get("env", [])}

    def files(self) -> Iterator[PurePosixPath]:
        """The files that its volumes are known to hold."""
        folders = {mount["name"]: PurePosixPath(mount["mountPath"]) for mount in self.container["volumeMounts"]}
        for volume in self.pod["volumes"]:
            for source in volume.get("projected", {}).get("sources", [volume]):
                for file in self._files_of(source):
                    yield folders[volume["name"]] / file

    def _files_of(self, source: Object) -> list[str]:
        if "serviceAccountToken" in source:
            return [source["serviceAccountToken"]["path"]]
        part = source.get("secret") or source.get("configMap") or {}
        if "items" in part:
            return [item["path"] for item in part["items"]]
        if "configMap" in source:
            return list(find(self.objects, "ConfigMap", part["name"])["data"])
        return [SECRET_KEYS[part["secretName"]]] if "secretName" in part and part["secretName"] in SECRET_KEYS else []


# Secrets that the documentation has a person make, mounted whole.
SECRET_KEYS = {"gateway-keys": "admin-api-key"}


def workloads(folder: str) -> list[Workload]:
    objects = render(folder)
    return [
        Workload(part["kind"], part["metadata"]["name"], template, objects)
        for part in objects
        if (template := _template(part)) is not None
    ]


def _template(part: Object) -> Object | None:
    spec = part.get("spec", {})
    if part["kind"] == "ScaledJob":
        return dict(spec["jobTargetRef"]["template"])
    return dict(spec["template"]) if part["kind"] in ("Deployment", "StatefulSet", "Job") else None


def mebibytes(quantity: str) -> float:
    for suffix, factor in (("Mi", 1), ("Gi", 1024)):
        if quantity.endswith(suffix):
            return float(quantity.removesuffix(suffix)) * factor
    raise ValueError(quantity)
