"""The outermost layer: a request id for every request, one log line for every answer, no exception unanswered."""

import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.process.logs import bind, moment
from contracts.reporting import spans
from contracts.traces import read_request_id, read_traceparent
from gateway.http.authentication import HEALTH_PATHS
from gateway.http.headers import find_text
from gateway.http.prefix import prefix_of
from gateway.http.problems import Problem, problem_response

logger = logging.getLogger(__name__)

_SERVER_ERROR = 500
Observe = Callable[[str, str, int, float], None]


class Access:
    """Pure ASGI. `observe` is told method, route, status and seconds of each answer, `log` the members of its line."""

    def __init__(self, app: ASGIApp, observe: Observe, log: Callable[[dict[str, Any]], None]) -> None:
        self._app = app
        self._observe = observe
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        request_id = _read_request_id(scope)
        scope["state"]["request_id"] = request_id
        bind(request_id=request_id)
        status = 0

        def send_with_id(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            return send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            logger.exception("request.failed")
            if not status:
                await problem_response(Problem("internal_error"), prefix_of(scope))(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started_at
            self._observe(scope["method"], route_of(scope), status, seconds)
            self._log(_describe(scope, status, seconds))


def route_of(scope: Scope) -> str:
    """The route's pattern, which does not grow with the jobs as the path does."""
    route = scope.get("route")
    return route.path if route is not None else "-"


def _describe(scope: Scope, status: int, seconds: float) -> dict[str, Any]:
    """Never the key, the query or the body."""
    state = scope["state"]
    line: dict[str, Any] = {
        "timestamp": moment(time.time()),
        "level": "info",
        "event": "http.answered",
        "request_id": state["request_id"],
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "duration_seconds": round(seconds * 1_000_000) / 1_000_000,  # to digits, `round` takes three times as long
    }
    if caller := state.get("caller"):
        line["caller"] = caller
    if traceparent := find_traceparent(scope):
        line["traceparent"] = traceparent
    if job_id := state.get("job_id") or scope.get("path_params", {}).get("job_id"):
        line["job_id"] = job_id
    return line


def _read_request_id(scope: Scope) -> str:
    given = read_request_id(find_text(scope, b"x-request-id"))
    return given or random.randbytes(16).hex()  # tells requests apart, and is no secret


def find_traceparent(scope: Scope) -> str | None:
    """The request's W3C trace context: that of its span where there is one, else the caller's, when it is legal."""
    if own := scope["state"].get("traceparent"):
        return str(own)
    return read_traceparent(find_text(scope, b"traceparent"))


class Tracing:
    """Begins a trace with each request, or goes on with the caller's; only there where spans are on.

    Pure ASGI. What is carried on is the request's own span.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH_PATHS:
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        attributes = {"http.request.method": method, "url.path": scope["path"]}
        with spans.span(method, "server", find_traceparent(scope), attributes) as span:
            scope["state"]["traceparent"] = span.traceparent

            async def send_noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.note("http.response.status_code", message["status"])
                    if message["status"] >= _SERVER_ERROR:
                        span.fail(str(message["status"]))
                await send(message)

            try:
                await self._app(scope, receive, send_noting)
            finally:
                span.rename(f"{method} {route_of(scope)}")
                span.note("http.route", route_of(scope))
