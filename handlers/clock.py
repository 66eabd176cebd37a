"""The handler's clocks: wall time for what people read, the machine's monotonic clock for every decision."""

import asyncio
import time

from contracts.logs import moment


def monotonic() -> float:
    """Seconds on the running loop's clock, which is `time.monotonic`: that of its timers, and of the guard."""
    return asyncio.get_running_loop().time()


def utc_now() -> str:
    return moment(time.time())


def utc_in(seconds: float) -> str:
    return moment(time.time() + seconds)
