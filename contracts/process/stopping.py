"""Being told to stop: SIGTERM, or SIGINT of who pressed Ctrl-C."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context

_STOPPING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def heeding_stops(stop: Callable[[], object]) -> Iterator[None]:
    """Calls `stop` in the running loop at each signal. Behind it none counts any more: the process is about to end.

    One that came again would make its exit code that of a kill. The loop's own handlers could be removed only with the
    default in their place for a moment. `stop` is called in the context of who heeds: a signal meets whatever runs, and
    the log would tell of the stop as a part of that request.
    """
    loop, context = asyncio.get_running_loop(), copy_context()
    for number in _STOPPING:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop, context=context))
    try:
        yield
    finally:
        for number in _STOPPING:
            signal.signal(number, signal.SIG_IGN)
