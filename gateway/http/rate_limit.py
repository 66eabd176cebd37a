"""An optional limit of requests per key (RATE_LIMIT, as "600/minute"), each gateway for itself."""

import math
import time

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from contracts.settings import InvalidSettings
from gateway.http.problems import Problem, problem_response


class RateLimit:
    """Pure ASGI, inside the authentication: what has no caller is not limited."""

    def __init__(self, app: ASGIApp, rate: RateLimitItem) -> None:
        self._app = app
        self._rate = rate
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope.get("state", {}).get("caller")
        if caller is None or self._limiter.hit(self._rate, caller):
            await self._app(scope, receive, send)
            return
        resets_at = self._limiter.get_window_stats(self._rate, caller).reset_time
        seconds = max(1, math.ceil(resets_at - time.time()))
        detail = f"The key has used its {self._rate}."
        problem = Problem("rate_limited", detail, headers={"Retry-After": str(seconds)})
        await problem_response(problem)(scope, receive, send)


def read_rate(text: str) -> RateLimitItem:
    """Raises InvalidSettings."""
    try:
        return parse(text)
    except ValueError:
        raise InvalidSettings(['RATE_LIMIT must be like "600/minute"']) from None
