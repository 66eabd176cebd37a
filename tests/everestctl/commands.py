"""The table of commands, and what cobra does where there is none."""

from __future__ import annotations

import sys

from tests.everestctl.arguments import Command
from tests.everestctl.errors import Usage
from tests.everestctl.usage import (
    ADD_USAGE,
    CAN_USAGE,
    CREATE_USAGE,
    REMOVE_USAGE,
    SET_PASSWORD_USAGE,
    VERSION_USAGE,
    rbac_help,
    root_usage,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OPERATOR_FLAGS: dict[str, Any] = {
    "operator.mongodb": True,
    "operator.postgresql": True,
    "operator.xtradb-cluster": True,
    "operator.mysql": True,
    "skip-wizard": False,
    "skip-env-detection": False,
    "helm.repository": "",
    "helm.set": "",
    "helm.values": "",
    "chart-dir": "",
    "disable-telemetry": False,
}
_NAME = {"username": ""}
_NAME_SHORT = {"u": "username"}
_NEW_PASSWORD = {**_NAME, "new-password": ""}
_NEW_PASSWORD_SHORT = {**_NAME_SHORT, "p": "new-password"}
_VALUES = {"f": "helm.values"}
_POLICY_FILE = {"policy-file": ""}

COMMANDS: dict[tuple[str, ...], Command] = {
    ("accounts", "create"): Command(
        "accounts.create", 0, {**_NAME, "password": ""}, {**_NAME_SHORT, "p": "password"}, CREATE_USAGE
    ),
    ("accounts", "list"): Command("accounts.show", 0, {"no-headers": False, "columns": ""}),
    ("accounts", "delete"): Command("accounts.delete", 0, _NAME, _NAME_SHORT),
    ("accounts", "set-password"): Command(
        "accounts.set_password",
        0,
        _NEW_PASSWORD,
        _NEW_PASSWORD_SHORT,
        SET_PASSWORD_USAGE,
    ),
    ("accounts", "initial-admin-password"): Command("accounts.show_initial_password"),
    ("namespaces", "add"): Command(
        "namespaces.provisioning.add", 1, {**_OPERATOR_FLAGS, "take-ownership": False}, _VALUES, ADD_USAGE
    ),
    ("namespaces", "update"): Command("namespaces.provisioning.update", 1, _OPERATOR_FLAGS, _VALUES),
    ("namespaces", "remove"): Command(
        "namespaces.removal.remove", 1, {"keep-namespace": False, "force": False}, usage=REMOVE_USAGE
    ),
    ("namespaces", "list"): Command("namespaces.listing.show", 0, {"all": False}, {"a": "all"}),
    ("settings", "rbac", "validate"): Command("rbac.commands.validate", None, _POLICY_FILE),
    ("settings", "rbac", "can"): Command("rbac.commands.can", 4, _POLICY_FILE, usage=CAN_USAGE),
    ("status",): Command("status.show_status"),
    ("version",): Command("version.show_version", 0, {"client-only": False}, usage=VERSION_USAGE),
}


def find_command(words: list[str], arguments: list[str], has_status: bool) -> tuple[tuple[str, ...], Command]:
    """By the words of the command line that are no flags. Raises Usage, or SystemExit where nothing is to be run."""
    for length in (3, 2, 1):
        path = tuple(words[:length])
        if path == ("status",) and not has_status:
            continue
        if len(path) == length and path in COMMANDS:
            return path, COMMANDS[path]
    if words[:2] == ["settings", "rbac"]:
        sys.stdout.write(rbac_help())
        raise SystemExit(0)
    if words[:1] in (["accounts"], ["namespaces"], ["settings"]):
        if len(words) == 2:
            raise SystemExit(0)  # an unknown word below a parent: nothing is said, and nothing is wrong
        raise Usage(f"accepts 1 arg(s), received {len(words) - 1}")
    if words:
        raise _unknown_command(words[0])
    unknown = [
        word for word in arguments if word.partition("=")[0] not in ("-v", "--verbose", "--json", "-h", "--help")
    ]
    if unknown and not unknown[0].startswith(("-k", "--kubeconfig")):
        sys.stderr.write(f"Error: unknown flag: {unknown[0]}\n{root_usage(has_status)}\nunknown flag: {unknown[0]}\n")
        raise SystemExit(1)
    sys.stdout.write(root_usage(has_status))
    raise SystemExit(0)


def _unknown_command(word: str) -> SystemExit:
    near = "\n\nDid you mean this?\n\taccounts\n" if word == "account" else ""
    message = f'unknown command "{word}" for "everestctl"{near}'
    sys.stderr.write(f"Error: {message}\nRun 'everestctl --help' for usage.\n{message}\n")
    return SystemExit(1)
