"""The short way for what is asked most: the status of a job that is in the cache, without a wait.

It sends the very answer that the route would send; everything else goes on to the route.
"""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.answers import status_response
from gateway.http.headers import find_header, find_text
from gateway.http.prefix import prefix_of
from gateway.jobs.job_cache import JobCache

_PREFIX = "/jobs/"


class _StatusRoute:
    """The route's name in the metrics."""

    path = "/jobs/{job_id}"


class CachedStatus:
    """Pure ASGI, inside the authentication. It has nothing to wait for, so it is no coroutine of its own."""

    def __init__(self, app: ASGIApp, cache: JobCache) -> None:
        self._app = app
        self._cache = cache

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path: str = scope.get("path", "")
        if not path.startswith(_PREFIX) or scope.get("method") != "GET" or scope["query_string"]:
            return self._app(scope, receive, send)
        snapshot = self._cache.find(path[len(_PREFIX) :])
        if snapshot is None or find_header(scope, b"prefer") is not None:
            return self._app(scope, receive, send)
        scope["route"] = _StatusRoute
        scope["state"]["job_id"] = snapshot.record.job_id
        answer = status_response(snapshot, prefix_of(scope), find_text(scope, b"if-none-match"))
        return answer(scope, receive, send)
