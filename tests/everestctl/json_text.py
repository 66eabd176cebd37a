"""JSON by what `json` is made of: its package imports `re`, and that takes longer than most commands."""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_BLANKS = " \t\n\r"


class _Meanings:
    strict = True
    object_hook = object_pairs_hook = None
    parse_float = parse_constant = float
    parse_int = int


_scan = _json.make_scanner(_Meanings)  # type: ignore[arg-type]  # typeshed wants a scanner of a scanner


def read(text: str) -> Any:
    """Raises ValueError."""
    try:
        value, end = _scan(text, len(text) - len(text.lstrip(_BLANKS)))
    except (StopIteration, SystemError):  # its words for what is wrong are the package's
        return _read_slowly(text)
    return value if not text[end:].strip(_BLANKS) else _read_slowly(text)


def write(value: Any, *, is_ascii: bool = True) -> str:
    """Without blanks between."""
    encode = _json.encode_basestring_ascii if is_ascii else _json.encode_basestring
    return "".join(_json.make_encoder(None, _refuse, encode, None, ":", ",", False, False, True)(value, 0))


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"{value!r} is no JSON")


def _read_slowly(text: str) -> Any:
    import json

    return json.loads(text)
