"""Everest's RBAC policy as a text: the `policy.csv` of the ConfigMap everest-rbac, read as Everest's server reads it.

An edit changes the lines that it is about and no other byte: people keep comments, orders and spellings in it.
An invalid policy ends the Everest server for everybody (its informer panics), so nothing unchecked leaves this module.
"""

import re
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

ACTIONS = ("create", "read", "update", "delete", "*")
SUSPENSION = "#everest-bootstrap "  # in front of the lines of a suspended tenant: a comment for Everest
ADMIN_RULE = "g, admin, role:admin"  # without it the administrator is locked out as soon as RBAC is enabled

# Everest takes any action and one that it does not know never matches, so this is the only check that finds a typo.
_P_FIELDS = 4  # subject, resource, action, object
_G_FIELDS = 2  # user, role; Everest takes more, and looks at these
_TERM = re.compile(r"[/*-_:a-zA-Z0-9]+")  # pkg/rbac/validate.go; the range from `*` to `_` is meant so there
# What we write is held to what every later version takes too (openeverest, pull request 3185).
_SUBJECT = re.compile(r"[A-Za-z0-9/:.@+_-]+")
_OTHER_TERM = re.compile(r"[a-z0-9/:*-]+")
_MEMBER = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_QUOTED = re.compile(r'^[\s#]|[",]')  # a field that can be read again only between quotes
ADMIN_ROLE = "role:admin"  # built in: it needs no member
_BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))  # Go's
_MOST_SHOWN = 60  # characters of a line in a message

Key = tuple[str, tuple[str, ...]]
# Without its line feed; its number; where it starts, and where the next one does.
_Line = tuple[str, int, int, int]


class InvalidPolicy(ValueError):
    """A policy that Everest would not load, or that we would not write. `line` counts from 1; 0 for the whole."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.line = line
        self.reason = reason


class Rule(NamedTuple):
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

    @property
    def role(self) -> str:
        """Of a g line: what its subject is made a member of."""
        return self.fields[1]

    @property
    def shown(self) -> str:
        """Its line as we would write it."""
        return render_rule(self.kind, *self.fields)


class Edit(NamedTuple):
    """A stored policy with rules put into it and others taken out. `added` and `removed`: lines without endings."""

    text: str
    added: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def changed(self) -> bool:
        return bool(self.added or self.removed)


def parse_rules(text: str) -> tuple[Rule, ...]:
    """The rules in the order of the text. Raises InvalidPolicy for what Everest's parser refuses.

    Everest splits at line feeds and gives each line to Go's csv reader (pkg/rbac/utils): a comment has `#` in the first
    column, blanks before a field are dropped and behind it kept, an empty line is skipped, one of blanks is an error.
    """
    return tuple(_parse_line(*line) for line in _split_rules(text))


def parse_lines(lines: Iterable[str]) -> tuple[Rule, ...]:
    """The same of lines without endings. Raises InvalidPolicy."""
    return parse_rules("\n".join(lines))


def join_lines(lines: Iterable[str]) -> str:
    """The policy of these lines, which have no endings."""
    return "".join(f"{line}\n" for line in lines)


class Reading(NamedTuple):
    """The rules that could be read, and the first line that could not."""

    rules: tuple[Rule, ...]
    fault: InvalidPolicy | None


@lru_cache(maxsize=1)
def read_rules(text: str) -> Reading:
    """The same of a text that may hold what nobody can read: whether it is valid is everestctl's to say.

    The last reading is kept: what was looked at is edited next, and a thousand tenants take 35 ms.
    """
    try:
        return Reading(parse_rules(text), None)
    except InvalidPolicy as first:
        return Reading(tuple(_read_what_can_be_read(_split_rules(text))), first)


def read_suspended(text: str) -> tuple[Rule, ...]:
    """The rules that this service has made comments of."""
    comments = (
        (line.removeprefix(SUSPENSION), number, start, end)
        for line, number, start, end in _split(text)
        if line.startswith(SUSPENSION)
    )
    return tuple(_read_what_can_be_read(comments))


def _read_what_can_be_read(lines: Iterable[_Line]) -> Iterator[Rule]:
    for line in lines:
        with suppress(InvalidPolicy):
            yield _parse_line(*line)


def render_rule(kind: str, *fields: str) -> str:
    """The line of a rule, as Everest reads it again."""
    return ", ".join((kind, *map(_render_field, fields)))


def check_rules(rules: Iterable[Rule]) -> None:
    """Raises InvalidPolicy for what Everest refuses of rules that it could parse.

    Resources are left to everestctl: which ones there are depends on its version (`handlers.rbac.resources`).
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
    for rule in find_odd_actions(rules):
        known = ", ".join(ACTIONS)
        raise InvalidPolicy(rule.line, f"unknown action '{_show(rule.fields[2])}'; known: {known}")
    for rule in rules:
        if rule.kind == "g" and not _is_membership(rule):
            raise InvalidPolicy(rule.line, "a g line needs one member and one role, without blanks at their ends")
        if rule.kind == "p" and not _is_right(rule):
            raise InvalidPolicy(rule.line, "a field is empty or has a character that is not written here")
    return rules


