"""Watches: what became of some objects, found out by looking again and again."""

import asyncio
from collections.abc import AsyncIterator, Callable

from tests.simulator.apiserver.store import Object

_PAUSE_SECONDS = 0.05


async def watch(find: Callable[[], list[Object]], since: str, first: Object | None) -> AsyncIterator[Object | None]:
    """Events as the API words them, None for each look that shows nothing new. `since` is a revision, or empty.

    `first` is said once, behind what is there at the beginning.
    """
    known = {_identity(value): value for value in find() if since.isdigit() and _revision(value) <= int(since)}
    while True:
        found = {_identity(value): value for value in find()}
        for identity, value in found.items():
            if identity not in known:
                yield {"type": "ADDED", "object": value}
            elif _revision(value) != _revision(known[identity]):
                yield {"type": "MODIFIED", "object": value}
        for identity in known.keys() - found.keys():
            yield {"type": "DELETED", "object": known[identity]}
        known = found
        yield first
        first = None
        await asyncio.sleep(_PAUSE_SECONDS)


def _identity(value: Object) -> str:
    return str(value["metadata"]["uid"])


def _revision(value: Object) -> int:
    return int(value["metadata"]["resourceVersion"])
