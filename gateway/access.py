"""The outermost layer: a request id for every request, one log line for every answer, no exception unanswered."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.logs import bind
from gateway.problems import Problem, problem_response

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

Observe = Callable[[str, str, int, float], None]


class Access:
    """Pure ASGI. `observe` is told method, route, status and seconds of each answer."""

    def __init__(self, app: ASGIApp, observe: Observe) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        state = scope.setdefault("state", {})
        request_id = state["request_id"] = _read_request_id(scope)
        bind(request_id=request_id)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", request_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            logger.exception("request.failed")
            if not status:
                await problem_response(Problem("internal_error"))(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started_at
            self._observe(scope["method"], route_of(scope), status, seconds)
            logger.info("http.answered", extra=_describe(scope, status, seconds))


def route_of(scope: Scope) -> str:
    """The route's pattern, which does not grow with the jobs as the path does."""
    route = scope.get("route")
    return route.path if route is not None else "-"


def _describe(scope: Scope, status: int, seconds: float) -> dict[str, object]:
    """Never the key, the query or the body."""
    fields: dict[str, object] = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "duration_seconds": round(seconds, 6),
    }
    if caller := scope["state"].get("caller"):
        fields["caller"] = caller
    if job_id := scope["state"].get("job_id") or scope.get("path_params", {}).get("job_id"):
        fields["job_id"] = job_id
    return fields


def find_header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)


def _read_request_id(scope: Scope) -> str:
    given = find_header(scope, b"x-request-id")
    return given.decode() if given and _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def read_traceparent(scope: Scope) -> str | None:
    """The caller's W3C trace context, when it is a legal one."""
    given = find_header(scope, b"traceparent")
    return given.decode() if given and _TRACEPARENT.fullmatch(given) else None
