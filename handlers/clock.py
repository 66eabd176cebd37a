"""The handler's clocks: wall time for what people read, the machine's monotonic clock for every decision."""

import time

from contracts.logs import moment

monotonic = time.monotonic


def utc_now() -> str:
    return moment(time.time())


def utc_in(seconds: float) -> str:
    return moment(time.time() + seconds)
