"""The policy's text: read line by line as casbin does, and checked as Everest does.

Lines are read by the rules of Go's encoding/csv with leading blanks trimmed; an invalid policy stops Everest's server.
"""

from __future__ import annotations

from tests.everestctl.characters import LOWER
from tests.everestctl.errors import Failed

ADMIN = "role:admin"
SINCE = {
    "backup-storages": (1, 4),
    "database-clusters": (1, 4),
    "database-cluster-backups": (1, 4),
    "database-cluster-credentials": (1, 4),
    "database-cluster-restores": (1, 4),
    "database-engines": (1, 4),
    "monitoring-instances": (1, 4),
    "namespaces": (1, 4),
    "pod-scheduling-policies": (1, 7),
    "data-importers": (1, 8),
    "data-import-jobs": (1, 8),
    "load-balancer-configs": (1, 9),
    "enginefeatures/split-horizon-dns-configs": (1, 10),
}
"""The resources by the version that brought them."""

_TERM = LOWER | {chr(code) for code in range(ord("*"), ord("_") + 1)}  # a range by an unescaped hyphen
_NEVER = (99, 0)
_RULE_SIZES = {"p": 4, "g": 2}
_BARE_QUOTE = 'bare " in non-quoted-field'
_BAD_QUOTE = 'extraneous or missing " in quoted-field'


class Policy:
    """`rules`: subject, resource, action, object; `links`: who has which role."""

    def __init__(self) -> None:
        self.rules: list[tuple[str, ...]] = []
        self.links: list[tuple[str, str]] = []


def read_policy(text: str) -> Policy:
    """Raises Failed in casbin's words at the first line that is none."""
    policy = Policy()
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        kind, *terms = _read_fields(line)
        if not terms or kind not in _RULE_SIZES:
            raise Failed(f"invalid policy line '{line}'")
        size = _RULE_SIZES[kind]
        if len(terms) < size or (kind == "p" and len(terms) > size):
            rule = " ".join(terms)
            raise Failed(f"invalid policy rule size: expected {size}, got {len(terms)}, rule: [{rule}]")
        if kind == "p":
            policy.rules.append(tuple(terms))
        else:
            policy.links.append((terms[0], terms[1]))
    return policy


def check_policy(policy: Policy, version: tuple[int, int]) -> None:
    """Raises Failed for what Everest's server of that minor version would not start with: terms, roles, resources."""
    if why := _find_bad_term(policy) or _find_missing_role(policy) or _find_unknown_resource(policy, version):
        raise Failed(f"policy syntax error\n{why}")


def _find_bad_term(policy: Policy) -> str | None:
    terms = (term for rule in policy.rules for term in rule)
    return next((f"invalid policy term '{term}'" for term in terms if not term or not _TERM.issuperset(term)), None)


def _find_missing_role(policy: Policy) -> str | None:
    roles = {role for _, role in policy.links} | {ADMIN}
    subjects = (rule[0] for rule in policy.rules)
    missing = (one for one in subjects if one.startswith("role:") and one not in roles)
    return next((f"role '{role}' does not exist" for role in missing), None)


def _find_unknown_resource(policy: Policy, version: tuple[int, int]) -> str | None:
    named = (rule[1] for rule in policy.rules if rule[1] != "*")
    unknown = (one for one in named if SINCE.get(one, _NEVER) > version)
    return next((f"unknown resource name '{resource}'" for resource in unknown), None)


def _read_fields(line: str) -> list[str]:
    """One record of a CSV, as Go reads it."""
    line = line.removesuffix("\r")
    if not line:
        raise Failed("EOF")
    fields, at = [], 0
    while True:
        start = at + len(line[at:]) - len(line[at:].lstrip())
        if line[start : start + 1] == '"':
            field, at = _read_quoted(line, start + 1)
        else:
            end = line.find(",", start)
            at = len(line) if end < 0 else end
            field = line[start:at]
            if '"' in field:
                raise _parse_error(line, start + field.index('"'), _BARE_QUOTE)
        fields.append(field)
        if at >= len(line):
            return fields
        at += 1  # the comma


def _read_quoted(line: str, at: int) -> tuple[str, int]:
    field = ""
    while True:
        end = line.find('"', at)
        if end < 0:
            raise _parse_error(line, len(line), _BAD_QUOTE)
        field, at = field + line[at:end], end + 1
        follows = line[at : at + 1]
        if follows == '"':
            field, at = field + '"', at + 1
        elif follows in ("", ","):
            return field, at
        else:
            raise _parse_error(line, at - 1, _BAD_QUOTE)


def _parse_error(line: str, at: int, why: str) -> Failed:
    """Columns are bytes, from 1."""
    return Failed(f"parse error on line 1, column {len(line[:at].encode()) + 1}: {why}")
