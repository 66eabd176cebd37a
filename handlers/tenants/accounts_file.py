"""Everest's account store: the `users.yaml` in the Secret everest-accounts, and the proof of a password.

Everest writes it with yaml.v2 (pkg/kubernetes/accounts.go): a map of users, the hash as `!!binary` base64, or as plain
text where its 32 bytes happen to be valid UTF-8. Names are compared as they are written, so that one that looks like
another type (`null`, `123`) is a name too.
"""

import base64
import binascii
import hashlib
import hmac
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import yaml

_ROUNDS = 4096
_KEY_BYTES = 32
_BINARY = "tag:yaml.org,2002:binary"
# As Everest writes it: keys without any escape in the first column, and below each nothing but indented lines.
_INDENTED = re.compile(r"(?: [^\n]*+\n)++")
_AS_WRITTEN = re.compile(rf'(?:("?)[A-Za-z0-9_.-]++\1:\n{_INDENTED.pattern})*+')


class UnreadableAccounts(ValueError):
    """The store does not look as Everest writes it."""


def proves(users: str, salt: str, username: str, password: str) -> bool:
    """Whether the password is the account's. `salt` is the UID of the namespace everest-system.

    Raises UnreadableAccounts: not knowing is not the same as no.
    """
    stored = read_hash(users, username)
    if stored is None:
        return False
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), _ROUNDS, _KEY_BYTES)
    return hmac.compare_digest(stored, made)


def read_hash(users: str, username: str) -> bytes | None:
    """The stored hash; None where there is no such account. Raises UnreadableAccounts."""
    accounts = _read_mapping(_compose(_narrow(users, username)), "the store")
    if username not in accounts:
        return None
    stored = _read_mapping(accounts[username], "the account").get("passwordHash")
    if stored is None or not isinstance(stored.value, str):
        raise UnreadableAccounts("it has no passwordHash")
    if stored.tag != _BINARY:
        return stored.value.encode()
    try:
        return base64.b64decode("".join(stored.value.split()), validate=True)
    except binascii.Error as error:
        raise UnreadableAccounts(f"its passwordHash is broken: {error}") from None


def read_proof(users: str, username: str) -> str | None:
    """A digest of the stored hash, which dies with the account and with its password; None where there is none.

    Raises UnreadableAccounts.
    """
    stored = read_hash(users, username)
    return None if stored is None else hashlib.sha256(stored).hexdigest()


def cut_account(users: str, username: str) -> str:
    """The store without the account, every other byte as it was. Raises UnreadableAccounts: also where it has none."""
    from yaml.nodes import MappingNode

    root = _compose(users)
    accounts = _read_mapping(root, "the store")
    if not isinstance(root, MappingNode) or root.flow_style or username not in accounts:
        raise UnreadableAccounts("the account cannot be told from its neighbours")
    lines = users.splitlines(keepends=True)
    starts = [*(key.start_mark.line for key, _ in root.value), len(lines)]
    at = [key.value for key, _ in root.value].index(username)
    return "".join(lines[: starts[at]] + lines[starts[at + 1] :]) or "{}\n"


def read_enabled(users: str, username: str) -> bool | None:
    """Whether the account can log in; None where there is none. Raises UnreadableAccounts."""
    accounts = _read_mapping(_compose(_narrow(users, username)), "the store")
    if username not in accounts:
        return None
    node = _read_mapping(accounts[username], "the account").get("enabled")
    return node is not None and node.value == "true"


def set_enabled(users: str, username: str, moment: str, *, enabled: bool) -> str:
    """The store with the account enabled or not, every other byte as it was. Raises UnreadableAccounts.

    `moment` becomes that of its password where it has one: sessions that began earlier end (from Everest 1.7 on).
    """
    accounts = _read_mapping(_compose(users), "the store")
    account = _read_mapping(accounts.get(username), "the account")
    if "enabled" not in account:
        raise UnreadableAccounts("it does not say whether it is enabled")
    changes = {"enabled": str(enabled).lower(), "passwordMtime": f'"{moment}"'}
    for name in sorted(changes.keys() & account.keys(), key=lambda name: account[name].start_mark.index, reverse=True):
        users = _put(users, account[name], changes[name])
    return users


def _put(text: str, node: "yaml.Node", value: str) -> str:
    """The text with another value in a node of one line. Raises UnreadableAccounts where it is not found there."""
    lines = text.split("\n")
    start, end = node.start_mark, node.end_mark
    line = lines[start.line] if start.line < len(lines) else ""
    if start.line != end.line or line[start.column : end.column].strip("\"'") != node.value:
        raise UnreadableAccounts("a value is not where it was read")
    lines[start.line] = line[: start.column] + value + line[end.column :]
    return "\n".join(lines)


def _narrow(users: str, username: str) -> str:
    """The lines of one account, where they can be told: a parser takes 20 ms for a thousand accounts."""
    if not _AS_WRITTEN.fullmatch(users):
        return users
    keys = (f"{username}:\n", f'"{username}":\n')
    at, key = max((f"\n{users}".rfind(f"\n{key}"), key) for key in keys)  # of two, the last counts
    members = _INDENTED.match(users, at + len(key)) if at >= 0 else None
    entry = key + members[0] if members else ""
    return users if "*" in entry else entry  # an alias of what may stand elsewhere


def _compose(users: str) -> "yaml.Node | None":
    """As nodes, which know their place in the text and how each value was written."""
    import yaml  # only where a password is to be proved: it costs a start

    try:
        return yaml.compose(users, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UnreadableAccounts("the store is no YAML") from None


def _read_mapping(node: "yaml.Node | None", what: str) -> "dict[str, yaml.Node]":
    """Its values by the text of their keys. Nothing at all is an empty mapping."""
    from yaml.nodes import MappingNode

    if node is None:
        return {}
    if not isinstance(node, MappingNode):
        raise UnreadableAccounts(f"{what} is no mapping")
    return {key.value: value for key, value in node.value if isinstance(key.value, str)}
