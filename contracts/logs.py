"""Structured logs: one event, one line of JSON, the same fields in every process.

Log with `logger.info("step.finished", extra={"step": name})`; `bind` adds fields to every later line of a task.
"""

import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.orjson import OrjsonFormatter

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
    return datetime.fromtimestamp(seconds_since_epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
