"""Roles: files that say what their members may do in a namespace, with `{role}` and `{namespace}` to be filled in.

Ours are in the folder `roles` beside this module; those of EVEREST_ROLES_DIR come first. A file holds rights alone: who
has the role is the request's to say.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from contracts.requests import ROLE_PATTERN
from handlers.rbac.policy import InvalidPolicy, Rule, parse_lines, parse_rules, read_wanted, render_rule
from handlers.rbac.resources import find_unknown

_OURS = Path(__file__).with_name("roles")
# Stands in for a role and a namespace where a file is read without any.
_SAMPLE = {"{role}": "role:sample", "{namespace}": "sample"}


class UnknownRole(ValueError):
    """No file has that name."""


class InvalidRole(ValueError):
    """A file that cannot be used: it is not readable, or not a policy of rights to one role in one namespace."""


class Role(NamedTuple):
    """`rights`: resource, action, object each; the object with its placeholder."""

    name: str
    rights: tuple[tuple[str, str, str], ...]

    def render(self, holder: str, namespace: str, resources: frozenset[str]) -> "RenderedRole":
        """The rights of `holder`, as far as the resources are known: an unknown one would end Everest's server."""
        lines = (render_rule("p", holder, *right).replace("{namespace}", namespace) for right in self.rights)
        rules = parse_lines(lines)
        unknown = find_unknown(rules, resources)
        return RenderedRole(tuple(rule for rule in rules if rule not in unknown), unknown)


class RenderedRole(NamedTuple):
    rules: tuple[Rule, ...]
    left_out: tuple[Rule, ...]


def load_role(name: str, folder: str | None) -> Role:
    """`folder`: EVEREST_ROLES_DIR. Raises UnknownRole, InvalidRole."""
    for place in _places(folder):
        path = place / f"{name}.csv"
        if re.fullmatch(ROLE_PATTERN, name) and path.is_file():
            return Role(name, _read_ours(path) if place == _OURS else tuple(_read_rights(path)))
    raise UnknownRole(f"there is no role {name}; known: {', '.join(list_roles(folder))}")


def list_roles(folder: str | None) -> list[str]:
    """The names of all roles. Raises InvalidRole for a folder that cannot be read."""
    try:
        names = {path.stem for place in _places(folder) for path in place.iterdir() if path.suffix == ".csv"}
    except OSError as error:
        raise InvalidRole(f"EVEREST_ROLES_DIR cannot be read: {error.strerror}") from None
    return sorted(name for name in names if re.fullmatch(ROLE_PATTERN, name))


def _places(folder: str | None) -> Iterable[Path]:
    return (Path(folder), _OURS) if folder else (_OURS,)


@cache
def _read_ours(path: Path) -> tuple[tuple[str, str, str], ...]:
    """Once: a deployment's own files may change while a handler runs, and these do not."""
    return tuple(_read_rights(path))


def _read_rights(path: Path) -> Iterable[tuple[str, str, str]]:
    """Raises InvalidRole."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRole(f"{path} cannot be read: {error}") from None
    filled = text
    for placeholder, sample in _SAMPLE.items():
        filled = filled.replace(placeholder, sample)
    try:
        checked = read_wanted(filled)
    except InvalidPolicy as error:
        raise InvalidRole(f"{path}: {error}") from None
    if not checked:
        raise InvalidRole(f"{path} holds no right")
    for rule in parse_rules(text):
        if rule.kind != "p" or rule.subject != "{role}":
            raise InvalidRole(f"{path}: line {rule.line}: a line of a role begins with `p, {{role}},`")
        resource, action, name = rule.fields[1:]
        yield resource, action, name
