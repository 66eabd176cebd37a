"""The simulated installation of Everest: what it holds at first, and what its controllers do by themselves."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

from tests.simulator import everestctl, quantities
from tests.simulator.resources import BY_PATH, Resource
from tests.simulator.store import Object, Refusal, Store, merge

SYSTEM = "everest-system"
_JOB = "everest-operators-installer"


def resource(plural: str, group: str = "", version: str = "v1") -> Resource:
    return BY_PATH[group, version, plural]


NAMESPACES, SECRETS, CONFIGMAPS = resource("namespaces"), resource("secrets"), resource("configmaps")
DEPLOYMENTS, JOBS = resource("deployments", "apps"), resource("jobs", "batch")
SUBSCRIPTIONS = resource("subscriptions", "operators.coreos.com", "v1alpha1")


class Cluster:
    """The store, Everest's objects in it, the hook Job's controller, and Everest's own watch on its policy.

    `faults` are read by every everestctl run and changed by tests at any time.
    """

    def __init__(self, store: Store, job_seconds: float = 0.3, termination_seconds: float = 0.3) -> None:
        self.store = store
        self.job_seconds = job_seconds
        self.termination_seconds = termination_seconds
        self.faults: dict[str, Any] = {}
        self.has_server_crashed = False
        self._tasks: set[asyncio.Task[None]] = set()
        if store.is_empty:
            self._install()

    def _install(self) -> None:
        for name in ("default", SYSTEM, "everest-monitoring", "everest-olm", "kube-system"):
            self.create(NAMESPACES, "", {"metadata": {"name": name}})
        users = {
            "admin": {
                "enabled": True,
                "capabilities": ["login"],
                "passwordMtime": everestctl.now(),
                "passwordHash": "initialadminpassword",
            }
        }
        text = base64.b64encode(everestctl.render_users(users).encode()).decode()
        metadata = {"name": "everest-accounts", "annotations": {"insecure-password/admin": "true"}}
        self.create(SECRETS, SYSTEM, {"metadata": metadata, "data": {"users.yaml": text}})
        policy = {"enabled": "false", "policy.csv": "g, admin, role:admin\n"}
        metadata = {"name": "everest-rbac", "annotations": {"helm.sh/resource-policy": "keep"}}
        self.create(CONFIGMAPS, SYSTEM, {"metadata": metadata, "data": policy})
        container = {"name": "everest", "image": "percona/everest:1.10.0"}
        spec = {"replicas": 1, "template": {"spec": {"containers": [container]}}}
        server = {"metadata": {"name": "everest-server"}, "spec": spec, "status": {"availableReplicas": 1}}
        self.create(DEPLOYMENTS, SYSTEM, server)
        metadata = {"name": "standard"}
        self.create(
            resource("storageclasses", "storage.k8s.io"), "", {"metadata": metadata, "provisioner": "simulated"}
        )

    def create(self, kind: Resource, namespace: str, value: Object) -> Object:
        """As the API's admission leaves it."""
        name = value.get("metadata", {}).get("name", "")
        if kind is NAMESPACES:
            value["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
            value["status"] = {"phase": "Active"}
        created = self.store.create(kind, namespace, _admit(kind, value))
        if kind is JOBS and name == _JOB:
            self._start(self._play_job(namespace))
        return created

    def replace(self, kind: Resource, namespace: str, name: str, value: Object) -> Object:
        self._maybe_conflict(kind, name)
        replaced = self.store.replace(kind, namespace, name, _admit(kind, value))
        self._watch_policy(kind, namespace, name, replaced)
        return replaced

    def patch(self, kind: Resource, namespace: str, name: str, patch: Object) -> Object:
        _admit(kind, merge(self.store.get(kind, namespace, name), patch))
        patched = self.store.patch(kind, namespace, name, patch)
        patched = self.store.patch(kind, namespace, name, _admit(kind, patched) | {"metadata": {}})
        self._watch_policy(kind, namespace, name, patched)
        return patched

    def delete(self, kind: Resource, namespace: str, name: str) -> Object:
        if kind is not NAMESPACES:
            return self.store.delete(kind, namespace, name)
        change = {"metadata": {"deletionTimestamp": everestctl.now()}, "status": {"phase": "Terminating"}}
        terminating = self.store.patch(kind, "", name, change)
        self._start(self._finish_namespace(name))
        return terminating

    def _maybe_conflict(self, kind: Resource, name: str) -> None:
        """The next writes of an object are told that somebody was faster."""
        fault = self.faults.get("conflicts") or {}
        if fault.get(name, 0) > 0:
            fault[name] -= 1
            raise Refusal(
                409, "Conflict", f'Operation cannot be fulfilled on {kind.qualified} "{name}": {everestctl.MODIFIED}'
            )

    def _watch_policy(self, kind: Resource, namespace: str, name: str, value: Object) -> None:
        """Everest's server panics on an invalid policy, for every tenant and whether or not RBAC is enabled."""
        if kind is not CONFIGMAPS or (namespace, name) != (SYSTEM, "everest-rbac"):
            return
        try:
            everestctl.check_rules(everestctl.parse_policy(value["data"]["policy.csv"]))
        except (everestctl.Failed, KeyError):
            self.has_server_crashed = True
            server = self.store.find(DEPLOYMENTS, SYSTEM, "everest-server")
            if server is not None:
                self.store.patch(DEPLOYMENTS, SYSTEM, "everest-server", {"status": {"availableReplicas": 0}})

    async def _play_job(self, namespace: str) -> None:
        """The hook Job: it lives in the cluster, whatever becomes of the everestctl that made it."""
        label = {"metadata": {"labels": {everestctl.MANAGED: "everest"}}}
        self._try(lambda: self.store.patch(NAMESPACES, "", namespace, label))
        await asyncio.sleep(self.job_seconds)
        await self._outlast("job_hangs")
        if self.faults.get("job_fails", 0) > 0:
            self.faults["job_fails"] -= 1
            self._try(lambda: self.store.patch(JOBS, namespace, _JOB, {"status": {"failed": 1}}))
            return
        versions = {item[0]: item[3] for item in everestctl.OPERATORS.values()}
        for subscription in self.store.list(SUBSCRIPTIONS, namespace):
            name = subscription["metadata"]["name"]
            status = {"status": {"installedCSV": f"{name}.{versions.get(name, 'v0.0.0')}"}}
            self._try(lambda name=name, status=status: self.store.patch(SUBSCRIPTIONS, namespace, name, status))
        self._try(lambda: self.store.patch(JOBS, namespace, _JOB, {"status": {"succeeded": 1}}))

    async def _finish_namespace(self, name: str) -> None:
        await asyncio.sleep(self.termination_seconds)
        await self._outlast("namespace_stays")
        self.store.empty_namespace(name)
        self._try(lambda: self.store.delete(NAMESPACES, "", name))

    async def _outlast(self, fault: str) -> None:
        while self.faults.get(fault):  # noqa: ASYNC110  # faults are set by anybody, at any time
            await asyncio.sleep(0.05)

    @staticmethod
    def _try(change: Callable[[], Object]) -> None:
        """A controller whose object is gone has nothing to do."""
        try:
            change()
        except Refusal:
            return

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _admit(kind: Resource, value: Object) -> Object:
    """Validation and canonical forms, for the kinds where they matter."""
    name = value.get("metadata", {}).get("name", "")
    if kind.kind == "ResourceQuota":
        hard = value.get("spec", {}).get("hard", {})
        value["spec"]["hard"] = {key: _quantity(kind, name, f"spec.hard[{key}]", text) for key, text in hard.items()}
        used = dict.fromkeys(value["spec"]["hard"], "0")
        value["status"] = {"hard": value["spec"]["hard"], "used": used}
    elif kind.kind == "LimitRange":
        for index, limit in enumerate(value.get("spec", {}).get("limits", [])):
            for part in ("default", "defaultRequest", "max", "min"):
                for key, text in limit.get(part, {}).items():
                    limit[part][key] = _quantity(kind, name, f"spec.limits[{index}].{part}[{key}]", text)
            _check_default(name, index, limit)
    elif kind.kind == "Secret" and "stringData" in value:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in value.pop("stringData").items()}
        value["data"] = {**value.get("data", {}), **encoded}
    return value


def _quantity(kind: Resource, name: str, place: str, text: Any) -> str:
    try:
        return quantities.canonical(str(text))
    except ValueError:
        why = f"quantities must match the regular expression '{quantities.PATTERN}'"
        raise Refusal(
            422, "Invalid", f'{kind.kind} "{name}" is invalid: {place}: Invalid value: "{text}": {why}'
        ) from None


def _check_default(name: str, index: int, limit: Object) -> None:
    for key, request in limit.get("defaultRequest", {}).items():
        default = limit.get("default", {}).get(key)
        if default and quantities.read(request) > quantities.read(default):
            why = f"default request value {request} is greater than default limit value {default}"
            place = f"spec.limits[{index}].defaultRequest[{key}]"
            raise Refusal(422, "Invalid", f'LimitRange "{name}" is invalid: {place}: Invalid value: "{request}": {why}')
