"""What happens in the cluster by itself: hook Jobs, the end of namespaces, database operators, Everest's own server."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.everestctl.errors import Failed
from tests.everestctl.namespaces.helm import INSTALLER, PRE_DELETE
from tests.everestctl.namespaces.names import MANAGED
from tests.everestctl.namespaces.operators import OPERATORS, Operator
from tests.everestctl.output import now
from tests.everestctl.rbac.policy import check_policy, read_policy
from tests.everestctl.version import SYSTEM
from tests.simulator.apiserver.resources import Resource, resource
from tests.simulator.apiserver.store import Object, Refusal
from tests.simulator.installation import CONFIGMAPS, DEPLOYMENTS, NAMESPACES, SERVER

if TYPE_CHECKING:
    from tests.simulator.cluster import Cluster

EVEREST = "everest.percona.com"
JOBS = resource("jobs", "batch")
SUBSCRIPTIONS = resource("subscriptions", "operators.coreos.com", "v1alpha1")
SERVICES = resource("clusterserviceversions", "operators.coreos.com", "v1alpha1")
DATABASES = resource("databaseclusters", EVEREST, "v1alpha1")
ENGINES = resource("databaseengines", EVEREST, "v1alpha1")

_FINALIZERS = f"{EVEREST}/"  # whose operator takes them off; anybody else's stay
_CLEANUP = f"{EVEREST}/upstream-cluster-cleanup"
_OF_OPERATORS = ("databaseclusters", "databaseclusterbackups", "databaseclusterrestores")
_ENGINE_VERSIONS = {
    "postgresql": ("17.5.2", "16.9.2", "15.13.2"),
    "psmdb": ("8.0.12-4", "7.0.24-13", "6.0.25-20"),
    "pxc": ("8.4.5-5.1", "8.0.42-33.1"),
}


class Controllers:
    """Each plays on until its object is gone, whatever becomes of the everestctl that made it."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._tasks: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """What was under way when the cluster was saved."""
        for namespace in self._store.list(NAMESPACES):
            if "deletionTimestamp" in namespace["metadata"]:
                self._start(self._finish_namespace(namespace["metadata"]["name"]))
        for job in self._store.list(JOBS):
            self.see_created(JOBS, job["metadata"]["namespace"], job)

    def see_created(self, kind: Resource, namespace: str, value: Object) -> None:
        name = value["metadata"]["name"]
        if kind is JOBS and "conditions" not in value.get("status", {}):
            if name == INSTALLER:
                self._start(self._play_installer(namespace))
            elif name.startswith(PRE_DELETE):
                self._start(self._play_pre_delete(namespace, name))
        elif kind is DATABASES:
            self._start(self._run_database(namespace, name))

    def see_changed(self, kind: Resource, namespace: str, value: Object) -> None:
        name = value["metadata"]["name"]
        if kind is CONFIGMAPS and (namespace, name) == (SYSTEM, "everest-rbac"):
            self._watch_policy(value)
        elif kind is DATABASES:
            self._start(self._run_database(namespace, name))

    def see_deleted(self, kind: Resource, namespace: str, value: Object) -> None:
        """It is marked, and stays until its finalizers are gone."""
        name = value["metadata"]["name"]
        if kind is NAMESPACES:
            self._start(self._finish_namespace(name))
        elif kind.group == EVEREST and value["metadata"].get("finalizers"):
            self._start(self._clear_finalizers(kind, namespace, name))

    def _watch_policy(self, value: Object) -> None:
        """Everest's server panics on an invalid policy, for every tenant and whether or not RBAC is enabled."""
        try:
            check_policy(read_policy(value["data"]["policy.csv"]), self._cluster.version.minor)
        except (Failed, KeyError):
            self._cluster.has_server_crashed = True
            self._patch(DEPLOYMENTS, SYSTEM, SERVER, {"status": {"availableReplicas": 0}})

    async def _play_installer(self, namespace: str) -> None:
        """Labels the namespace first, then has the operators installed, one after the other."""
        self._patch(NAMESPACES, "", namespace, {"metadata": {"labels": {MANAGED: "everest"}}})
        self._patch(JOBS, namespace, INSTALLER, {"status": {"active": 1}})
        new = [operator for operator in OPERATORS.values() if self._is_to_be_installed(namespace, operator)]
        part_seconds = self._cluster.job_seconds / (len(new) + 1)
        await asyncio.sleep(part_seconds)
        await self._outlast("job_hangs")
        if self._takes_fault("job_fails"):
            self._patch(JOBS, namespace, INSTALLER, _ended("failed"))
            return
        for operator in OPERATORS.values():
            if operator in new:
                await self._install_operator(namespace, operator, part_seconds)
            self._create_engine(namespace, operator)
        self._patch(JOBS, namespace, INSTALLER, _ended("succeeded"))

    def _is_to_be_installed(self, namespace: str, operator: Operator) -> bool:
        subscription = self._store.find(SUBSCRIPTIONS, namespace, operator.package)
        return subscription is not None and "installedCSV" not in subscription.get("status", {})

    async def _install_operator(self, namespace: str, operator: Operator, seconds: float) -> None:
        name = f"{operator.package}.{operator.version}"
        spec = {"version": operator.version.removeprefix("v"), "displayName": operator.package}
        service = {"metadata": {"name": name}, "spec": spec, "status": {"phase": "Installing"}}
        self._try(partial(self._store.create, SERVICES, namespace, service))
        self._patch(SUBSCRIPTIONS, namespace, operator.package, {"status": {"currentCSV": name}})
        await asyncio.sleep(seconds)
        await self._outlast("operators_hang")
        self._patch(SERVICES, namespace, name, {"status": {"phase": "Succeeded"}})
        self._patch(SUBSCRIPTIONS, namespace, operator.package, {"status": {"installedCSV": name}})

    def _create_engine(self, namespace: str, operator: Operator) -> None:
        spec, status = {"type": operator.engine}, {"status": "not installed"}
        engine = {"metadata": {"name": operator.package}, "spec": spec, "status": status}
        self._try(partial(self._store.create, ENGINES, namespace, engine))
        if self._store.find(SUBSCRIPTIONS, namespace, operator.package):
            self._start(self._offer_versions(namespace, operator))

    async def _offer_versions(self, namespace: str, operator: Operator) -> None:
        """The fault `no_version_service`: none is offered; its value may be the engine's status meanwhile."""
        fault = self._cluster.faults.get("no_version_service")
        if fault or self._cluster.engine_seconds:
            state = fault if isinstance(fault, str) else "installed" if fault else "installing"
            status = {"status": state, "operatorVersion": operator.version.removeprefix("v"), "availableVersions": {}}
            self._patch(ENGINES, namespace, operator.package, {"status": status})
        await asyncio.sleep(self._cluster.engine_seconds)
        await self._outlast("no_version_service")
        engines = {
            version: {"imagePath": f"percona/{operator.engine}:{version}", "imageHash": "0" * 64, "status": "available"}
            for version in _ENGINE_VERSIONS[operator.engine]
        }
        next(iter(engines.values()))["status"] = "recommended"
        status = {"status": "installed", "operatorVersion": operator.version.removeprefix("v")}
        status |= {"availableVersions": {"engine": engines, "backup": {}, "proxy": {}, "tools": {}}}
        self._patch(ENGINES, namespace, operator.package, {"status": status})

    async def _play_pre_delete(self, namespace: str, name: str) -> None:
        """Takes the operators away."""
        await asyncio.sleep(self._cluster.job_seconds)
        await self._outlast("removal_job_hangs")
        if self._takes_fault("removal_job_fails"):
            self._patch(JOBS, namespace, name, _ended("failed"))
            return
        for kind in (SUBSCRIPTIONS, SERVICES):
            for value in self._store.list(kind, namespace):
                self._try(partial(self._store.delete, kind, namespace, value["metadata"]["name"]))
        for engine in self._store.list(ENGINES, namespace):
            status = {"status": "not installed", "operatorVersion": None, "availableVersions": None}
            self._patch(ENGINES, namespace, engine["metadata"]["name"], {"status": status})
        self._patch(JOBS, namespace, name, _ended("succeeded"))

    async def _run_database(self, namespace: str, name: str) -> None:
        """Only where an operator is there to run it."""
        if not self._has_operator(namespace):
            return
        database = self._store.find(DATABASES, namespace, name)
        if database is None or "deletionTimestamp" in database["metadata"]:
            return
        finalizers = database["metadata"].get("finalizers") or []
        if _CLEANUP not in finalizers:
            self._patch(DATABASES, namespace, name, {"metadata": {"finalizers": [*finalizers, _CLEANUP]}})
        await asyncio.sleep(self._cluster.database_seconds)
        database = self._store.find(DATABASES, namespace, name) or {}
        state = "paused" if (database.get("spec") or {}).get("paused") else "ready"
        if (database.get("status") or {}).get("status") != state:
            self._patch(DATABASES, namespace, name, {"status": {"status": state}})

    async def _clear_finalizers(self, kind: Resource, namespace: str, name: str) -> None:
        await asyncio.sleep(self._cluster.database_seconds)
        await self._outlast("databases_stay")
        value = self._store.find(kind, namespace, name)
        if value is None or (kind.plural in _OF_OPERATORS and not self._has_operator(namespace)):
            return
        finalizers = [one for one in value["metadata"].get("finalizers") or [] if not one.startswith(_FINALIZERS)]
        self._patch(kind, namespace, name, {"metadata": {"finalizers": finalizers}})

    def _has_operator(self, namespace: str) -> bool:
        return any((one.get("status") or {}).get("installedCSV") for one in self._store.list(SUBSCRIPTIONS, namespace))

    async def _finish_namespace(self, name: str) -> None:
        """Operators go at once, like everything that nobody holds; then it waits for what somebody does."""
        await asyncio.sleep(self._cluster.termination_seconds)
        await self._outlast("namespace_stays")
        for kind, value in self._store.content(name):
            marked = self._store.delete(kind, name, value["metadata"]["name"])
            self.see_deleted(kind, name, marked)
        if self._store.content(name):
            self._patch(NAMESPACES, "", name, {"status": {"conditions": [_describe(self._store.content(name))]}})
        while self._store.content(name):  # noqa: ASYNC110  # finalizers are taken off by anybody, at any time
            await asyncio.sleep(0.05)
        self._try(partial(self._store.delete, NAMESPACES, "", name))

    async def _outlast(self, fault: str) -> None:
        while self._cluster.faults.get(fault):  # noqa: ASYNC110  # faults are set by anybody, at any time
            await asyncio.sleep(0.05)

    def _takes_fault(self, name: str) -> bool:
        """Whether it is asked for once more."""
        faults = self._cluster.faults
        if faults.get(name, 0) <= 0:
            return False
        faults[name] -= 1
        return True

    def _patch(self, kind: Resource, namespace: str, name: str, change: Object) -> None:
        self._try(partial(self._store.patch, kind, namespace, name, change))

    @staticmethod
    def _try(change: Callable[[], Object]) -> None:
        """A controller whose object is gone, or already there, has nothing to do."""
        try:
            change()
        except Refusal:
            return

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _ended(result: str) -> Object:
    """A Job's status as Helm waits for it: merged into what it was."""
    condition = {"type": "Complete", "status": "True", "lastTransitionTime": now()}
    if result == "failed":
        condition |= {"type": "Failed", "reason": "BackoffLimitExceeded"}
    return {"status": {"active": None, result: 1, "conditions": [condition]}}


def _describe(content: list[tuple[Resource, Object]]) -> Object:
    """The namespace's condition that names who holds it."""
    held: dict[str, int] = {}
    for _, value in content:
        for finalizer in value["metadata"].get("finalizers") or []:
            held[finalizer] = held.get(finalizer, 0) + 1
    message = ", ".join(f"{name} in {count} resource instances" for name, count in held.items())
    message = f"Some content in the namespace has finalizers remaining: {message}"
    identity = {"type": "NamespaceFinalizersRemaining", "reason": "SomeFinalizersRemain", "status": "True"}
    return {**identity, "message": message}
