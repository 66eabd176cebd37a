"""The HTTP face of the simulated cluster: the Kubernetes API as kubectl speaks it, a control side for tests.

Everybody is `admin`, but for a client whose server address ends in `/as/<user>`: kubectl sends no token over plain
HTTP.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.everestctl import yaml_text
from tests.everestctl.version import Version
from tests.simulator import protobuf, resources
from tests.simulator.cluster import Cluster
from tests.simulator.effects import Effects
from tests.simulator.resources import BY_PATH, Resource
from tests.simulator.rights import ADMIN, Access, find_escalation, is_allowed, list_rules
from tests.simulator.store import Object, Refusal, Store, forbidden
from tests.simulator.watching import watch

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


class Api:
    """An ASGI application. `control` is the one that tests talk to while the API itself is away."""

    def __init__(self, cluster: Cluster, effects: Effects) -> None:
        self._cluster = cluster
        self._effects = effects
        self.set_reachable: Callable[[bool], Awaitable[None]] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        path, user = _split_user(unquote(scope["path"]))
        if path == "/simulator/commands":
            await self._hold_command(receive, send)
            return
        try:
            await self._answer(scope, path, user, receive, send)
        except Refusal as refusal:
            await _send_json(send, refusal.code, refusal.status)

    async def control(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """GET /state and /effects, POST /faults with what is to be wrong from now on."""
        if scope["type"] != "http":
            return
        if scope["method"] == "POST":
            wanted = json.loads(await _read_body(receive))
            if self.set_reachable:
                await self.set_reachable(not wanted.pop("unreachable", False))
            for name in Cluster.SETTINGS:
                if name in wanted:
                    setattr(self._cluster, name, wanted.pop(name))
            for name in ("version", "cli_version"):
                if f"everest_{name}" in wanted:
                    setattr(self._cluster, name, Version(wanted.pop(f"everest_{name}")))
            self._cluster.faults = wanted
        if scope["path"] == "/effects":
            await _send_json(send, 200, self._effects.as_json())
            return
        state = {"faults": self._cluster.faults, "has_server_crashed": self._cluster.has_server_crashed}
        await _send_json(send, 200, state)

    async def _answer(self, scope: dict[str, Any], path: str, user: str, receive: Receive, send: Send) -> None:
        method, query = (
            scope["method"],
            {key: values[-1] for key, values in parse_qs(scope["query_string"].decode()).items()},
        )
        if self._cluster.faults.get("unauthorized"):
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if path.startswith("/openapi/v2"):
            await _send(send, 200, _PROTOBUF, resources.OPENAPI_V2)
            return
        if path == "/version" and (version := self._cluster.faults.get("kubernetes_version")):
            await _send_json(send, 200, {"major": "1", "minor": version.split(".")[1], "gitVersion": version})
            return
        if (document := _discover(path)) is not None:
            await _send_json(send, 200, document)
            return
        place = _read_path(path)
        if place is None:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        if method == "GET" and query.get("watch") in ("true", "1"):
            await self._watch(place, user, query, receive, send)
            return
        body = await _read_body(receive) if method in ("POST", "PUT", "PATCH", "DELETE") else b""
        try:
            value = _read_object(body)
            if method == "PATCH" and _content_type(scope).startswith("application/apply-patch"):
                method = "PATCH" if self._exists(place) else "POST"
            code, answer = self._serve(method, place, user, query, value)
        except Refusal as refusal:
            self._note(method, user, path, refusal.code)
            raise
        self._note(method, user, path, code)
        await _send_json(send, code, answer)

    def _note(self, method: str, user: str, path: str, code: int) -> None:
        if method != "GET":
            self._effects.note_write(user, method, path, code)

    def _serve(self, method: str, place: "Place", user: str, query: dict[str, str], body: Any) -> tuple[int, Object]:
        kind, namespace, name = place.resource, place.namespace, place.name
        self._authorize(_access(method, place), user)
        is_dry = "dryRun" in query or (isinstance(body, dict) and bool(body.get("dryRun")))
        match method:
            case "GET" if name:
                return 200, self._cluster.store.get(kind, namespace, name)
            case "GET":
                return 200, self._list(kind, namespace, query)
            case "POST" if kind.kind in _REVIEWS:
                return 201, {
                    "metadata": {},
                    **body,
                    "status": _REVIEWS[kind.kind](self._cluster.store, user, body.get("spec") or {}),
                }
            case "POST":
                name = body.get("metadata", {}).get("name", "")
                if why := find_escalation(self._cluster.store, user, kind, namespace, body):
                    raise forbidden(kind, name, why)
                return 201, self._cluster.create(kind, namespace, body, is_dry)
            case "PUT":
                return 200, self._cluster.replace(kind, namespace, name, body, is_dry)
            case "PATCH":
                return 200, self._cluster.patch(kind, namespace, name, body, is_dry)
            case "DELETE" if name:
                return 200, self._cluster.delete(kind, namespace, name, body, is_dry)
            case "DELETE":
                self._cluster.delete_all(kind, namespace, query.get("labelSelector", ""), is_dry)
                return 200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        raise forbidden(kind, name, f"{method} is not simulated")

    def _exists(self, place: "Place") -> bool:
        return self._cluster.store.find(place.resource, place.namespace, place.name) is not None

    def _authorize(self, access: Access, user: str) -> None:
        if not is_allowed(self._cluster.store, user, access):
            raise Refusal(403, "Forbidden", access.refusal(user))

    def _list(self, kind: Resource, namespace: str, query: dict[str, str]) -> Object:
        items = self._find(kind, namespace, query)
        version = self._cluster.store.revision
        return {
            "kind": f"{kind.kind}List",
            "apiVersion": kind.api_version,
            "metadata": {"resourceVersion": version},
            "items": items,
        }

    def _find(self, kind: Resource, namespace: str, query: dict[str, str]) -> list[Object]:
        name = query.get("fieldSelector", "").removeprefix("metadata.name=")
        return self._cluster.store.list(kind, namespace, query.get("labelSelector", ""), name)

    async def _watch(self, place: "Place", user: str, query: dict[str, str], receive: Receive, send: Send) -> None:
        """Until the client leaves or its time is over."""
        self._authorize(Access("watch", place.resource, place.namespace, place.name), user)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        leaving = asyncio.ensure_future(_await_disconnect(receive))
        since, bookmark = query.get("resourceVersion", ""), None
        if query.get("sendInitialEvents") == "true":
            since, bookmark = "", self._end_of_initial_events(place.resource)
        events = watch(lambda: self._find(place.resource, place.namespace, query), since, bookmark)
        ends_at = asyncio.get_running_loop().time() + float(query.get("timeoutSeconds", 3600))
        async for event in events:
            if leaving.done() or asyncio.get_running_loop().time() >= ends_at:
                break
            if event:
                line = json.dumps(event).encode() + b"\n"
                await send({"type": "http.response.body", "body": line, "more_body": True})
        leaving.cancel()
        await send({"type": "http.response.body", "body": b""})

    def _end_of_initial_events(self, kind: Resource) -> Object:
        annotations = {"k8s.io/initial-events-end": "true"}
        metadata = {"resourceVersion": self._cluster.store.revision, "annotations": annotations}
        return {"type": "BOOKMARK", "object": {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}}

    async def _hold_command(self, receive: Receive, send: Send) -> None:
        """An everestctl says that it runs and hears what is to go wrong; its connection lasts as long as it does."""
        told = json.loads(await _read_body(receive))
        run = self._effects.begin(told["argv"], told["pid"])
        faults = {"cli_version": self._cluster.cli_version.text, **self._faults_for(run.argv)}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(faults).encode() + b"\n", "more_body": True})
        try:
            await _await_disconnect(receive)
        finally:
            run.ended_at = asyncio.get_running_loop().time()

    def _faults_for(self, argv: list[str]) -> dict[str, Any]:
        """`only` narrows the faults to commands that begin with these words; `times` lets them pass after that many."""
        faults = self._cluster.faults
        only = faults.get("only")
        words = [word for word in argv if not word.startswith("-")]
        if only and words[: len(only.split())] != only.split():
            return {}
        if "times" in faults:
            if faults["times"] <= 0:
                return {}
            faults["times"] -= 1
        return faults


class Place:
    """What a path names."""

    __slots__ = ("name", "namespace", "resource")

    def __init__(self, resource: Resource, namespace: str, name: str) -> None:
        self.resource, self.namespace, self.name = resource, namespace, name


def _content_type(scope: dict[str, Any]) -> str:
    return str(dict(scope["headers"]).get(b"content-type", b"").decode())


def _split_user(path: str) -> tuple[str, str]:
    if path.startswith("/as/"):
        user, _, rest = path.removeprefix("/as/").partition("/")
        return f"/{rest}", user
    return path, ADMIN


def _read_path(path: str) -> Place | None:
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


def _access(method: str, place: Place) -> Access:
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


def _review_access(store: Store, user: str, spec: Object) -> Object:
    asked = spec.get("resourceAttributes", {})
    group, plural = asked.get("group", ""), asked.get("resource", "")
    kind = next((item for item in resources.RESOURCES if (item.group, item.plural) == (group, plural)), None)
    kind = kind or Resource(group, "v1", plural, plural)
    access = Access(asked.get("verb", ""), kind, asked.get("namespace", ""), asked.get("name", ""))
    return {"allowed": is_allowed(store, user, access)}


def _review_rules(store: Store, user: str, spec: Object) -> Object:
    rules = list_rules(store, user, spec.get("namespace", ""))
    return {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}


def _review_self(_: Store, user: str, __: Object) -> Object:
    return {"userInfo": {"username": user, "groups": ["system:authenticated"]}}


_REVIEWS: dict[str, Callable[[Store, str, Object], Object]] = {
    "SelfSubjectAccessReview": _review_access,
    "SelfSubjectRulesReview": _review_rules,
    "SelfSubjectReview": _review_self,
}


def _discover(path: str) -> Object | None:
    parts = [part for part in path.split("/") if part]
    match parts:
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            return resources.group_list()
        case ["api", version]:
            return resources.resource_list("", version)
        case ["apis", group, version]:
            return resources.resource_list(group, version)
        case ["openapi", "v3"]:
            return resources.openapi_index()
        case ["openapi", "v3", "api", version]:
            return resources.openapi_document("", version)
        case ["openapi", "v3", "apis", group, version]:
            return resources.openapi_document(group, version)
        case ["version"]:
            return {"major": "1", "minor": "34", "gitVersion": "v1.34.4"}
        case ["healthz"] | ["readyz"] | ["livez"]:
            return {"status": "ok"}
    return None


def _read_object(body: bytes) -> Any:
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


async def _await_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def _send_json(send: Send, code: int, value: Any) -> None:
    await _send(send, code, "application/json", json.dumps(value).encode())


async def _send(send: Send, code: int, kind: str, body: bytes) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
