"""Everest's accounts as the cluster stores them: whose password opens one, and one taken away without harm to others.

`everestctl accounts delete` writes back what it read before, and so undoes accounts that others made meanwhile (8 of
37 in a trial). So an account is cut out of the stored text, by compare-and-set.
"""

import base64
from collections.abc import Awaitable, Callable
from functools import partial

from contracts.codes import Failure
from handlers.clock import utc_now
from handlers.commands.running import Command, Completed
from handlers.commands.secret import Secret
from handlers.results import StepFailed
from handlers.tenants.accounts_file import (
    UnreadableAccounts,
    cut_account,
    proves,
    read_enabled,
    read_hash,
    set_enabled,
)
from handlers.tools.kubectl import Changed, Kubectl, Object, at_once

_SYSTEM, _NAME, _KEY = "everest-system", "everest-accounts", "users.yaml"
_MOST_WRITES = 20  # all accounts are in one object; a trial took 2.3 on average beside eight others


async def is_opened_by(kubectl: Kubectl, username: str, password: Secret) -> bool:
    """Whether the stored hash is that of the password. Raises StepFailed."""
    _, users, salt = await _read(kubectl)
    try:
        return proves(users, salt, username, password.reveal())
    except UnreadableAccounts as error:
        raise _unreadable(username, error) from None


async def has_account(kubectl: Kubectl, username: str) -> bool:
    """Raises StepFailed."""
    _, users, _ = await _read(kubectl)
    try:
        return read_hash(users, username) is not None
    except UnreadableAccounts as error:
        raise _unreadable(username, error) from None


async def remove_account(kubectl: Kubectl, username: str, password: Secret | None) -> Completed | None:
    """Takes the account away if the password opens it: then it is the one that the password was made for.

    Without a password it is taken away whose ever it is. Gives the command that did it; None where the account is not
    there, or somebody else's. Raises StepFailed.
    """
    return await _write(kubectl, partial(to_remove_account, kubectl, username, password), f"{username} was taken away")


async def to_remove_account(kubectl: Kubectl, username: str, password: Secret | None) -> Command | None:
    """None where the account is not there, or the password does not open it. Raises StepFailed."""
    stored, users, salt = await _read(kubectl)
    try:
        is_its = proves(users, salt, username, password.reveal()) if password else read_hash(users, username)
        left = cut_account(users, username) if is_its else ""
    except UnreadableAccounts as error:
        raise _unreadable(username, error) from None
    if not is_its:
        return None
    return kubectl.to_replace(_with_users(stored, left))


async def is_enabled(kubectl: Kubectl, username: str) -> bool | None:
    """None where there is no such account. Raises StepFailed."""
    _, users, _ = await _read(kubectl)
    try:
        return read_enabled(users, username)
    except UnreadableAccounts as error:
        raise _unreadable(username, error) from None


async def to_set_enabled(kubectl: Kubectl, username: str, *, enabled: bool) -> Command | None:
    """A compare-and-set. None where the account is not there, or as it is to be. Raises StepFailed."""
    stored, users, _ = await _read(kubectl)
    try:
        if read_enabled(users, username) in (None, enabled):
            return None
        changed = set_enabled(users, username, utc_now(), enabled=enabled)
    except UnreadableAccounts as error:
        raise _unreadable(username, error) from None
    return kubectl.to_replace(_with_users(stored, changed))


async def write_enabled(kubectl: Kubectl, username: str, *, enabled: bool) -> Completed | None:
    """Gives the command that did it, None where none had to. Raises StepFailed."""
    decide = partial(to_set_enabled, kubectl, username, enabled=enabled)
    return await _write(kubectl, decide, f"{username} was changed")


async def _write(kubectl: Kubectl, decide: Callable[[], Awaitable[Command | None]], what: str) -> Completed | None:
    """All accounts are in one object: who was overtaken looks and decides again. Raises StepFailed."""
    for _ in range(_MOST_WRITES):
        command = await decide()
        if command is None:
            return None
        try:
            return await kubectl.write(command)
        except Changed:
            continue
    raise StepFailed(Failure("conflict", f"Others changed {_NAME} each time that account {what}."))


def _with_users(stored: Object, users: str) -> Object:
    encoded = base64.b64encode(users.encode(errors="surrogateescape")).decode()
    return stored | {"data": stored["data"] | {_KEY: encoded}}


async def _read(kubectl: Kubectl) -> tuple[Object, str, str]:
    """The Secret, its text, and the salt of its hashes."""
    async with at_once() as looks:
        accounts_look = looks.create_task(kubectl.get("secret", _NAME, _SYSTEM))
        system_look = looks.create_task(kubectl.get("ns", _SYSTEM))
    accounts, system = accounts_look.result(), system_look.result()
    if accounts is None or system is None:
        raise StepFailed(Failure("everest_not_installed", "Everest's accounts or its namespace are not there."))
    users = base64.b64decode((accounts.get("data") or {}).get(_KEY, "")).decode(errors="surrogateescape")
    return accounts, users, system["metadata"]["uid"]


def _unreadable(username: str, error: UnreadableAccounts) -> StepFailed:
    reason = f"Whose account {username} is cannot be told: {error}."
    return StepFailed(Failure("command_failed", reason, "Look at the Secret everest-accounts."))