def _is_membership(rule: Rule) -> bool:
    if len(rule.fields) != _G_FIELDS:
        return False
    member, role = rule.fields
    return bool(_MEMBER.fullmatch(member)) and member == member.strip() and bool(_SUBJECT.fullmatch(role))


def _is_right(rule: Rule) -> bool:
    subject, *others = rule.fields
    return bool(_SUBJECT.fullmatch(subject)) and all(map(_OTHER_TERM.fullmatch, others))


def edit(stored: str, wanted: str, withdrawn: str = "") -> Edit:
    """The stored policy with the wanted rules in it, without the withdrawn ones, and every other byte as it was.

    Nothing goes that `withdrawn` does not name, rule by rule, however a line is spelt, suspended or not; what is wanted
    stays. The administrator's role is added where it is missing. A role whose last member goes while somebody's rights
    of it stay becomes its own member: without one the policy is invalid. Editing again changes nothing.

    Raises InvalidPolicy: its line is one of the wanted policy, or of the withdrawn one where that cannot be read.
    """
    wanted_rules = read_wanted(wanted)
    stored_rules = read_rules(stored).rules
    protected = {rule.key for rule in (*wanted_rules, *parse_rules(ADMIN_RULE))}
    withdrawn_keys = {rule.key for rule in parse_rules(withdrawn)} - protected
    going = [rule for rule in stored_rules if rule.key in withdrawn_keys]
    kept = [rule for rule in stored_rules if rule.key not in withdrawn_keys]
    suspended = [rule for rule in read_suspended(stored) if rule.key in withdrawn_keys]
    _check_roles(wanted_rules, kept)
    kept_keys = {rule.key for rule in kept}
    new = {key: line for key, line in _lines_of(wanted, wanted_rules) if key not in kept_keys}
    added = [*new.values(), *_fill_roles(going, (*kept, *wanted_rules))]
    cut = sorted([*going, *suspended], key=lambda rule: rule.start)
    return Edit(
        _append(_cut(stored, _lines(cut)), added, _newline_of(stored)),
        tuple(added),
        tuple(_line(stored, rule) for rule in cut),
    )


def suspend(stored: str, lines: str) -> Edit:
    """The stored policy with these rules as comments, however they are spelt, and every other byte as it was.

    A role whose rights stay without a member becomes its own, in front of the first comment. Suspending again changes
    nothing. Raises InvalidPolicy where the lines cannot be read.
    """
    keys = {rule.key for rule in parse_rules(lines)} - {rule.key for rule in parse_rules(ADMIN_RULE)}
    rules = read_rules(stored).rules
    going = [rule for rule in rules if rule.key in keys]
    if not going:
        return Edit(stored, (), ())
    added = _fill_roles(going, (rule for rule in rules if rule.key not in keys))
    filler = "".join(line + _newline_of(stored) for line in added)
    parts, at = [stored[: going[0].start], filler], going[0].start
    for rule in going:
        parts += (stored[at : rule.start], SUSPENSION)
        at = rule.start
    return Edit("".join([*parts, stored[at:]]), tuple(added), tuple(_line(stored, rule) for rule in going))


