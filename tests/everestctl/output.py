"""What a run prints: pretty text, log lines, a spinner's bytes, tables."""

from __future__ import annotations

import sys
import time

from tests.everestctl import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_FRAMES = ("●∙∙", "∙●∙", "∙∙●", "∙∙∙")
_FRAME_SECONDS = 0.14
_RESTORE = "\x1b[2K\r\x1b[?2004l\x1b[?25h\x1b[?1002l\x1b[?1003l\x1b[?1006l"


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Console:
    """Pretty output, or one line of JSON an event."""

    def __init__(self, is_pretty: bool, is_json: bool) -> None:
        self.is_pretty = is_pretty
        self.is_json = is_json

    def say(self, text: str) -> None:
        if self.is_pretty:
            sys.stdout.write(text)

    def log(self, message: str, caller: str, component: str = "", level: str = "info", **fields: Any) -> None:
        if self.is_json:
            line = {"level": level, "T": now(), "logger": "everestctl", "caller": caller, "msg": message}
            if component:
                line["component"] = component
            sys.stderr.write(json_text.write({**line, **fields}, is_ascii=False) + "\n")
        elif not self.is_pretty:
            component = f'\t{{"component": "{component}"}}' if component else ""
            sys.stderr.write(f"{now()}\t{level.upper()}\teverestctl\t{caller}\t{message}{component}\n")

    def fail(self, message: str) -> None:
        if not self.is_pretty:
            self.log(message, "output/command.go:39", level="error")
            return
        lines = message.replace("\t", "    ").split("\n")
        width = max(len(line) for line in lines)
        text = "\n".join(line.ljust(width) for line in lines) if len(lines) > 1 else message
        sys.stderr.write(f"❌ {text}\n\n")


class Spinner:
    """What bubbletea writes into a pipe while steps run; `back` is how its version returns to the line's begin."""

    def __init__(self, console: Console, back: str) -> None:
        self.is_open = False
        self._console = console
        self._back = back
        self._frame = 0
        self._shown_at = 0.0
        self._title = ""

    def start(self, title: str) -> None:
        self._title = title
        if not self.is_open:
            self._write("\x1b[?25l\x1b[?2004h\r")
            self.is_open = True
        self._write(f"{_FRAMES[self._frame % 4]} {title}\r\n\r\nEsc/Ctrl+c quit\r\n{self._back}")
        self._shown_at = time.monotonic()

    def turn(self) -> None:
        if time.monotonic() - self._shown_at >= _FRAME_SECONDS:
            self._frame += 1
            self._shown_at = time.monotonic()
            self._write(f"\x1b[3A{_FRAMES[self._frame % 4]} {self._title}\r\n\n\n{self._back}")

    def end(self, mark: str) -> None:
        self._write(f"\x1b[3A{mark}  {self._title}\r\n\r")

    def close(self) -> None:
        self._write(f" \x1b[J{self._back}{_RESTORE}")

    def quit(self) -> None:
        """On a signal: nothing says that the step has not ended."""
        self._write(_RESTORE)

    def _write(self, text: str) -> None:
        if self._console.is_pretty:
            sys.stdout.write(text)
            sys.stdout.flush()


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], hides_headers: bool = False) -> None:
    """The headers' widths count when they are hidden, too."""
    widths = [max(len(cell) for cell in column) + 2 for column in zip(headers, *rows, strict=True)]
    for row in rows if hides_headers else [headers, *rows]:
        sys.stdout.write("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "\n")
