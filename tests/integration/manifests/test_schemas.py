"""The chart's objects against the schemas of Kubernetes, KEDA and the Prometheus Operator, which are fetched, not kept.

`make test-chart` installs what is needed; where it cannot be had the test says so and passes over.
"""

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.manifests import VARIANTS, Object, render

pytestmark = pytest.mark.slow

# Custom resources: the module whose source holds their definitions, and where.
MODULES = {
    "keda.sh": ("github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases"),
    "monitoring.coreos.com": (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd",
    ),
}
OLDEST_KUBERNETES, NEWEST_KUBERNETES = "1.31", "1.35"
OBJECTS = [(variant, part) for variant in VARIANTS for part in render(variant)]
CUSTOM = [(variant, part) for variant, part in OBJECTS if part["apiVersion"].partition("/")[0] in MODULES]
PLAIN = [(variant, part) for variant, part in OBJECTS if (variant, part) not in CUSTOM]


def name(value: object) -> str | None:
    return f"{value['kind']}-{value['metadata']['name']}" if isinstance(value, dict) else None


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, NEWEST_KUBERNETES])
@pytest.mark.parametrize(("variant", "part"), PLAIN, ids=name)
def test_kubernetes_knows_every_field(variant: str, part: Object, version: str) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    validator.validate(part, version, strict=True)


@pytest.mark.parametrize(("variant", "part"), CUSTOM, ids=name)
def test_custom_resources_are_as_defined(variant: str, part: Object) -> None:
    """The API server drops a field that a definition does not know: here it is an error."""
    group, _, version = part["apiVersion"].partition("/")
    definition = find_definition(group, part["kind"])
    (schema,) = (known["schema"]["openAPIV3Schema"] for known in definition["versions"] if known["name"] == version)
    assert definition["scope"] == "Namespaced"
    jsonschema.Draft7Validator(close(schema)).validate(part)


def find_definition(group: str, kind: str) -> Object:
    folder = fetch_module(*MODULES[group])
    definition = yaml.safe_load((folder / f"{group}_{kind.lower()}s.yaml").read_text())["spec"]
    assert (definition["group"], definition["names"]["kind"]) == (group, kind)
    return dict(definition)


@cache
def fetch_module(module: str, folder: str) -> Path:
    go = shutil.which("go")
    if go is None:
        pytest.skip(f"go is not on PATH: it fetches {module}")
    command = [go, "mod", "download", "-json", module]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if completed.returncode != 0:
        pytest.skip(f"{module} cannot be had: {completed.stderr or completed.stdout}")
    return Path(json.loads(completed.stdout)["Dir"]) / folder


def close(schema: Any) -> Any:
    """The schema without room for fields that it does not name, and without what only the API server understands."""
    if isinstance(schema, list):
        return [close(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close(value) for key, value in schema.items() if key != "format"}
    is_object = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if is_object and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def test_a_field_that_is_not_known_is_found() -> None:
    """The check can fail."""
    (part,) = (part for variant, part in CUSTOM if variant == "default" and part["kind"] == "ScaledJob")
    wrong = {**part, "spec": {**part["spec"], "cooldownPeriod": 300}}  # which only a ScaledObject has
    with pytest.raises(jsonschema.ValidationError):
        test_custom_resources_are_as_defined("default", wrong)
