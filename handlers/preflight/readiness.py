"""READY_FILE: refreshed while this handler can do its work, removed when it cannot. A probe tests the file's age.

A handler that is not ready goes on: its jobs wait for the cluster, and it is the first to know when that is back.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 30.0


async def keep_ready(
    file: Path,
    find_problem: Callable[[], Awaitable[str | None]],
    stopping: asyncio.Event,
    every: float = REFRESH_SECONDS,
) -> None:
    """Looks until the handler stops. `find_problem` gives what is wrong, None when nothing is."""
    was_ready: bool | None = None
    try:
        while not stopping.is_set():
            problem = await find_problem()
            _set(file, is_ready=problem is None)
            if was_ready is not (problem is None):
                was_ready = problem is None
                if problem is None:
                    logger.info("handler.ready")
                else:
                    logger.warning("handler.not_ready", extra={"error": problem, "next": "it looks again"})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), every)
    finally:
        _set(file, is_ready=False)


def _set(file: Path, *, is_ready: bool) -> None:
    try:
        if is_ready:
            file.touch()
        else:
            file.unlink(missing_ok=True)
    except OSError as error:
        logger.error(
            "ready_file.unusable", extra={"error": str(error), "hint": "READY_FILE must be in a writable folder."}
        )
