"""The chart as Helm renders it, in each of its variants, and what a test asks of that.

The renderings are committed, so that it takes no Helm: `make documents` makes them, `make test-chart` compares them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tests.support.servers import ROOT

Object = dict[str, Any]

CHART = ROOT / "gateway" / "chart"
RENDERED = ROOT / "tests" / "data" / "chart"
VARIANTS = ("default", "small", "secured", "external")


def values_of(variant: str) -> Path:
    return CHART / "ci" / f"{variant}-values.yaml"


@cache
def render(variant: str) -> tuple[Object, ...]:
    """What Helm would send."""
    files = sorted((RENDERED / variant).rglob("*.yaml"))
    assert files, "make helm documents"
    # In Python alone it is seconds.
    return tuple(part for file in files for part in yaml.load_all(file.read_text(), yaml.CSafeLoader) if part)


def find(objects: Iterable[Object], kind: str, name: str, namespace: str | None = None) -> Object:
    """The one object of that kind."""
    (found,) = (
        part
        for part in objects
        if (part["kind"], part["metadata"]["name"]) == (kind, name)
        and namespace in (None, part["metadata"].get("namespace"))
    )
    return found


@dataclass(frozen=True)
class Workload:
    """Something that starts pods, with all that its containers are given. Ours have one container each."""

    kind: str
    name: str
    template: Object
    objects: tuple[Object, ...]

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
        return {part["name"]: part.get("value") for part in self.container["env"]}

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


# Secrets that are mounted whole.
SECRET_KEYS = {"gateway-keys": "admin-api-key", "gateway-webhooks": "webhooks.yaml"}


def workloads(variant: str) -> list[Workload]:
    objects = render(variant)
    return [
        Workload(part["kind"], part["metadata"]["labels"]["app.kubernetes.io/name"], template, objects)
        for part in objects
        if (template := _template(part)) is not None
    ]


def find_workload(variant: str, name: str) -> Workload:
    (found,) = (part for part in workloads(variant) if part.name == name)
    return found


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
