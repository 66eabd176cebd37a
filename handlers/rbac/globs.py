"""The patterns of a policy, matched as Everest matches them: Go's doublestar v4, the separator `/`.

`*` and `?` end at a `/`, a class may take one, `**` alone between two of them crosses any number. Alternatives in
braces are left out: no valid policy holds a brace.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

# What the rest of a pattern may be where the name is at its end: `a/**` is `a` too.
_IN_NAMES = "abcdefghijklmnopqrstuvwxyz0123456789-."
_EMPTY_RESTS = ("", "*", "**", "/**", "**/", "/**/")


class MalformedGlob(ValueError):
    """A pattern that Everest takes for valid, and on which each question of its members fails."""


class _Part(NamedTuple):
    """`text` is how it is written; a literal or a class takes one of `ranges`, or none of them."""

    text: str
    ranges: tuple[tuple[str, str], ...] = ()
    is_negated: bool = False

    def spell(self) -> str:
        """The shortest name that it takes; nothing where a class takes nothing that could be in a name."""
        if self.ranges and not self.is_negated:
            return self.ranges[0][0]
        return next((char for char in _IN_NAMES if self.takes(char)), "") if self.ranges else ""

    def takes(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) != self.is_negated


_STAR, _DOUBLE_STAR, _DEEP, _DEEP_END = _Part("*"), _Part("**"), _Part("**/"), _Part("**")
_ONE = _Part("?", (("/", "/"),), is_negated=True)


def matches(pattern: str, name: str) -> bool:
    """Raises MalformedGlob."""
    parts = _parse(pattern)
    at = position = 0
    star: tuple[int, int] | None = None
    deep: tuple[int, int] | None = None
    while position < len(name):
        part = parts[at] if at < len(parts) else None
        if part is _DEEP_END:
            return True
        if part is _DEEP:
            at, star = at + 1, None
            deep = (at, position)
        elif part is _STAR or part is _DOUBLE_STAR:
            at += 1
            star = (at, position)
        elif part is not None and part.takes(name[position]):
            at, position = at + 1, position + 1
        elif star is not None and name[star[1]] != "/":
            at, position = star = (star[0], star[1] + 1)
        elif deep is not None and (separator := name.find("/", deep[1])) >= 0:
            at, position = deep = (deep[0], separator + 1)
        else:
            return False
    return "".join(part.text for part in parts[at:]) in _EMPTY_RESTS


def spell_ends(pattern: str) -> Iterator[str]:
    """For each end of the pattern a name that it matches, and one that is a character longer. Raises MalformedGlob."""
    spelt = ""
    yield "x"
    for part in reversed(_parse(pattern)):
        spelt = part.spell() + spelt
        yield spelt or "x"
        yield f"{spelt}x"


def check_glob(pattern: str) -> None:
    """Raises MalformedGlob."""
    _parse(pattern)


@lru_cache(maxsize=4096)
def _parse(pattern: str) -> tuple[_Part, ...]:
    parts: list[_Part] = []
    rest = pattern
    while rest:
        part, rest = _take(rest, is_first=not parts or parts[-1].text.endswith("/"))
        parts.append(part)
    return tuple(parts)


def _take(rest: str, *, is_first: bool) -> tuple[_Part, str]:
    """The next part; `is_first` in its segment, where alone two stars are more than one."""
    if rest.startswith("**"):
        if is_first and rest == "**":
            return _DEEP_END, ""
        return (_DEEP, rest[3:]) if is_first and rest[2] == "/" else (_DOUBLE_STAR, rest[2:])
    if rest[0] == "*":
        return _STAR, rest[1:]
    if rest[0] == "?":
        return _ONE, rest[1:]
    if rest[0] == "[":
        return _take_class(rest)
    char, after = _take_char(rest)
    return _Part(rest[: len(rest) - len(after)], ((char, char),)), after


def _take_class(rest: str) -> tuple[_Part, str]:
    is_negated = rest[1:2] in ("!", "^")
    after = rest[2 if is_negated else 1 :]
    ranges = []
    if after.startswith("]"):
        raise MalformedGlob(rest)
    while not after.startswith("]"):
        low, after = _take_char(after)
        high = low
        if after.startswith("-") and after[1:2] not in ("", "]"):
            high, after = _take_char(after[1:])
        ranges.append((low, high))
    return _Part(rest[: len(rest) - len(after) + 1], tuple(ranges), is_negated), after[1:]


def _take_char(rest: str) -> tuple[str, str]:
    """A character, taken literally behind a backslash."""
    if rest.startswith("\\"):
        rest = rest[1:]
    if not rest:
        raise MalformedGlob(rest)
    return rest[0], rest[1:]
