"""The handler's clocks: wall time for what people read, the machine's monotonic clock for every decision."""

import asyncio
import time
from datetime import datetime

from contracts.process.logs import moment


def monotonic() -> float:
    """Seconds on the running loop's clock, which is `time.monotonic`: that of its timers, and of the guard."""
    return asyncio.get_running_loop().time()


def utc_now() -> str:
    return moment(time.time())


def utc_in(seconds: float) -> str:
    return moment(time.time() + seconds)


def utc_after(begun_at: str, seconds: float) -> str:
    """The moment so long after another."""
    return moment(datetime.fromisoformat(begun_at).timestamp() + seconds)
