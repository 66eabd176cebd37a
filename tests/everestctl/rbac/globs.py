"""Globs as the enforcer's library matches them, doublestar 4: `*` within a segment, `**` across, `?`, `[classes]`."""

from __future__ import annotations

import re

from tests.everestctl.errors import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_BAD_PATTERN = "syntax error in pattern"
_SEVERAL = r"(/|^)\*\*(/|$)"
_CLASS = r"\[([!^]?)((?:\\.|[^\\\]])(?:\\.|[^\\\]])*)\]"


def matches(pattern: str, text: str) -> bool:
    """Raises Failed for a malformed pattern, whatever the text is."""
    return re.fullmatch("".join(_translate(pattern)), text, re.DOTALL) is not None


def _translate(pattern: str) -> Iterator[str]:
    at = 0
    while at < len(pattern):
        several = re.compile(_SEVERAL).match(pattern, at)
        if several and (several[1] or at == 0):
            yield _translate_several(several)
            at = several.end()
            continue
        part, at = _translate_one(pattern, at)
        yield part


def _translate_several(found: re.Match[str]) -> str:
    before, after = found.groups()
    if not after:
        return "(?:/.*)?" if before else ".*"
    return f"{before}(?:.*/)?"


def _translate_one(pattern: str, at: int) -> tuple[str, int]:
    """What stands at this place, and where the next begins."""
    char = pattern[at]
    if char == "*":
        return "[^/]*", at + 1
    if char == "?":
        return "[^/]", at + 1
    if char == "[":
        found = re.compile(_CLASS).match(pattern, at)
        if found is None:
            raise Failed(_BAD_PATTERN)
        return _translate_class(found), found.end()
    if char == "\\":
        if at + 1 == len(pattern):
            raise Failed(_BAD_PATTERN)
        return re.escape(pattern[at + 1]), at + 2
    return re.escape(char), at + 1


def _translate_class(found: re.Match[str]) -> str:
    members = re.sub(r"([\[&~|^])", r"\\\1", found[2])
    try:
        re.compile(f"[{members}]")
    except re.error:
        raise Failed(_BAD_PATTERN) from None
    return f"(?!/)[{'^' if found[1] else ''}{members}]"
