"""Everest's RBAC policy as a text: the `policy.csv` of the ConfigMap everest-rbac, read as Everest's server reads it.

An edit changes the lines that it is about and no other byte: people keep comments, orders and spellings in it.
An invalid policy ends the Everest server for everybody (its informer panics), so nothing unchecked leaves this module.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

ACTIONS = ("create", "read", "update", "delete", "*")
ADMIN_RULE = "g, admin, role:admin"  # without it the administrator is locked out as soon as RBAC is enabled

# Everest takes any action and one that it does not know never matches, so this is the only check that finds a typo.
_P_FIELDS = 4  # subject, resource, action, object
_G_FIELDS = 2  # user, role; Everest takes more, and looks at these
_TERM = re.compile(r"[/*-_:a-zA-Z0-9]+")  # pkg/rbac/rbac.go; the range from `*` to `_` is meant so there
_NAME = re.compile(r"[^\s,\"#\x00-\x1f\x7f]+")
_BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))  # Go's
_MOST_SHOWN = 60  # characters of a line in a message

Key = tuple[str, tuple[str, ...]]


class InvalidPolicy(ValueError):
    """A policy that Everest would not load, or that we would not write. `line` counts from 1; 0 for the whole."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the policy that is no comment. `text[start:end]` of the policy is the line with its ending."""

    kind: str  # "p": a subject's right; "g": a user's role
    fields: tuple[str, ...]
    line: int
    start: int
    end: int

    @property
    def key(self) -> Key:
        """Equal for rules that Everest takes for the same, however they are spelt."""
        return self.kind, self.fields

    @property
    def subject(self) -> str:
        return self.fields[0]


@dataclass(frozen=True, slots=True)
class Merge:
    """A stored policy with another one put into it. `added` and `dropped` are lines without their endings."""

    text: str
    added: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def changed(self) -> bool:
        return bool(self.added or self.dropped)


def parse_rules(text: str) -> tuple[Rule, ...]:
    """The rules in the order of the text. Raises InvalidPolicy for what Everest's parser refuses.

    Everest splits at line feeds and gives each line to Go's csv reader (pkg/rbac/utils): a comment has `#` in the first
    column, blanks before a field are dropped and behind it kept, an empty line is skipped, one of blanks is an error.
    """
    rules = []
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        end = start + len(line) + 1
        if line and line[0] != "#":
            rules.append(_parse_line(line, number, start, min(end, len(text))))
        start = end
    return tuple(rules)


def check_rules(rules: Iterable[Rule]) -> None:
    """Raises InvalidPolicy for what Everest refuses of rules that it could parse.

    Resources are left to everestctl: which ones there are depends on its version.
    """
    rules = tuple(rules)
    for rule in rules:
        for term in rule.fields if rule.kind == "p" else ():
            if not _TERM.fullmatch(term):
                raise InvalidPolicy(rule.line, f"invalid policy term '{_show(term)}'")
    _check_roles(rules)


