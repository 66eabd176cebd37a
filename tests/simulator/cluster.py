"""The simulated cluster: the API's writes, from their admission to what controllers make of them."""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.everestctl.version import SYSTEM, Version
from tests.simulator.apiserver.admission import admit, check_denials, check_object_quotas
from tests.simulator.apiserver.patches import apply_operations, merge
from tests.simulator.apiserver.resources import Resource
from tests.simulator.apiserver.store import MODIFIED, Object, Refusal, Store
from tests.simulator.controllers import Controllers
from tests.simulator.installation import DEPLOYMENTS, NAMESPACES, SERVER, install, new_namespace, server_image


class Cluster:
    """The store, an installation of Everest in it, and its controllers.

    `faults` are read by every everestctl run and changed by tests at any time. The settings, all in seconds:
    `job_seconds`, how long a hook Job takes; `termination_seconds`, a namespace; `database_seconds`, a database to get
    ready or to go; `engine_seconds`, versions to be offered once operators are installed.
    """

    SETTINGS = ("job_seconds", "termination_seconds", "database_seconds", "engine_seconds")

    def __init__(
        self,
        store: Store,
        job_seconds: float = 0.3,
        termination_seconds: float = 0.3,
        version: Version | None = None,
        cli_version: Version | None = None,
    ) -> None:
        self.store = store
        self.job_seconds = job_seconds
        self.termination_seconds = termination_seconds
        self.database_seconds = 0.05
        self.engine_seconds = 0.0
        self.faults: dict[str, Any] = {}
        self.has_server_crashed = False
        self._controllers = Controllers(self)
        if store.is_empty:
            install(store, version or Version("1.10.0"))
        elif version:
            self.version = version
        self.cli_version = cli_version or self.version

    def resume(self) -> None:
        self._controllers.resume()

    @property
    def version(self) -> Version:
        """Of Everest's server: its image's tag."""
        server = self.store.find(DEPLOYMENTS, SYSTEM, SERVER)
        image = server["spec"]["template"]["spec"]["containers"][0]["image"] if server else ""
        return Version(str(image).rpartition(":")[2])

    @version.setter
    def version(self, version: Version) -> None:
        server = copy.deepcopy(self.store.get(DEPLOYMENTS, SYSTEM, SERVER))
        server["spec"]["template"]["spec"]["containers"][0]["image"] = server_image(version)
        self.store.replace(DEPLOYMENTS, SYSTEM, SERVER, server)

    def create(self, kind: Resource, namespace: str, value: Object, is_dry: bool = False) -> Object:
        metadata = value.setdefault("metadata", {})
        if "name" not in metadata and "generateName" in metadata:
            metadata["name"] = metadata["generateName"] + os.urandom(3).hex()[:5]
        name = metadata.get("name", "")
        check_denials(self.faults.get("denials") or [], "create", kind, name)
        if kind is NAMESPACES:
            value = new_namespace(value)
        with self._writing(is_dry):
            admitted = admit(kind, value)
            self.store.check_namespace(kind, namespace, name)
            check_object_quotas(self.store, kind, namespace, name)
            created = self.store.create(kind, namespace, admitted)
        if not is_dry:
            self._controllers.see_created(kind, namespace, created)
        return created

    def replace(self, kind: Resource, namespace: str, name: str, value: Object, is_dry: bool = False) -> Object:
        check_denials(self.faults.get("denials") or [], "update", kind, name)
        with self._writing(is_dry):
            if not is_dry:
                self._maybe_conflict(kind, name)
            replaced = self.store.replace(kind, namespace, name, admit(kind, value))
        if not is_dry:
            self._controllers.see_changed(kind, namespace, replaced)
        return replaced

    def patch(self, kind: Resource, namespace: str, name: str, patch: Any, is_dry: bool = False) -> Object:
        """`patch` is a merge patch, or the list of a JSON patch's operations."""
        check_denials(self.faults.get("denials") or [], "update", kind, name)
        before = self.store.get(kind, namespace, name)
        self.store.check_version(kind, name, before, patch if isinstance(patch, dict) else {})
        try:
            changed = apply_operations(before, patch) if isinstance(patch, list) else merge(before, patch)
        except ValueError as error:
            raise Refusal(422, "Invalid", str(error)) from None
        after = admit(kind, copy.deepcopy(changed))
        if after == before:
            return before
        with self._writing(is_dry):
            patched = self.store.put(kind, namespace, name, after)
        if not is_dry:
            self._controllers.see_changed(kind, namespace, patched)
        return patched

    def delete(self, kind: Resource, namespace: str, name: str, options: Object, is_dry: bool = False) -> Object:
        """`options` are DeleteOptions, of which the preconditions are heeded."""
        check_denials(self.faults.get("denials") or [], "delete", kind, name)
        before = self.store.get(kind, namespace, name)
        _check_preconditions(kind, before, options.get("preconditions") or {})
        was_marked = "deletionTimestamp" in before["metadata"]
        with self._writing(is_dry):
            end = self.store.mark if kind is NAMESPACES else self.store.delete
            deleted = end(kind, namespace, name)
        if not is_dry and not was_marked:
            self._controllers.see_deleted(kind, namespace, deleted)
        return deleted

    def delete_all(self, kind: Resource, namespace: str, selector: str, is_dry: bool = False) -> list[Object]:
        found = self.store.list(kind, namespace, selector)
        return [self.delete(kind, namespace, one["metadata"]["name"], {}, is_dry) for one in found]

    @contextmanager
    def _writing(self, is_dry: bool) -> Iterator[None]:
        if not is_dry:
            yield
            return
        with self.store.undone():
            yield

    def _maybe_conflict(self, kind: Resource, name: str) -> None:
        """The next writes of an object are told that somebody was faster."""
        fault = self.faults.get("conflicts") or {}
        if fault.get(name, 0) > 0:
            fault[name] -= 1
            raise Refusal(409, "Conflict", f'Operation cannot be fulfilled on {kind.qualified} "{name}": {MODIFIED}')


def _check_preconditions(kind: Resource, found: Object, wanted: Object) -> None:
    metadata = found["metadata"]
    for member, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(member, metadata[member]) != metadata[member]:
            why = f"{word} in precondition: {wanted[member]}, {word} in object meta: {metadata[member]}"
            message = f'Operation cannot be fulfilled on {kind.qualified} "{metadata["name"]}": Precondition failed: '
            raise Refusal(409, "Conflict", message + why)
