"""The HTTP face of the simulated cluster: the Kubernetes API as kubectl and everestctl speak it.

Everybody is `admin`, but for a client whose server address ends in `/as/<user>`: kubectl sends no token over plain
HTTP.
"""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.simulator.apiserver.asgi import Receive, Send, await_disconnect, read_body, send_body, send_json
from tests.simulator.apiserver.discovery import OPENAPI_V2, describe_version, discover
from tests.simulator.apiserver.requests import Place, access_of, content_type, read_object, read_path, split_user
from tests.simulator.apiserver.resources import Resource
from tests.simulator.apiserver.reviews import REVIEWS
from tests.simulator.apiserver.rights import Access, find_escalation, is_allowed
from tests.simulator.apiserver.store import Object, Refusal, forbidden
from tests.simulator.apiserver.watching import watch
from tests.simulator.cluster import Cluster
from tests.simulator.control import Control
from tests.simulator.effects import Effects

_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


class Api:
    """An ASGI application, which also hands to `control` what an everestctl says of itself."""

    def __init__(self, cluster: Cluster, effects: Effects, control: Control) -> None:
        self._control = control
        self._cluster = cluster
        self._effects = effects

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        path, user = split_user(unquote(scope["path"]))
        if path == "/simulator/commands":
            await self._control.hold_command(receive, send)
            return
        if path == "/simulator/gap":
            await self._control.hold_in_gap(receive, send)
            return
        try:
            await self._answer(scope, path, user, receive, send)
        except Refusal as refusal:
            await send_json(send, refusal.code, refusal.status)

    async def _answer(self, scope: dict[str, Any], path: str, user: str, receive: Receive, send: Send) -> None:
        method = scope["method"]
        query = {key: values[-1] for key, values in parse_qs(scope["query_string"].decode()).items()}
        if self._cluster.faults.get("unauthorized"):
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if path.startswith("/openapi/v2"):
            await send_body(send, 200, _PROTOBUF, OPENAPI_V2)
            return
        if path == "/version" and (version := self._cluster.faults.get("kubernetes_version")):
            await send_json(send, 200, describe_version(version))
            return
        if (document := discover(path)) is not None:
            await send_json(send, 200, document)
            return
        place = read_path(path)
        if place is None:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        if method == "GET" and query.get("watch") in ("true", "1"):
            await self._watch(place, user, query, receive, send)
            return
        body = await read_body(receive) if method in ("POST", "PUT", "PATCH", "DELETE") else b""
        try:
            value = read_object(body)
            if method == "PATCH" and content_type(scope).startswith("application/apply-patch"):
                method = "PATCH" if self._exists(place) else "POST"
            code, answer = self._serve(method, place, user, query, value)
        except Refusal as refusal:
            self._note(method, user, path, refusal.code)
            raise
        self._note(method, user, path, code)
        await send_json(send, code, answer)

    def _note(self, method: str, user: str, path: str, code: int) -> None:
        if method != "GET":
            self._effects.note_write(user, method, path, code)

    def _serve(self, method: str, place: Place, user: str, query: dict[str, str], body: Any) -> tuple[int, Object]:
        kind, namespace, name = place.resource, place.namespace, place.name
        self._authorize(access_of(method, place), user)
        is_dry = "dryRun" in query or (isinstance(body, dict) and bool(body.get("dryRun")))
        match method:
            case "GET" if name:
                return 200, self._cluster.store.get(kind, namespace, name)
            case "GET":
                return 200, self._list(kind, namespace, query)
            case "POST" if kind.kind in REVIEWS:
                status = REVIEWS[kind.kind](self._cluster.store, user, body.get("spec") or {})
                return 201, {"metadata": {}, **body, "status": status}
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

    def _exists(self, place: Place) -> bool:
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
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        return self._cluster.store.list(kind, namespace, labels, fields)

    async def _watch(self, place: Place, user: str, query: dict[str, str], receive: Receive, send: Send) -> None:
        """Until the client leaves or its time is over."""
        self._authorize(Access("watch", place.resource, place.namespace, place.name), user)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        leaving = asyncio.ensure_future(await_disconnect(receive))
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
