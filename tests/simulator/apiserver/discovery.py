"""The documents by which a client finds out what there is: discovery, OpenAPI, the version."""

from typing import Any

from tests.simulator.apiserver.resources import RESOURCES

KUBERNETES = "v1.34.4"

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_ALL = ("pods", "services", "deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs")
_ONLY_ASKED = ("authorization.k8s.io", "authentication.k8s.io")


def discover(path: str) -> dict[str, Any] | None:
    parts = [part for part in path.split("/") if part]
    match parts:
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            return _group_list()
        case ["api", version]:
            return _resource_list("", version)
        case ["apis", group, version]:
            return _resource_list(group, version)
        case ["openapi", "v3"]:
            return _openapi_index()
        case ["openapi", "v3", "api", version]:
            return _openapi_document("", version)
        case ["openapi", "v3", "apis", group, version]:
            return _openapi_document(group, version)
        case ["version"]:
            return describe_version(KUBERNETES)
        case ["healthz"] | ["readyz"] | ["livez"]:
            return {"status": "ok"}
    return None


def describe_version(version: str) -> dict[str, Any]:
    major, minor, *_ = version.removeprefix("v").split(".")
    return {"major": major, "minor": minor, "gitVersion": version}


def _groups() -> dict[str, list[str]]:
    """Versions by group, the core group left out."""
    found: dict[str, list[str]] = {}
    for resource in RESOURCES:
        if resource.group and resource.version not in found.setdefault(resource.group, []):
            found[resource.group].append(resource.version)
    return found


def _group_list() -> dict[str, Any]:
    def group(name: str, versions: list[str]) -> dict[str, Any]:
        listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
        return {"name": name, "versions": listed, "preferredVersion": listed[0]}

    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(*item) for item in _groups().items()]}


def _resource_list(group: str, version: str) -> dict[str, Any]:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": [
            {
                "name": resource.plural,
                "singularName": resource.kind.lower(),
                "namespaced": resource.is_namespaced,
                "kind": resource.kind,
                "verbs": ["create"] if group in _ONLY_ASKED else _VERBS,
                "shortNames": list(resource.short_names),
                "categories": ["all"] if resource.plural in _ALL else [],
            }
            for resource in RESOURCES
            if (resource.group, resource.version) == (group, version)
        ],
    }


def _openapi_index() -> dict[str, Any]:
    paths = ["api/v1", *(f"apis/{group}/{version}" for group, versions in _groups().items() for version in versions)]
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash=simulated"} for path in paths}}


def _openapi_document(group: str, version: str) -> dict[str, Any]:
    """Says of each kind that any field is fine, and of each write that fields can be validated: kubectl asks both."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    base = f"/apis/{group}/{version}" if group else f"/api/{version}"
    for resource in RESOURCES:
        if (resource.group, resource.version) != (group, version):
            continue
        identity = {"group": group, "version": version, "kind": resource.kind}
        schemas[f"simulated.{resource.kind}"] = {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "x-kubernetes-group-version-kind": [identity],
        }
        place = f"{base}/namespaces/{{namespace}}" if resource.is_namespaced else base
        write = {
            "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
            "x-kubernetes-group-version-kind": identity,
            "responses": {"200": {"description": "OK"}},
        }
        paths[f"{place}/{resource.plural}"] = {"post": {**write, "x-kubernetes-action": "post"}}
        if group in _ONLY_ASKED:
            continue  # what cannot be patched, kubectl looks for among the custom resources before it creates it
        paths[f"{place}/{resource.plural}/{{name}}"] = {
            "put": {**write, "x-kubernetes-action": "put"},
            "patch": {**write, "x-kubernetes-action": "patch"},
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.34.4"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


# The protobuf form of {swagger: "2.0", info: {title: "Kubernetes", version: "1"}}: without it every apply fails.
OPENAPI_V2 = b"\x0a\x032.0\x12\x0f\x0a\x0aKubernetes\x12\x011"
