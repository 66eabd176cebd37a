"""Nobody gets further without a key: unknown routes and unknown jobs included."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.headers import find_header
from gateway.http.prefix import prefix_of
from gateway.http.problems import Problem, problem_response
from gateway.keys import Keys, KeyScope

logger = logging.getLogger(__name__)

HEALTH_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
PAGE_PATHS = frozenset({"/", "/openapi.json", "/docs"})
PAGE_PREFIXES = ("/docs/", "/pages/")

WRONG_KEY_SECONDS = 0.25
# Beyond this many at a time the answer comes at once: whoever guesses must not fill the memory with sleepers.
_MAX_SLOWED = 1000
_MOST_PAGES = 64


class Authentication:
    """Pure ASGI. A missing key is refused at once, a wrong one slowly.

    `count_wrong_key` is told of each wrong one, `note_refusal` whose key it was, if anybody's, and why it was refused.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        count_wrong_key: Callable[[], None],
        note_refusal: Callable[[str | None, str], None],
    ) -> None:
        self._app = app
        self._keys = keys
        self._count_wrong_key = count_wrong_key
        self._note_refusal = note_refusal
        self._slowed = 0
        self._pages = 0

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path = scope.get("path", "")
        if scope["type"] != "http" or (path in HEALTH_PATHS and not scope["query_string"]):
            return self._app(scope, receive, send)
        is_extra = "is_extra" in scope["state"]
        if path in PAGE_PATHS or path.startswith(PAGE_PREFIXES):
            return self._show_page(scope, receive, send, is_extra=is_extra)
        given = find_header(scope, b"x-admin-key")
        key = self._keys.find(given) if given else None
        if key is None:
            return self._refuse(scope, receive, send, given, at_once=is_extra)
        scope["state"]["caller"] = key.name
        scope["state"]["key"] = key
        scope["state"]["note_refusal"] = self._note_refusal
        return self._app(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, given: bytes | None, *, at_once: bool) -> None:
        if given:
            self._note_refusal(self._keys.recognize(given), "unauthorized")
            await self._slow_down(at_once=at_once)
        detail = "The key in X-Admin-Key is not valid." if given else "The header X-Admin-Key is missing."
        problem = Problem("unauthorized", detail, headers={"WWW-Authenticate": "X-Admin-Key"})
        await problem_response(problem, prefix_of(scope))(scope, receive, send)

    async def _show_page(self, scope: Scope, receive: Receive, send: Send, *, is_extra: bool) -> None:
        """Pages are files that are held open while they are sent: strangers get so many at a time."""
        if is_extra or self._pages >= _MOST_PAGES:
            problem = Problem("too_many_connections", headers={"Retry-After": "5"})
            await problem_response(problem, prefix_of(scope))(scope, receive, send)
            return
        self._pages += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._pages -= 1

    async def _slow_down(self, *, at_once: bool) -> None:
        self._count_wrong_key()
        logger.warning("key.wrong", extra={"slowed": self._slowed})
        if at_once or self._slowed >= _MAX_SLOWED:
            return
        self._slowed += 1
        try:
            await asyncio.sleep(WRONG_KEY_SECONDS)
        finally:
            self._slowed -= 1


def require(request: Request, scope: KeyScope) -> None:
    """Raises Problem where the caller's key is not good for it."""
    if not request.state.key.may(scope):
        request.state.note_refusal(request.state.caller, "scope_missing")
        detail = f"The key of {request.state.caller} is not good for {scope.value}."
        raise Problem("scope_missing", detail, scope=scope.value)


def require_own(request: Request, caller: str) -> None:
    """Raises Problem where what `caller` asked for is not this key's to change."""
    if not request.state.key.may_manage_all and request.state.caller != caller:
        request.state.note_refusal(request.state.caller, "scope_missing")
        detail = f"The job is {caller}'s, and the key of {request.state.caller} is good for its own alone."
        raise Problem("scope_missing", detail, scope=KeyScope.ADMIN.value)
