"""The objects of the simulated cluster: versions, conflicts, selectors, merges, and a file to survive in."""

import copy
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.simulator.apiserver.patches import merge
from tests.simulator.apiserver.resources import BY_KIND, BY_QUALIFIED, Resource
from tests.simulator.apiserver.selectors import read_selector

Object = dict[str, Any]
Key = tuple[str, str, str]  # qualified resource, namespace, name


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class Cause(NamedTuple):
    """One of the reasons for an Invalid."""

    field: str
    message: str


class Refusal(Exception):
    """An answer of the API other than success, as Kubernetes words it; `name`, `kind` and `causes` are its details."""

    def __init__(
        self, code: int, reason: str, message: str, name: str = "", kind: str = "", causes: Sequence[Cause] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self._details: Object = {"name": name, "kind": kind} if name else {}
        if causes:
            self._details["causes"] = [
                {"reason": "FieldValueInvalid", "message": cause.message, "field": cause.field} for cause in causes
            ]

    @property
    def status(self) -> Object:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "details": self._details,
            "code": self.code,
        }


def not_found(resource: Resource, name: str) -> Refusal:
    return Refusal(404, "NotFound", f'{resource.qualified} "{name}" not found')


def forbidden(resource: Resource, name: str, why: str) -> Refusal:
    return Refusal(403, "Forbidden", f'{resource.qualified} "{name}" is forbidden: {why}')


class Store:
    """Single-threaded. Values are never changed in place: a write puts a new one."""

    def __init__(self, file: Path | None = None) -> None:
        self._objects: dict[Key, Object] = {}
        self._revision = 1000
        self._file = file
        if file and file.exists():
            saved = json.loads(file.read_text())
            self._revision = saved["revision"]
            self._objects = {tuple(key): value for key, value in saved["objects"]}

    @property
    def is_empty(self) -> bool:
        return not self._objects

    @property
    def revision(self) -> str:
        return str(self._revision)

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        try:
            return self._objects[_key(resource, namespace, name)]
        except KeyError:
            raise not_found(resource, name) from None

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._objects.get(_key(resource, namespace, name))

    def content(self, namespace: str) -> list[tuple[Resource, Object]]:
        """All that is in a namespace."""
        return [(BY_QUALIFIED[key[0]], value) for key, value in list(self._objects.items()) if key[1] == namespace]

    def list(self, resource: Resource, namespace: str = "", selector: str = "", fields: str = "") -> list[Object]:
        """`selector` is of labels, `fields` of members by their path, as `status.phase=Active`."""
        labels, members = read_selector(selector), read_selector(fields)
        found = {
            key: value
            for key, value in self._objects.items()
            if key[0] == resource.qualified
            and namespace in ("", key[1])
            and all(term.matches((value["metadata"].get("labels") or {}).get(term.name)) for term in labels)
            and all(term.matches(_member(value, term.name)) for term in members)
        }
        return [found[key] for key in sorted(found)]

    def create(self, resource: Resource, namespace: str, value: Object) -> Object:
        value = copy.deepcopy(value)
        metadata = value.setdefault("metadata", {})
        name = metadata.get("name", "")
        self.check_namespace(resource, namespace, name)
        if resource.is_namespaced:
            metadata["namespace"] = namespace
        if self.find(resource, namespace, name):
            raise Refusal(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists')
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = _now()
        value["apiVersion"], value["kind"] = resource.api_version, resource.kind
        return self.put(resource, namespace, name, value)

    def replace(self, resource: Resource, namespace: str, name: str, value: Object) -> Object:
        before = self.get(resource, namespace, name)
        self.check_version(resource, name, before, value)
        value = copy.deepcopy(value)
        for member in ("uid", "creationTimestamp", "deletionTimestamp", "namespace"):
            if member in before["metadata"]:
                value["metadata"][member] = before["metadata"][member]
        if "status" in before:
            value.setdefault("status", before["status"])
        value["apiVersion"], value["kind"] = resource.api_version, resource.kind
        value["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        return before if value == before else self.put(resource, namespace, name, value)

    def patch(self, resource: Resource, namespace: str, name: str, patch: Object) -> Object:
        before = self.get(resource, namespace, name)
        self.check_version(resource, name, before, patch)
        given = patch.get("metadata", {}).get("uid", before["metadata"]["uid"])
        if given != before["metadata"]["uid"]:  # pkg/api/validation of apimachinery, objectmeta.go
            cause = Cause("metadata.uid", f'Invalid value: "{given}": field is immutable')
            why = f'{resource.kind} "{name}" is invalid: {cause.field}: {cause.message}'
            raise Refusal(422, "Invalid", why, name, resource.kind, [cause])
        return self.put(resource, namespace, name, merge(before, patch))

    def delete(self, resource: Resource, namespace: str, name: str) -> Object:
        """Only marks it as long as it has finalizers."""
        value = self.get(resource, namespace, name)
        if value["metadata"].get("finalizers"):
            return self.mark(resource, namespace, name)
        del self._objects[_key(resource, namespace, name)]
        self._save()
        return value

    def mark(self, resource: Resource, namespace: str, name: str) -> Object:
        value = self.get(resource, namespace, name)
        if "deletionTimestamp" in value["metadata"]:
            return value
        change: Object = {"metadata": {"deletionTimestamp": _now()}}
        if resource.kind == "Namespace":
            change["status"] = {"phase": "Terminating"}
        return self.patch(resource, namespace, name, change)

    def put(self, resource: Resource, namespace: str, name: str, value: Object) -> Object:
        """Under a new version. What is marked and has no finalizer any more is gone by it; namespaces are ended."""
        self._revision += 1
        metadata = {**value["metadata"], "resourceVersion": str(self._revision)}
        value = {**value, "metadata": metadata}
        is_over = "deletionTimestamp" in metadata and not metadata.get("finalizers") and resource.kind != "Namespace"
        if is_over:
            self._objects.pop(_key(resource, namespace, name), None)
        else:
            self._objects[_key(resource, namespace, name)] = value
        self._save()
        return value

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What is written meanwhile is forgotten: a dry run."""
        objects, revision, file = dict(self._objects), self._revision, self._file
        self._file = None
        try:
            yield
        finally:
            self._objects, self._revision, self._file = objects, revision, file

    def check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        """Raises Refusal where nothing can be made in it."""
        if not resource.is_namespaced:
            return
        found = self._objects.get(("namespaces", "", namespace))
        if found is None:
            raise Refusal(404, "NotFound", f'namespaces "{namespace}" not found')
        if "deletionTimestamp" in found["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(resource, name, why)

    @staticmethod
    def check_version(resource: Resource, name: str, before: Object, value: Object) -> None:
        given = value.get("metadata", {}).get("resourceVersion")
        if given and given != before["metadata"]["resourceVersion"]:
            raise Refusal(
                409, "Conflict", f'Operation cannot be fulfilled on {resource.qualified} "{name}": {MODIFIED}'
            )

    def _save(self) -> None:
        if self._file:
            new = self._file.with_suffix(".new")
            objects = [[list(key), value] for key, value in self._objects.items()]
            new.write_text(json.dumps({"revision": self._revision, "objects": objects}))
            os.replace(new, self._file)


def resource_of(value: Object) -> Resource:
    return BY_KIND[value["apiVersion"], value["kind"]]


def _key(resource: Resource, namespace: str, name: str) -> Key:
    return resource.qualified, namespace if resource.is_namespaced else "", name


def _member(value: Any, path: str) -> str:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return str(value or "")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