def resume(stored: str, lines: str, filler: str = "") -> Edit:
    """The stored policy with the suspended ones of these rules in force again, byte for byte.

    Nobody else's comment is touched. The rules of `filler` go where their role has another member by then; a role that
    would have none becomes its own. Resuming again changes nothing. Raises InvalidPolicy where the lines or the filler
    cannot be read.
    """
    keys = {rule.key for rule in parse_rules(lines)}
    coming = [rule for rule in read_suspended(stored) if rule.key in keys]
    text = _cut(stored, ((rule.start, rule.start + len(SUSPENSION)) for rule in coming))
    rules, filling = read_rules(text).rules, {rule.key for rule in parse_rules(filler)}
    others = [rule for rule in rules if rule.key not in filling]
    held = _fill_roles((), others, {rule.subject for rule in (*coming, *parse_rules(filler))})
    going = [rule for rule in rules if rule.key in filling and rule.shown not in held]
    missing = [line for line in held if line not in {rule.shown for rule in rules}]
    added = tuple(_line(stored, rule).removeprefix(SUSPENSION) for rule in coming)
    return Edit(
        _append(_cut(text, _lines(going)), missing, _newline_of(stored)),
        (*added, *missing),
        tuple(_line(text, rule) for rule in going),
    )


def _fill_roles(going: Iterable[Rule], kept: Iterable[Rule], roles: Container[str] = ()) -> list[str]:
    """A line for each role that loses its last member while rights of it stay, and for these where they have none."""
    kept = tuple(kept)
    held = {rule.subject for rule in kept if rule.kind == "p"}
    given = {rule.fields[1] for rule in kept if rule.kind == "g"}
    leaving = {rule.fields[1] for rule in going if rule.kind == "g"}
    left = {role for role in held - given if role in leaving or role in roles}
    return [render_rule("g", role, role) for role in sorted(left) if role.startswith("role:")]


def _check_roles(rules: Iterable[Rule], others: Iterable[Rule] = ()) -> None:
    """A role of the rules must be somebody's, by a g line of theirs or of the others."""
    rules = tuple(rules)
    roles = {rule.fields[1] for rule in (*rules, *others) if rule.kind == "g"} | {ADMIN_ROLE}
    for rule in rules:
        if rule.kind == "p" and rule.subject.startswith("role:") and rule.subject not in roles:
            raise InvalidPolicy(rule.line, f"role '{_show(rule.subject)}' does not exist: no g line gives it")


def _split(text: str) -> Iterator[_Line]:
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        end = start + len(line) + 1
        yield line, number, start, min(end, len(text))
        start = end


def _split_rules(text: str) -> Iterator[_Line]:
    """The lines that are no comment."""
    return (line for line in _split(text) if line[0] and line[0][0] != "#")


def _render_field(field: str) -> str:
    if not _QUOTED.search(field):
        return field
    quoted = field.replace('"', '""')
    return f'"{quoted}"'


def _lines_of(wanted: str, rules: tuple[Rule, ...]) -> list[tuple[Key, str]]:
    """What may have to be added, the administrator's rule first."""
    (admin,) = parse_rules(ADMIN_RULE)
    return [(admin.key, ADMIN_RULE), *((rule.key, _line(wanted, rule)) for rule in rules)]


def _line(text: str, rule: Rule) -> str:
    return text[rule.start : rule.end].removesuffix("\n").removesuffix("\r")


def _cut(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Without what stands between these places, which are in order."""
    parts, at = [], 0
    for start, end in spans:
        parts.append(text[at:start])
        at = end
    return "".join([*parts, text[at:]])


def _lines(rules: Iterable[Rule]) -> Iterator[tuple[int, int]]:
    return ((rule.start, rule.end) for rule in rules)


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
