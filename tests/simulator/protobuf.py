"""The few objects that kubectl sends as protobuf, whatever it is asked for: `create namespace`, `auth can-i` and alike.

Decoded by the field numbers of Kubernetes' generated.proto files. Answers go out as JSON, which kubectl takes too.
"""

from collections.abc import Iterator
from typing import Any

from tests.simulator.store import Object

MAGIC = b"k8s\x00"

Schema = dict[int, tuple[str, Any]]  # by number: the member's name; its form: a word, a schema, a list of one of them

_TYPE: Schema = {1: ("apiVersion", "text"), 2: ("kind", "text")}
_META: Schema = {1: ("name", "text"), 3: ("namespace", "text"), 11: ("labels", "map"), 12: ("annotations", "map")}
_SUBJECT: Schema = {1: ("kind", "text"), 2: ("apiGroup", "text"), 3: ("name", "text"), 4: ("namespace", "text")}
_REFERENCE: Schema = {1: ("apiGroup", "text"), 2: ("kind", "text"), 3: ("name", "text")}
_BINDING: Schema = {1: ("metadata", _META), 2: ("subjects", [_SUBJECT]), 3: ("roleRef", _REFERENCE)}
_ATTRIBUTES: Schema = {
    number: (name, "text")
    for number, name in enumerate(("namespace", "verb", "group", "version", "resource", "subresource", "name"), 1)
}
_KINDS: dict[str, Schema] = {
    "Namespace": {1: ("metadata", _META)},
    "ServiceAccount": {1: ("metadata", _META)},
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "SelfSubjectReview": {1: ("metadata", _META)},
    "SelfSubjectAccessReview": {1: ("metadata", _META), 2: ("spec", {1: ("resourceAttributes", _ATTRIBUTES)})},
}


def decode(body: bytes) -> Object | None:
    """None for a kind that is not known here."""
    envelope = dict(_fields(body.removeprefix(MAGIC)))
    identity = _read(envelope.get(1, b""), _TYPE)
    schema = _KINDS.get(identity.get("kind", ""))
    return None if schema is None else {"metadata": {}, **identity, **_read(envelope.get(2, b""), schema)}


def _read(raw: bytes, schema: Schema) -> Object:
    found: Object = {}
    for number, value in _fields(raw):
        name, form = schema.get(number, ("", None))
        if form == "text":
            found |= {name: value.decode()} if value else {}
        elif form == "map":
            entry = dict(_fields(value))
            found.setdefault(name, {})[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
        elif isinstance(form, list):
            found.setdefault(name, []).append(_read(value, form[0]))
        elif isinstance(form, dict):
            found[name] = _read(value, form)
    return found


def _fields(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields that have a length; numbers and booleans are passed over."""
    at = 0
    while at < len(raw):
        key, at = _read_number(raw, at)
        length, at = _read_number(raw, at)  # or the number itself
        if key & 7 == 2:
            yield key >> 3, raw[at : at + length]
            at += length


def _read_number(raw: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (raw[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not raw[at - 1] & 0x80:
            return number, at
