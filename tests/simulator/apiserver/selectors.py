"""Selectors of labels and of fields: `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`."""

import re
from typing import NamedTuple

_TERM = re.compile(r"([^\s,=!()]+)(?:\s*(==?|!=)\s*([^\s,]*)|\s+(in|notin)\s*\(([^)]*)\))?|!\s*([^\s,]+)")


class Term(NamedTuple):
    """`values` is None where any will do; `is_wanted`: whether they are to be there."""

    name: str
    values: frozenset[str] | None
    is_wanted: bool

    def matches(self, found: str | None) -> bool:
        is_there = found is not None if self.values is None else found in self.values
        return is_there is self.is_wanted


def read_selector(selector: str) -> list[Term]:
    return [_read_term(found) for found in _TERM.finditer(selector)]


def _read_term(found: re.Match[str]) -> Term:
    name, operator, value, word, values, absent = found.groups()
    if absent:
        return Term(absent, None, False)
    if operator:
        return Term(name, frozenset([value]), operator != "!=")
    if word:
        return Term(name, frozenset(part.strip() for part in values.split(",")), word == "in")
    return Term(name, None, True)
