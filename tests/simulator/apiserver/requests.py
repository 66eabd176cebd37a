"""What a request means: whom it names, what right it takes, which object it carries."""

import json
from typing import Any

from tests.everestctl import yaml_text
from tests.simulator.apiserver import protobuf
from tests.simulator.apiserver.resources import BY_PATH, Resource
from tests.simulator.apiserver.rights import ADMIN, Access
from tests.simulator.apiserver.store import Refusal


class Place:
    """What a path names."""

    __slots__ = ("name", "namespace", "resource")

    def __init__(self, resource: Resource, namespace: str, name: str) -> None:
        self.resource, self.namespace, self.name = resource, namespace, name


def content_type(scope: dict[str, Any]) -> str:
    return str(dict(scope["headers"]).get(b"content-type", b"").decode())


def split_user(path: str) -> tuple[str, str]:
    if path.startswith("/as/"):
        user, _, rest = path.removeprefix("/as/").partition("/")
        return f"/{rest}", user
    return path, ADMIN


def read_path(path: str) -> Place | None:
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3:
        namespace, rest = rest[1], rest[2:]
    found = BY_PATH.get((group, version, rest[0]))
    if found is None or len(rest) > 3 or rest[2:] not in ([], ["status"]):
        return None
    return Place(found, namespace, rest[1] if len(rest) >= 2 else "")


def access_of(method: str, place: Place) -> Access:
    verbs = {
        "POST": "create",
        "PUT": "update",
        "PATCH": "patch",
        "DELETE": "delete" if place.name else "deletecollection",
    }
    verb = verbs.get(method) or ("get" if place.name else "list")
    is_namespace = place.resource.plural == "namespaces"
    # The authorizer takes a namespace's own name for the namespace of the request.
    return Access(verb, place.resource, place.name if is_namespace else place.namespace, place.name)


def read_object(body: bytes) -> Any:
    """An object, or the list of a JSON patch."""
    if not body.startswith(protobuf.MAGIC):
        try:
            return json.loads(body) if body.strip() else {}
        except ValueError:
            return _read_yaml(body)
    decoded = protobuf.decode(body)
    if decoded is None:
        raise Refusal(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
    return decoded


def _read_yaml(body: bytes) -> Any:
    try:
        value = yaml_text.read(body.decode())
    except ValueError as error:
        raise Refusal(400, "BadRequest", f"the body of the request is neither JSON nor YAML: {error}") from None
    if not isinstance(value, dict):
        raise Refusal(400, "BadRequest", "the body of the request holds no object")
    return value
