"""The gateway's log: JSON lines on standard output, written in batches.

A write for each line would cost more than the answer it tells of. Warnings are written at once; of the rest, a gateway
that is killed loses what it logged during the last FLUSH_SECONDS.
"""

import asyncio
import logging
import os
import sys
from typing import Any

import orjson

from contracts.process.logs import LogFormatter

FLUSH_SECONDS = 0.1
_MOST_BYTES = 64 * 1024


class Lines:
    """Lines that wait to be written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: list[bytes] = []
        self._size = 0
        self._is_scheduled = False

    def append(self, line: bytes) -> None:
        self._waiting.append(line)
        self._size += len(line)
        if self._size > _MOST_BYTES:
            self.flush()
        elif not self._is_scheduled:
            self._schedule()

    def flush(self) -> None:
        self._is_scheduled = False
        if not self._waiting:
            return
        body = b"\n".join(self._waiting) + b"\n"
        self._waiting.clear()
        self._size = 0
        view = memoryview(body)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except OSError:
                return  # Nobody reads the log any more; that must not end the service.

    def _schedule(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._is_scheduled = True
            loop.call_later(FLUSH_SECONDS, self.flush)


class LineHandler(logging.Handler):
    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record).encode())
        if record.levelno >= logging.WARNING:
            self._lines.flush()

    def flush(self) -> None:
        self._lines.flush()


class AccessLog:
    """The line of each answer, in the form of all others, without the price of a log record."""

    def __init__(self, lines: Lines, *, is_on: bool) -> None:
        self._lines = lines
        self._is_on = is_on

    def write(self, line: dict[str, Any]) -> None:
        if self._is_on:
            self._lines.append(orjson.dumps(line))


def configure_logs(level: str) -> AccessLog:
    lines = Lines(sys.stdout.fileno())
    handler = LineHandler(lines)
    handler.setFormatter(LogFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # The library tells of each reconnection attempt; ours say it once.
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # It tells of each request with its address, and a webhook's may be a secret.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return AccessLog(lines, is_on=logging.getLogger().isEnabledFor(logging.INFO))
