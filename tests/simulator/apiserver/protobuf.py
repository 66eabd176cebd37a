"""The objects that kubectl and everestctl send as protobuf: built-in kinds, whatever kubectl is asked for.

Decoded by the field numbers of Kubernetes' generated.proto files. Answers go out as JSON, which both take too.
"""

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from tests.simulator.apiserver.store import Object

MAGIC = b"k8s\x00"

_Wire = int | bytes
# By number: the member's name, and how it is read: as a message, as one of several, or by a function.
_Schema = dict[int, tuple[str, Any]]


def decode(body: bytes) -> Object | None:
    """None for a kind that is not known here."""
    envelope = dict(_fields(body.removeprefix(MAGIC)))
    identity = _read(envelope.get(1, b""), _TYPE)
    schema = _KINDS.get(identity.get("kind", ""))
    return None if schema is None else {"metadata": {}, **identity, **_read(envelope.get(2, b""), schema)}


def _text(value: _Wire) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _bytes(value: _Wire) -> str:
    return base64.b64encode(value if isinstance(value, bytes) else b"").decode()


def _number(value: _Wire) -> int:
    """Numbers below zero come as 64 bits."""
    number = value if isinstance(value, int) else 0
    return number - 2**64 if number >= 2**63 else number


def _truth(value: _Wire) -> bool:
    return bool(value)


