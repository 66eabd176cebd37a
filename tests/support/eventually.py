"""Waiting for what cannot be awaited: another process's port, a file, a page of its monitoring."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

import httpx

Seen = TypeVar("Seen")

LIMIT_SECONDS = 300  # generous: a machine may be busy with much else
_PAUSE_SECONDS = 0.05
_NOT_YET = (OSError, httpx.TransportError)


@overload
async def eventually(
    look: Callable[[], Awaitable[Seen | None]], what: str | Callable[[], str], *, limit_seconds: float = LIMIT_SECONDS
) -> Seen: ...


@overload
async def eventually(
    look: Callable[[], Seen | None], what: str | Callable[[], str], *, limit_seconds: float = LIMIT_SECONDS
) -> Seen: ...


async def eventually(
    look: Callable[[], Any], what: str | Callable[[], str], *, limit_seconds: float = LIMIT_SECONDS
) -> Any:
    """What `look` gives as soon as it gives anything true; whoever does not answer yet is looked at again.

    `what` says what is waited for, or makes the text of it when it did not come. Raises AssertionError then.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit_seconds
    while True:
        last: object
        try:
            seen = look()
            last = seen = await seen if inspect.isawaitable(seen) else seen
        except _NOT_YET as error:
            seen, last = None, error
        if seen:
            return seen
        if loop.time() > deadline:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"after {limit_seconds} s still not: {said}; last seen: {last!r}")
        await asyncio.sleep(_PAUSE_SECONDS)
