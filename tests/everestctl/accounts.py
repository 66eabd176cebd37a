"""`everestctl accounts …`: every account is a block of one Secret, written without a retry."""

from __future__ import annotations

import binascii
import os
import sys

from tests.everestctl.accounts_file import Account, read_users, render_users
from tests.everestctl.characters import ALPHANUMERIC
from tests.everestctl.errors import ApiError, Failed
from tests.everestctl.output import now, print_table
from tests.everestctl.version import SYSTEM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.everestctl.accounts_file import Users
    from tests.everestctl.arguments import Flags
    from tests.everestctl.context import Context
    from tests.everestctl.kube.api import Api, Object

_SECRET = f"/api/v1/namespaces/{SYSTEM}/secrets/everest-accounts"
_USERNAME = ALPHANUMERIC | {"_"}
_PASSWORD = ALPHANUMERIC | frozenset("@*#$%^&+=!_-")
_NO_TERMINAL = "could not open a new TTY: open /dev/tty: no such device or address"


def create(context: Context, flags: Flags) -> None:
    name, password = _read_credentials(flags, "password")
    api = context.open_api()
    context.console.log(f"Creating user '{name}'", "cli/accounts.go:97", "accounts")
    try:
        _, users = _read_users(api)
    except (ApiError, Failed) as error:
        raise Failed(f"{error}\nfailed to check if account already exists") from None
    if name in users:
        raise Failed("user already exists")
    made = Account(True, ("login",), now(), _hash_password(api, password))
    context.pause_race()
    secret, users = _read_users(api)
    _write_users(context, api, secret, {**users, name: made})
    context.console.say(f"✅ User '{name}' has been created successfully\n\n")
    context.console.log(f"User '{name}' has been created succesfully", "cli/accounts.go:102", "accounts")


def show(context: Context, flags: Flags) -> None:
    _, users = _read_users(context.open_api())
    columns = [column for column in (flags["columns"] or "user,capabilities,enabled").split(",") if column]
    rows = []
    for name, user in users.items():
        values = {"user": name} | _describe(user)
        row = [values[column] for column in columns if column in values]
        rows.append(row + [""] * (len(columns) - len(row)))
    order = sorted(range(len(rows)), key=lambda _: os.urandom(4))  # a Go map's order
    print_table([column.upper() for column in columns], [rows[index] for index in order], flags["no-headers"])


def set_password(context: Context, flags: Flags) -> None:
    """Not atomic: what it read of the account first goes into what it reads of all accounts last."""
    name, password = _read_credentials(flags, "new-password")
    api = context.open_api()
    context.console.log(f"Setting a new password for user '{name}'", "cli/accounts.go:147", "accounts")
    _, users = _read_users(api)
    if name not in users:
        raise Failed("account not found")
    changed = _must(users[name]).with_password(_hash_password(api, password), now())
    context.pause_race()
    secret, users = _read_users(api)
    (secret["metadata"].get("annotations") or {}).pop(f"insecure-password/{name}", None)
    _write_users(context, api, secret, {**users, name: changed})
    context.console.say(f"✅ Password for user '{name}' has been set successfully\n\n")
    context.console.log(f"Password for user '{name}' has been set succesfully", "cli/accounts.go:152", "accounts")


def delete(context: Context, flags: Flags) -> None:
    """Not atomic: writes the first map with the second version, so that what comes between them is undone."""
    name = flags["username"] or _ask()
    _check_username(name)
    api = context.open_api()
    context.console.log(f"Deleting user '{name}'", "cli/accounts.go:116", "accounts")
    _, users = _read_users(api)
    if name not in users:
        raise Failed("account not found")
    context.pause_race()
    secret, _ = _read_users(api)
    _write_users(context, api, secret, {other: user for other, user in users.items() if other != name})
    context.console.say(f"✅ User '{name}' has been deleted successfully\n\n")
    context.console.log(f"User '{name}' has been deleted successfully", "cli/accounts.go:121", "accounts")


def show_initial_password(context: Context, _: Flags) -> None:
    secret, users = _read_users(context.open_api())
    if "insecure-password/admin" not in (secret["metadata"].get("annotations") or {}):
        raise Failed("cannot retrieve admin password after it has been updated")
    sys.stdout.write(f"{_must(users['admin']).password_hash!s}\n")


def _describe(user: Account | None) -> dict[str, str]:
    capabilities = f"[{' '.join(_must(user).capabilities)}]"
    return {"capabilities": capabilities, "enabled": str(_must(user).is_enabled).lower()}


def _must(user: Account | None) -> Account:
    """Where the real one takes it for granted that somebody is there."""
    if user is None:
        raise TypeError
    return user


def _read_credentials(flags: Flags, password: str) -> tuple[str, str]:
    name = flags["username"]
    if name:
        _check_username(name)
    if not name or not flags[password]:
        _ask()
    if len(flags[password]) < 6 or not _PASSWORD.issuperset(flags[password]):
        raise Failed(
            "password may contain only letters, numbers and specific special characters (@*#$%^&+=!_-), "
            "and must be at least 6 characters long"
        )
    return name, flags[password]


def _check_username(name: str) -> None:
    if len(name) < 3 or not _USERNAME.issuperset(name):
        raise Failed("username may contain only letters, numbers, underscores, and must be at least 3 characters long")


def _ask() -> str:
    raise Failed(_NO_TERMINAL)


def _read_users(api: Api) -> tuple[Object, Users]:
    secret = api.call("GET", _SECRET)
    return secret, read_users(binascii.a2b_base64((secret.get("data") or {}).get("users.yaml", "")).decode())


def _write_users(context: Context, api: Api, secret: Object, users: Users) -> None:
    context.pause_race("write_race_seconds")
    secret["data"]["users.yaml"] = binascii.b2a_base64(render_users(users).encode(), newline=False).decode()
    api.call("PUT", _SECRET, secret)


def _hash_password(api: Api, password: str) -> bytes:
    import hashlib

    try:
        salt = api.call("GET", f"/api/v1/namespaces/{SYSTEM}")["metadata"]["uid"]
    except ApiError as error:
        raise Failed(f"{error}\nfailed to get salt\nfailed to compute hash") from None
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 4096, 32)