def find_odd_actions(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Rules with an action that Everest does not know: valid for it, and without effect."""
    return tuple(rule for rule in rules if rule.kind == "p" and rule.fields[2] not in ACTIONS)


def read_wanted(text: str) -> tuple[Rule, ...]:
    """The rules of a policy that is to be put in: held to more than what Everest checks. Raises InvalidPolicy."""
    rules = parse_rules(text)
    if not rules:
        raise InvalidPolicy(0, "the policy holds no rule")
    for rule in find_odd_actions(rules):
        known = ", ".join(ACTIONS)
        raise InvalidPolicy(rule.line, f"unknown action '{_show(rule.fields[2])}'; known: {known}")
    for rule in rules:
        if rule.kind == "g" and (len(rule.fields) != _G_FIELDS or not all(map(_NAME.fullmatch, rule.fields))):
            raise InvalidPolicy(rule.line, "a g line needs one user and one role, without blanks in them")
        if rule.kind == "p" and not all(map(_TERM.fullmatch, rule.fields)):
            raise InvalidPolicy(rule.line, "a field is empty or has a character that Everest does not allow")
    return rules


def merge(stored: str, wanted: str) -> Merge:
    """The stored policy with the wanted one's rules in it, and every other byte as it was.

    The subjects of the wanted p lines get exactly these rights: their other p lines go. A g line never goes, because
    somebody may have given the role to a second user, or a second role to the user. Of a wanted rule one line stays,
    the first, as it is spelt. The administrator's role is added where it is missing. Merging again changes nothing.

    Raises InvalidPolicy: of a valid stored policy its line is one of the wanted policy.
    """
    wanted_rules = read_wanted(wanted)
    stored_rules = parse_rules(stored)
    _check_roles(wanted_rules, stored_rules)
    wanted_keys = {rule.key for rule in wanted_rules}
    subjects = {rule.subject for rule in wanted_rules if rule.kind == "p"}
    kept: set[Key] = set()
    going: list[Rule] = []
    for rule in stored_rules:
        is_repeated = rule.key in wanted_keys and rule.key in kept
        is_withdrawn = rule.kind == "p" and rule.subject in subjects and rule.key not in wanted_keys
        if is_repeated or is_withdrawn:
            going.append(rule)
        else:
            kept.add(rule.key)
    new = {key: line for key, line in _lines_of(wanted, wanted_rules) if key not in kept}
    return Merge(
        _append(_cut(stored, going), list(new.values()), _newline_of(stored)),
        tuple(new.values()),
        tuple(_line(stored, rule) for rule in going),
    )


def _check_roles(rules: Iterable[Rule], others: Iterable[Rule] = ()) -> None:
    """A role of the rules must be somebody's, by a g line of theirs or of the others."""
    rules = tuple(rules)
    roles = {rule.fields[1] for rule in (*rules, *others) if rule.kind == "g"}
    for rule in rules:
        if rule.kind == "p" and rule.subject.startswith("role:") and rule.subject not in roles:
            raise InvalidPolicy(rule.line, f"role '{_show(rule.subject)}' is given to nobody by a g line")


def _lines_of(wanted: str, rules: tuple[Rule, ...]) -> list[tuple[Key, str]]:
    """What may have to be added, the administrator's rule first."""
    (admin,) = parse_rules(ADMIN_RULE)
    return [(admin.key, ADMIN_RULE), *((rule.key, _line(wanted, rule)) for rule in rules)]


def _line(text: str, rule: Rule) -> str:
    return text[rule.start : rule.end].removesuffix("\n").removesuffix("\r")


def _cut(text: str, rules: Iterable[Rule]) -> str:
    parts = []
    at = 0
    for rule in rules:
        parts.append(text[at : rule.start])
        at = rule.end
    return "".join([*parts, text[at:]])


def _append(text: str, lines: list[str], newline: str) -> str:
    """A text that has no newline at its end has none afterwards."""
    if not lines:
        return text
    is_open = text != "" and not text.endswith("\n")
    return text + (newline if is_open else "") + newline.join(lines) + ("" if is_open else newline)


def _newline_of(text: str) -> str:
    return "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"


def _parse_line(line: str, number: int, start: int, end: int) -> Rule:
    content = line.removesuffix("\r")
    if not content:
        raise InvalidPolicy(number, "an empty line that ends in CR LF, which Everest cannot read")
    if '"' in content:
        values = _split_quoted(content, number)
    else:
        values = [value.lstrip(_BLANKS) for value in content.split(",")]
    if len(values) < 2 or values[0] not in ("p", "g"):
        raise InvalidPolicy(number, f"invalid policy line '{_show(content)}'")
    kind, fields = values[0], tuple(values[1:])
    if kind == "p" and len(fields) != _P_FIELDS:
        raise InvalidPolicy(number, f"a p line has {_P_FIELDS} fields after the p, not {len(fields)}")
    if kind == "g" and len(fields) < _G_FIELDS:
        raise InvalidPolicy(number, f"a g line has {_G_FIELDS} fields after the g, not {len(fields)}")
    return Rule(kind, fields, number, start, end)


def _split_quoted(line: str, number: int) -> list[str]:
    """Fields as Go's encoding/csv reads them, quotes strict. Python's csv is laxer, and limits a field's length."""
    values = []
    rest: str | None = line
    while rest is not None:
        rest = rest.lstrip(_BLANKS)
        value, rest = _take_quoted(rest, number) if rest.startswith('"') else _take_plain(rest, number)
        values.append(value)
    return values


def _take_plain(rest: str, number: int) -> tuple[str, str | None]:
    value, comma, rest = rest.partition(",")
    if '"' in value:
        raise InvalidPolicy(number, "a quote in a field that does not begin with one")
    return value, rest if comma else None


def _take_quoted(rest: str, number: int) -> tuple[str, str | None]:
    match = re.match(r'"((?:[^"]|"")*+)"(,|\Z)', rest)
    if match is None:
        raise InvalidPolicy(number, "a quoted field that does not end")
    return match[1].replace('""', '"'), rest[match.end() :] if match[2] else None


def _show(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
