"""The kinds that the simulated Kubernetes API knows, and its discovery and OpenAPI documents."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Resource:
    group: str
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True
    short_names: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As error messages name it: `secrets`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_OLM = "operators.coreos.com"
_RBAC = "rbac.authorization.k8s.io"
_EVEREST = "everest.percona.com"

RESOURCES = (
    Resource("", "v1", "namespaces", "Namespace", False, ("ns",)),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "configmaps", "ConfigMap", True, ("cm",)),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",)),
    Resource("", "v1", "resourcequotas", "ResourceQuota", True, ("quota",)),
    Resource("", "v1", "limitranges", "LimitRange", True, ("limits",)),
    Resource("", "v1", "events", "Event", True, ("ev",)),
    Resource("", "v1", "pods", "Pod", True, ("po",)),
    Resource("", "v1", "services", "Service", True, ("svc",)),
    Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, ("pvc",)),
    Resource("apps", "v1", "deployments", "Deployment", True, ("deploy",)),
    Resource("apps", "v1", "statefulsets", "StatefulSet", True, ("sts",)),
    Resource("apps", "v1", "daemonsets", "DaemonSet", True, ("ds",)),
    Resource("apps", "v1", "replicasets", "ReplicaSet", True, ("rs",)),
    Resource("batch", "v1", "jobs", "Job"),
    Resource("batch", "v1", "cronjobs", "CronJob", True, ("cj",)),
    Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, ("sc",)),
    Resource(_RBAC, "v1", "roles", "Role"),
    Resource(_RBAC, "v1", "rolebindings", "RoleBinding"),
    Resource(_RBAC, "v1", "clusterroles", "ClusterRole", False),
    Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    Resource(_OLM, "v1", "operatorgroups", "OperatorGroup"),
    Resource(_OLM, "v1alpha1", "subscriptions", "Subscription"),
    Resource(_OLM, "v1alpha1", "installplans", "InstallPlan"),
    Resource(_OLM, "v1alpha1", "clusterserviceversions", "ClusterServiceVersion", True, ("csv",)),
    Resource(_EVEREST, "v1alpha1", "databaseclusters", "DatabaseCluster", True, ("db", "dbc")),
    Resource(_EVEREST, "v1alpha1", "databaseclusterbackups", "DatabaseClusterBackup", True, ("dbb",)),
    Resource(_EVEREST, "v1alpha1", "databaseclusterrestores", "DatabaseClusterRestore", True, ("dbr",)),
    Resource(_EVEREST, "v1alpha1", "databaseengines", "DatabaseEngine", True, ("dbe",)),
    Resource(_EVEREST, "v1alpha1", "backupstorages", "BackupStorage"),
    Resource(_EVEREST, "v1alpha1", "monitoringconfigs", "MonitoringConfig"),
    Resource(_EVEREST, "v1alpha1", "dataimportjobs", "DataImportJob", True, ("dij",)),
    Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False),
    Resource("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False),
    Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False, ("crd",)),
    Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False),
)

BY_PATH = {(resource.group, resource.version, resource.plural): resource for resource in RESOURCES}
BY_QUALIFIED = {resource.qualified: resource for resource in RESOURCES}
BY_KIND = {(resource.api_version, resource.kind): resource for resource in RESOURCES}

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_ALL = ("pods", "services", "deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs")
_ONLY_ASKED = ("authorization.k8s.io", "authentication.k8s.io")


def resource(plural: str, group: str = "", version: str = "v1") -> Resource:
    return BY_PATH[group, version, plural]


def groups() -> dict[str, list[str]]:
    """Versions by group, the core group left out."""
    found: dict[str, list[str]] = {}
    for resource in RESOURCES:
        if resource.group and resource.version not in found.setdefault(resource.group, []):
            found[resource.group].append(resource.version)
    return found


def group_list() -> dict[str, Any]:
    def group(name: str, versions: list[str]) -> dict[str, Any]:
        listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
        return {"name": name, "versions": listed, "preferredVersion": listed[0]}

    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(*item) for item in groups().items()]}


def resource_list(group: str, version: str) -> dict[str, Any]:
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


def openapi_index() -> dict[str, Any]:
    paths = ["api/v1", *(f"apis/{group}/{version}" for group, versions in groups().items() for version in versions)]
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash=simulated"} for path in paths}}


def openapi_document(group: str, version: str) -> dict[str, Any]:
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
