"""Making a command's output fit to be seen: what a person would have seen at the end, masked, and not too long.

For showing only. What is parsed is parsed from the bytes as they came.
"""

import re
import unicodedata
from collections import deque
from collections.abc import Iterable

from handlers.commands.secret import Secret, mask, mask_bytes

_LONGEST_CLEANED_BYTES = 2 * 1024 * 1024  # cleaning takes a second for 4 MB of nothing but cursor movements

_ROWS_IN_REACH = 1000  # the cursor goes no higher: as in a terminal, what has scrolled off stays as it is
_LONGEST_NUMBER = 6  # digits of a cursor movement
_LONGEST_CELL = 8  # a character and what is combined with it

# ECMA-48: a control sequence; a command string (a title, a link); any other escape; one control character.
_TOKEN = re.compile(
    r"\x1b\[(?P<parameters>[0-?]*+)[ -/]*+(?P<final>[@-~])"
    r"|\x1b[\]PX^_][^\x07\x1b]*+(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*+[0-Z\\-~]?"
    r"|(?P<newline>\r*+\n)"
    r"|(?P<motion>\r++|\x08++)"
    r"|[\x00-\x07\x0b-\x1f\x7f-\x9f]"
    r"|(?P<text>[^\x00-\x08\x0a-\x1f\x7f-\x9f]++)"
)
_PLAIN = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f]*")
# What everestctl draws for somebody at its terminal while it works: the dots that go round, the keys that end it.
_FOR_A_TERMINAL = re.compile(r"^[●∙]{3} |^Esc/Ctrl\+c quit\n?", re.MULTILINE)


def show(raw: bytes, limit: int, secrets: Iterable[Secret] = ()) -> str:
    """The output as it may be kept in a record: at most `limit` characters, with no secret in it.

    Masked before and after it is cleaned, so that neither a cut nor a control character can hide a secret.
    """
    secrets = tuple(secrets)
    masked = mask_bytes(raw, secrets)
    if len(masked) > _LONGEST_CLEANED_BYTES:
        half = _LONGEST_CLEANED_BYTES // 2
        cut_bytes = len(masked) - 2 * half
        masked = masked[:half] + f"\n… {cut_bytes:,} bytes cut …\n".encode() + masked[-half:]
    return shorten(mask(clean(masked), secrets), limit)


def show_end(raw: bytes, limit_bytes: int, secrets: Iterable[Secret] = ()) -> str:
    """The last of it, in the same way, of a command that still runs: without what moves and what asks for keys."""
    secrets = tuple(secrets)
    text = _FOR_A_TERMINAL.sub("", mask(clean(mask_bytes(raw, secrets)), secrets)).strip()
    return text.encode()[-limit_bytes:].decode(errors="ignore")


def clean(raw: bytes) -> str:
    """What a terminal would show at the end: colours gone, spinner frames and rewritten lines only in their last form.

    Bytes that are no UTF-8 become U+FFFD, control characters are dropped: the result is legal in JSON everywhere.
    """
    text = raw.decode("utf-8", "replace").replace("\r\n", "\n")
    if _PLAIN.fullmatch(text):
        return text
    screen = _Screen()
    for token in _TOKEN.finditer(text):
        screen.take(token)
    return screen.text


def shorten(text: str, limit: int) -> str:
    """Head and tail of a text that is longer than `limit` characters, with the cut named between them."""
    if len(text) <= limit:
        return text
    longest_note = _note(len(text))
    if limit < 2 * len(longest_note):
        return tail(text, limit)
    kept = limit - len(longest_note)
    return text[: kept - kept // 2] + _note(len(text) - kept) + text[len(text) - kept // 2 :]


def tail(text: str, limit: int) -> str:
    """The last characters, where the reason stands."""
    return text[max(0, len(text) - limit) :]


def _note(characters: int) -> str:
    return f"\n… {characters:,} characters cut …\n"


class _Screen:
    """The rows of an endless terminal, and the cursor in them.

    A row is a list of cells; the second cell of a wide character is empty. A move beyond what was written stops at its
    edge, so that no input makes the work grow faster than its length. Sequences that our commands do not write
    (absolute positions, clearing the whole screen) are dropped: rather too much is kept than too little.
    """

    def __init__(self) -> None:
        self._scrolled_off: list[str] = []
        self._rows: deque[list[str]] = deque([[]])
        self._row = 0
        self._column = 0

    @property
    def text(self) -> str:
        return "\n".join((*self._scrolled_off, *map(_join, self._rows)))

    def take(self, token: "re.Match[str]") -> None:
        if written := token["text"]:
            self._write(written)
        elif token["newline"]:
            self._go_to_next_row()
        elif motion := token["motion"]:
            self._column = max(0, self._column - len(motion)) if motion[0] == "\b" else 0
        elif final := token["final"]:
            self._control(final, token["parameters"])

    def _write(self, written: str) -> None:
        cells = _cells(written)
        row = self._rows[self._row]
        row[self._column : self._column + len(cells)] = cells
        self._column += len(cells)

    def _go_to_next_row(self) -> None:
        self._row += 1
        self._column = 0
        if self._row == len(self._rows):
            self._rows.append([])
            if self._row == _ROWS_IN_REACH:
                self._scrolled_off.append(_join(self._rows.popleft()))
                self._row -= 1

    def _control(self, final: str, parameters: str) -> None:
        number = int(parameters) if parameters.isdecimal() and len(parameters) <= _LONGEST_NUMBER else None
        match final:
            case "A":
                self._go_to(self._row - (number or 1), self._column)
            case "B":
                self._go_to(self._row + (number or 1), self._column)
            case "C":
                self._go_to(self._row, self._column + (number or 1))
            case "D":
                self._go_to(self._row, self._column - (number or 1))
            case "G":
                self._go_to(self._row, (number or 1) - 1)
            case "K" if number == 2:
                self._rows[self._row].clear()
                self._column = 0
            case "K" if not number:
                del self._rows[self._row][self._column :]
            case "J" if not number:
                del self._rows[self._row][self._column :]
                while len(self._rows) > self._row + 1:
                    self._rows.pop()

    def _go_to(self, row: int, column: int) -> None:
        self._row = min(max(0, row), len(self._rows) - 1)
        self._column = min(max(0, column), len(self._rows[self._row]))


def _cells(written: str) -> list[str]:
    """A cell a character; two for a wide one; none for one that is drawn over the last."""
    if written.isascii():
        return list(written)
    cells: list[str] = []
    for character in written:
        if unicodedata.category(character) in ("Mn", "Me", "Cf"):
            if cells and len(cells[-1]) < _LONGEST_CELL:
                cells[-1] += character
            continue
        cells.append(character)
        if unicodedata.east_asian_width(character) in "WF":
            cells.append("")
    return cells


def _join(row: list[str]) -> str:
    return "".join(row).rstrip(" ")
