"""Structured logs: one event, one line of JSON, the same fields in every process.

Log with `logger.info("step.finished", extra={"step": name})`; `bind` adds fields to every later line of a task.
"""

import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pythonjsonlogger.orjson import OrjsonFormatter

_OVER_SECONDS = 300.0  # what has not happened for so long is over

_context: ContextVar[dict[str, Any] | None] = ContextVar("log_context", default=None)


def bind(**values: Any) -> None:
    """Adds fields to every line that this task, and the tasks it starts, will log."""
    _context.set({**(_context.get() or {}), **values})


class LogFormatter(OrjsonFormatter):
    """`timestamp`, `level`, `event`, the bound fields and the event's own; an exception keeps its traceback."""

    def __init__(self) -> None:
        super().__init__("%(message)s", rename_fields={"message": "event", "exc_info": "traceback"})

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["timestamp"] = moment(record.created)
        log_data["level"] = record.levelname.lower()
        super().add_fields(log_data, record, message_dict)
        for name, value in (_context.get() or {}).items():
            log_data.setdefault(name, value)


def moment(seconds_since_epoch: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    seconds, milliseconds = divmod(round(seconds_since_epoch * 1_000_000) // 1000, 1000)
    return f"{_name_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=1)  # many moments fall into one second, and the calendar is what takes long
def _name_second(seconds_since_epoch: int) -> str:
    return datetime.fromtimestamp(seconds_since_epoch, UTC).replace(tzinfo=None).isoformat()


class Repeats:
    """Counts an event that repeats, to be logged at growing distances: the first, second, fourth, … time."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def is_due(self, text: str) -> bool:
        """Notes that it happened again; True when that is worth a line."""
        count = self._counts[text] = self._counts.get(text, 0) + 1
        return count & (count - 1) == 0

    def count(self, text: str) -> int:
        """How often it has happened since `end`."""
        return self._counts.get(text, 0)

    def end(self) -> None:
        """It is over: the next one is a first one."""
        self._counts.clear()


class _Rarely(logging.Filter):
    """Lets what repeats through at growing distances, until it has been quiet for a while."""

    def __init__(self) -> None:
        super().__init__()
        self._repeats = Repeats()
        self._last = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.created - self._last > _OVER_SECONDS:
            self._repeats.end()
        self._last = record.created
        return self._repeats.is_due(str(record.msg))


class _Masked(logging.Filter):
    """Leaves the sentence, without what it quotes."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.args = ("********",) * len(record.args or ())
        return True


def log_masked(name: str) -> None:
    """Of a library's logger that quotes what may be a secret."""
    logging.getLogger(name).addFilter(_Masked())


def log_rarely(library: str) -> None:
    """Thins out what a library says. Its modules have been imported: each has a logger."""
    rarely = _Rarely()
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(library):
            logging.getLogger(name).addFilter(rarely)
