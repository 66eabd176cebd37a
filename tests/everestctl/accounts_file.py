"""The file that holds every account, read and written as yaml.v2 does a map of Everest's accounts."""

from __future__ import annotations

import binascii

from tests.everestctl import yaml_text
from tests.everestctl.errors import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Users = dict[str, "Account | None"]  # None: a name with nothing behind it, which the real one stumbles over


class Account:
    """What is missing in the file is empty; what is unknown there is lost with the next write."""

    def __init__(
        self,
        is_enabled: bool = False,
        capabilities: tuple[str, ...] = (),
        password_mtime: str = "",
        password_hash: bytes | str = "",
    ) -> None:
        self.is_enabled = is_enabled
        self.capabilities = capabilities
        self.password_mtime = password_mtime
        self.password_hash = password_hash

    def with_password(self, password_hash: bytes, password_mtime: str) -> Account:
        return Account(self.is_enabled, self.capabilities, password_mtime, password_hash)


def read_users(text: str) -> Users:
    """Raises Failed in the parser's words: for no YAML at all, and for values of another type."""
    try:
        value = yaml_text.read_words(text)
    except yaml_text.BadYaml as error:
        raise Failed(str(error)) from None
    if value is None or yaml_text.resolve(value) is None:
        return {}
    decoder = _Decoder(text)
    users = decoder.users(value)
    if decoder.errors:
        raise Failed("yaml: unmarshal errors:\n" + "\n".join(f"  {error}" for error in decoder.errors))
    return users


def render_users(users: Users) -> str:
    return "".join(_render(name, users[name]) for name in sorted(users)) or "{}\n"


class _Decoder:
    """Goes on behind a value of the wrong type, and collects what it says."""

    def __init__(self, text: str) -> None:
        self.errors: list[str] = []
        self._lines = text.split("\n")

    def users(self, value: Any) -> Users:
        if not isinstance(value, dict):
            self._complain(value, "map[string]*accounts.Account")
            return {}
        return {name: self._account(name, account) for name, account in value.items()}

    def _account(self, name: str, value: Any) -> Account | None:
        if value is None or yaml_text.resolve(value) is None:
            return None
        if not isinstance(value, dict):
            self._complain(value, "accounts.Account", name)
            return Account()
        return Account(
            bool(self._read(value, name, "enabled", bool)),
            tuple(map(str, self._read(value, name, "capabilities", list) or ())),
            str(self._read(value, name, "passwordMtime", str) or ""),
            self._read(value, name, "passwordHash", str) or "",
        )

    def _read(self, account: dict[str, Any], name: str, member: str, kind: type) -> Any:
        value = account.get(member)
        if value is None or yaml_text.resolve(value) is None:
            return None
        if kind is str and isinstance(value, str | bytes):
            return str(value) if isinstance(value, yaml_text.Word) else value  # 123 is a text here
        resolved = yaml_text.resolve(value)
        if isinstance(resolved, kind):
            return resolved
        self._complain(value, {bool: "bool", list: "[]accounts.AccountCapability"}.get(kind, "string"), name, member)
        return None

    def _complain(self, value: Any, wanted: str, *path: str) -> None:
        resolved = yaml_text.resolve(value)
        tags = {dict: "!!map", list: "!!seq", bool: "!!bool", int: "!!int", float: "!!float"}
        shown = tags.get(type(resolved), "!!str")
        if not isinstance(resolved, dict | list):
            text = str(value)
            shown += f" `{text[:7]}...`" if len(text) > 10 else f" `{text}`"
        self.errors.append(f"line {self._find_line(path)}: cannot unmarshal {shown} into {wanted}")

    def _find_line(self, path: tuple[str, ...]) -> int:
        at = 0
        for name in path:
            while at < len(self._lines) and not self._lines[at].strip().startswith(f"{name}:"):
                at += 1
        return at + 1


def _render(name: str, account: Account | None) -> str:
    key = yaml_text.write_key(name)
    if account is None:
        return f"{key} null\n"
    capabilities = "".join(f"\n  - {yaml_text.write_scalar(word)}" for word in account.capabilities) or " []"
    break_ = " " if key[0] == "?" else "\n  "
    return (
        f"{key}{break_}enabled: {str(account.is_enabled).lower()}\n"
        f"  capabilities:{capabilities}\n"
        f"  passwordMtime: {_render_text(account.password_mtime)}\n"
        f"  passwordHash: {_render_text(account.password_hash)}\n"
    )


def _render_text(value: bytes | str) -> str:
    """Bytes that are no text as base64."""
    try:
        text = value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError:
        return (
            f"!!binary {binascii.b2a_base64(bytes(value), newline=False).decode()}" if isinstance(value, bytes) else ""
        )
    if "\n" not in text or text.endswith("\n\n"):
        return yaml_text.write_scalar(text)
    ending = "" if text.endswith("\n") else "-"
    return f"|{ending}\n    " + text.removesuffix("\n").replace("\n", "\n    ")