def _time(value: _Wire) -> str:
    seconds = dict(_fields(value)).get(1, 0)
    return datetime.fromtimestamp(_number(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _quantity(value: _Wire) -> str:
    return _text(dict(_fields(value)).get(1, b"0"))


class _Map:
    """A map from words to what is read like this."""

    def __init__(self, read: Callable[[_Wire], Any] = _text) -> None:
        self.read = read


_TYPE: _Schema = {1: ("apiVersion", _text), 2: ("kind", _text)}
_OWNER: _Schema = {1: ("kind", _text), 3: ("name", _text), 4: ("uid", _text), 5: ("apiVersion", _text)}
_META: _Schema = {
    1: ("name", _text),
    2: ("generateName", _text),
    3: ("namespace", _text),
    5: ("uid", _text),
    6: ("resourceVersion", _text),
    8: ("creationTimestamp", _time),
    9: ("deletionTimestamp", _time),
    11: ("labels", _Map()),
    12: ("annotations", _Map()),
    13: ("ownerReferences", [_OWNER]),
    14: ("finalizers", [_text]),
}
_SUBJECT: _Schema = {1: ("kind", _text), 2: ("apiGroup", _text), 3: ("name", _text), 4: ("namespace", _text)}
_REFERENCE: _Schema = {1: ("apiGroup", _text), 2: ("kind", _text), 3: ("name", _text)}
_BINDING: _Schema = {1: ("metadata", _META), 2: ("subjects", [_SUBJECT]), 3: ("roleRef", _REFERENCE)}
_RULE: _Schema = {
    1: ("verbs", [_text]),
    2: ("apiGroups", [_text]),
    3: ("resources", [_text]),
    4: ("resourceNames", [_text]),
    5: ("nonResourceURLs", [_text]),
}
_ROLE: _Schema = {1: ("metadata", _META), 2: ("rules", [_RULE])}
_ATTRIBUTES: _Schema = {
    number: (name, _text)
    for number, name in enumerate(("namespace", "verb", "group", "version", "resource", "subresource", "name"), 1)
}
_SELECTOR: _Schema = {1: ("matchLabels", _Map())}
_RESOURCES: _Schema = {1: ("limits", _Map(_quantity)), 2: ("requests", _Map(_quantity))}
_CONTAINER: _Schema = {
    1: ("name", _text),
    2: ("image", _text),
    3: ("command", [_text]),
    4: ("args", [_text]),
    8: ("resources", _RESOURCES),
}
_POD: _Schema = {2: ("containers", [_CONTAINER]), 3: ("restartPolicy", _text), 8: ("serviceAccountName", _text)}
_TEMPLATE: _Schema = {1: ("metadata", _META), 2: ("spec", _POD)}
_WORKLOAD: _Schema = {1: ("replicas", _number), 2: ("selector", _SELECTOR), 3: ("template", _TEMPLATE)}
_JOB: _Schema = {6: ("template", _TEMPLATE), 7: ("backoffLimit", _number)}
_CRON_JOB: _Schema = {1: ("schedule", _text), 5: ("jobTemplate", {1: ("metadata", _META), 2: ("spec", _JOB)})}
_LIMIT: _Schema = {1: ("type", _text)} | {
    number: (name, _Map(_quantity)) for number, name in enumerate(("max", "min", "default", "defaultRequest"), 2)
}
_CLAIM: _Schema = {1: ("accessModes", [_text]), 2: ("resources", _RESOURCES), 5: ("storageClassName", _text)}
_PORT: _Schema = {1: ("name", _text), 2: ("protocol", _text), 3: ("port", _number)}
_SERVICE: _Schema = {1: ("ports", [_PORT]), 2: ("selector", _Map()), 4: ("type", _text)}


def _with_spec(spec: _Schema) -> _Schema:
    return {1: ("metadata", _META), 2: ("spec", spec)}


_KINDS: dict[str, _Schema] = {
    "Namespace": _with_spec({1: ("finalizers", [_text])}),
    "ServiceAccount": {1: ("metadata", _META)},
    "Secret": {
        1: ("metadata", _META),
        2: ("data", _Map(_bytes)),
        3: ("type", _text),
        4: ("stringData", _Map()),
        5: ("immutable", _truth),
    },
    "ConfigMap": {1: ("metadata", _META), 2: ("data", _Map()), 3: ("binaryData", _Map(_bytes))},
    "ResourceQuota": _with_spec({1: ("hard", _Map(_quantity))}),
    "LimitRange": _with_spec({1: ("limits", [_LIMIT])}),
    "PersistentVolumeClaim": _with_spec(_CLAIM),
    "Service": _with_spec(_SERVICE),
    "Pod": _with_spec(_POD),
    "Deployment": _with_spec(_WORKLOAD),
    "StatefulSet": _with_spec(_WORKLOAD),
    "Job": _with_spec(_JOB),
    "CronJob": _with_spec(_CRON_JOB),
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "SelfSubjectReview": {1: ("metadata", _META)},
    "SelfSubjectAccessReview": _with_spec({1: ("resourceAttributes", _ATTRIBUTES)}),
    "SelfSubjectRulesReview": _with_spec({1: ("namespace", _text)}),
    "DeleteOptions": {
        2: ("preconditions", {1: ("uid", _text), 2: ("resourceVersion", _text)}),
        4: ("propagationPolicy", _text),
        5: ("dryRun", [_text]),
    },
}


def _read(raw: _Wire, schema: _Schema) -> Object:
    found: Object = {}
    for number, value in _fields(raw):
        if number not in schema:
            continue
        name, form = schema[number]
        if isinstance(form, _Map):
            entry = dict(_fields(value))
            found.setdefault(name, {})[_text(entry.get(1, b""))] = form.read(entry.get(2, b""))
        elif isinstance(form, list):
            found.setdefault(name, []).append(_read_one(value, form[0]))
        elif value != b"":  # what is empty is left out, as in JSON
            found[name] = _read_one(value, form)
    return found


def _read_one(value: _Wire, form: Any) -> Any:
    return _read(value, form) if isinstance(form, dict) else form(value)


def _fields(raw: _Wire) -> Iterator[tuple[int, _Wire]]:
    """Numbers and values of a message's fields."""
    at = 0
    data = raw if isinstance(raw, bytes) else b""
    while at < len(data):
        key, at = _read_varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 2:
            length, at = _read_varint(data, at)
            yield number, data[at : at + length]
            at += length
        elif wire == 0:
            value, at = _read_varint(data, at)
            yield number, value
        else:
            size = 8 if wire == 1 else 4
            yield number, int(struct.unpack("<Q" if wire == 1 else "<L", data[at : at + size])[0])
            at += size


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (raw[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not raw[at - 1] & 0x80:
            return number, at
