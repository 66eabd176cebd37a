"""What a fresh installation of Everest holds."""

import base64

from tests.everestctl.accounts_file import Account, render_users
from tests.everestctl.output import now
from tests.everestctl.version import SYSTEM, Version
from tests.simulator.apiserver.resources import RESOURCES, Resource, resource
from tests.simulator.apiserver.store import Object, Store

NAMESPACES, SECRETS, CONFIGMAPS = resource("namespaces"), resource("secrets"), resource("configmaps")
DEPLOYMENTS = resource("deployments", "apps")
SERVER = "everest-server"

_CUSTOM = ("everest.percona.com", "operators.coreos.com")


def install(store: Store, version: Version) -> None:
    for name in ("default", SYSTEM, "everest-monitoring", "everest-olm", "kube-system"):
        store.create(NAMESPACES, "", new_namespace({"metadata": {"name": name}}))
    admin = Account(True, ("login",), now(), "initialadminpassword")
    text = base64.b64encode(render_users({"admin": admin}).encode()).decode()
    metadata = {"name": "everest-accounts", "annotations": {"insecure-password/admin": "true"}}
    store.create(SECRETS, SYSTEM, {"metadata": metadata, "data": {"users.yaml": text}})
    policy = {"enabled": "false", "policy.csv": "g, admin, role:admin\n"}
    metadata = {"name": "everest-rbac", "annotations": {"helm.sh/resource-policy": "keep"}}
    store.create(CONFIGMAPS, SYSTEM, {"metadata": metadata, "data": policy})
    for name in (SERVER, "everest-operator"):
        store.create(DEPLOYMENTS, SYSTEM, _server(name, version))
    if version.is_preview:
        store.create(NAMESPACES, "", new_namespace({"metadata": {"name": "openeverest-system"}}))
    storage = {"metadata": {"name": "standard"}, "provisioner": "simulated"}
    store.create(resource("storageclasses", "storage.k8s.io"), "", storage)
    for kind in RESOURCES:
        if kind.group in _CUSTOM:
            definitions = resource("customresourcedefinitions", "apiextensions.k8s.io")
            store.create(definitions, "", _definition(kind))


def new_namespace(value: Object) -> Object:
    labels = value["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = value["metadata"]["name"]
    return {**value, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}


def server_image(version: Version) -> str:
    """Images moved with 1.12."""
    home = "ghcr.io/openeverest/openeverest" if version.minor >= (1, 12) else "percona/everest"
    return f"{home}:{version.text}"


def _server(name: str, version: Version) -> Object:
    container = {"name": "everest", "image": server_image(version)}
    spec = {"replicas": 1, "template": {"spec": {"containers": [container]}}}
    return {"metadata": {"name": name}, "spec": spec, "status": {"availableReplicas": 1}}


def _definition(kind: Resource) -> Object:
    names = {"kind": kind.kind, "plural": kind.plural, "singular": kind.kind.lower()}
    versions = [{"name": kind.version, "served": True, "storage": True}]
    scope = "Namespaced" if kind.is_namespaced else "Cluster"
    spec = {"group": kind.group, "names": names, "scope": scope, "versions": versions}
    return {"metadata": {"name": kind.qualified}, "spec": spec}
