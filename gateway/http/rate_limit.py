"""An optional limit of requests per key (RATE_LIMIT, as "600/minute"), each gateway for itself."""

import math
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from contracts.process.settings import InvalidSettings
from gateway.http.prefix import prefix_of
from gateway.http.problems import Problem, problem_response

_RATE = re.compile(r"([1-9][0-9]{0,5}) *(?:/|per) *([1-9][0-9]{0,3})? *(second|minute|hour|day)s?", re.IGNORECASE)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests within so many seconds, whichever seconds those are."""

    most: int
    seconds: float
    text: str


def read_rate(text: str) -> Rate:
    """Raises InvalidSettings."""
    parts = _RATE.fullmatch(text.strip())
    if parts is None:
        raise InvalidSettings(['RATE_LIMIT must be like "600/minute"'])
    most, periods, period = parts.groups()
    return Rate(int(most), int(periods or 1) * _SECONDS[period.lower()], text.strip())


class Window:
    """When a caller's last requests came. `clock` never goes back: nobody waits for an hour that was set twice."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._came_at: dict[str, deque[float]] = {}

    def enter(self, caller: str) -> float:
        """0 where the request may go on, else how many seconds it is too early."""
        now = self._clock()
        came_at = self._came_at.setdefault(caller, deque())
        while came_at and came_at[0] <= now - self._rate.seconds:
            came_at.popleft()
        if len(came_at) >= self._rate.most:
            return came_at[0] + self._rate.seconds - now
        came_at.append(now)
        return 0


class RateLimit:
    """Pure ASGI, inside the authentication: what has no caller is not limited."""

    def __init__(self, app: ASGIApp, rate: Rate, clock: Callable[[], float]) -> None:
        self._app = app
        self._rate = rate
        self._window = Window(rate, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope.get("state", {}).get("caller")
        seconds = 0.0 if caller is None else self._window.enter(caller)
        if not seconds:
            await self._app(scope, receive, send)
            return
        detail = f"The key has used its {self._rate.text}."
        problem = Problem("rate_limited", detail, headers={"Retry-After": str(max(1, math.ceil(seconds)))})
        await problem_response(problem, prefix_of(scope))(scope, receive, send)
