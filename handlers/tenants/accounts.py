"""Everest's accounts as the cluster stores them: whose password opens one, and one taken away without harm to others.

`everestctl accounts delete` writes back what it read before, and so undoes accounts that others made meanwhile (8 of
37 in a trial). So an account is cut out of the stored text, by compare-and-set.
"""

import base64
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

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
    read_proof,
    set_enabled,
)
from handlers.tools.kubectl import Changed, Kubectl, Object, at_once

_SYSTEM, _NAME, _KEY = "everest-system", "everest-accounts", "users.yaml"
# Of a tenant that is not suspended. Nobody enables here what somebody else has disabled.
DISABLED = "Account {username} is disabled, and not by a suspension of this service: nobody can log in with it."
ENABLE = "Ask who disabled it; it logs in when the Secret everest-accounts has enabled: true for it."
_NOT_THERE = Failure("everest_not_installed", "Everest's accounts or its namespace are not there.")
_MOST_WRITES = 20  # all accounts are in one object; a trial took 2.3 on average beside eight others


class Account(NamedTuple):
    """`proof`: what tells it, with the password that it has, from any other."""

    is_enabled: bool
    proof: str


async def find_account(kubectl: Kubectl, username: str) -> Account | None:
    """None where there is no such account. Raises StepFailed."""
    _, users = await _read(kubectl)
    with _explained(username):
        proof = read_proof(users, username)
        return None if proof is None else Account(read_enabled(users, username) is True, proof)


async def is_opened_by(kubectl: Kubectl, username: str, password: Secret) -> bool:
    """Whether the stored hash is that of the password. Raises StepFailed."""
    _, is_opened = await find_opened_by(kubectl, username, password)
    return is_opened


async def find_proof(kubectl: Kubectl, username: str) -> str | None:
    """What tells the account, with the password that it has, from any other; None without one. Raises StepFailed."""
    _, users = await _read(kubectl)
    with _explained(username):
        return read_proof(users, username)


async def find_opened_by(kubectl: Kubectl, username: str, password: Secret) -> tuple[str | None, bool]:
    """The account's proof, and whether the password opens that very one. Raises StepFailed."""
    _, users, salt = await _read_salted(kubectl)
    with _explained(username):
        return read_proof(users, username), proves(users, salt, username, password.reveal())


async def remove_opened(kubectl: Kubectl, username: str, password: Secret) -> Completed | None:
    """Takes the account away if the password opens it: then it is the one that the password was made for.

    Gives the command that did it; None where the account is not there, or somebody else's. Raises StepFailed.
    """

    async def decide() -> Command | None:
        stored, users, salt = await _read_salted(kubectl)
        with _explained(username):
            if not proves(users, salt, username, password.reveal()):
                return None
            return _to_cut(kubectl, stored, users, username)

    return await _write(kubectl, decide, f"{username} was taken away")


async def remove_account(kubectl: Kubectl, username: str, proof: str | None) -> Completed | None:
    """Gives the command that did it, None where none had to. Raises StepFailed."""
    return await _write(kubectl, partial(to_remove_account, kubectl, username, proof), f"{username} was taken away")


async def to_remove_account(kubectl: Kubectl, username: str, proof: str | None) -> Command | None:
    """None where there is no account, or another than the proof says; without a proof any is meant.

    Raises StepFailed.
    """
    stored, users = await _read(kubectl)
    with _explained(username):
        there = read_proof(users, username)
        return _to_cut(kubectl, stored, users, username) if there and proof in (None, there) else None


async def is_enabled(kubectl: Kubectl, username: str) -> bool | None:
    """None where there is no such account. Raises StepFailed."""
    _, users = await _read(kubectl)
    with _explained(username):
        return read_enabled(users, username)


async def to_set_enabled(kubectl: Kubectl, username: str, *, enabled: bool, proof: str | None = None) -> Command | None:
    """A compare-and-set. None where the account is not there, or as it is to be, or another than the proof says.

    Raises StepFailed.
    """
    stored, users = await _read(kubectl)
    with _explained(username):
        if read_enabled(users, username) in (None, enabled) or proof not in (None, read_proof(users, username)):
            return None
        changed = set_enabled(users, username, utc_now(), enabled=enabled)
    return kubectl.to_replace(_with_users(stored, changed))


async def write_enabled(
    kubectl: Kubectl, username: str, *, enabled: bool, proof: str | None = None
) -> Completed | None:
    """Gives the command that did it, None where none had to. Raises StepFailed."""
    decide = partial(to_set_enabled, kubectl, username, enabled=enabled, proof=proof)
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


def _to_cut(kubectl: Kubectl, stored: Object, users: str, username: str) -> Command:
    """Raises UnreadableAccounts."""
    return kubectl.to_replace(_with_users(stored, cut_account(users, username)))


async def _read_salted(kubectl: Kubectl) -> tuple[Object, str, str]:
    """The Secret, its text, and the salt of its hashes. Raises StepFailed."""
    async with at_once() as looks:
        accounts_look = looks.create_task(_read(kubectl))
        system_look = looks.create_task(kubectl.get("ns", _SYSTEM))
    system = system_look.result()
    if system is None:
        raise StepFailed(_NOT_THERE)
    return *accounts_look.result(), system["metadata"]["uid"]


async def _read(kubectl: Kubectl) -> tuple[Object, str]:
    """The Secret and its text. Raises StepFailed."""
    accounts = await kubectl.get("secret", _NAME, _SYSTEM)
    if accounts is None:
        raise StepFailed(_NOT_THERE)
    users = base64.b64decode((accounts.get("data") or {}).get(_KEY, "")).decode(errors="surrogateescape")
    return accounts, users


@contextmanager
def _explained(username: str) -> Iterator[None]:
    """Raises StepFailed where the store does not look as Everest writes it."""
    try:
        yield
    except UnreadableAccounts as error:
        reason = f"Whose account {username} is cannot be told: {error}."
        raise StepFailed(Failure("command_failed", reason, "Look at the Secret everest-accounts.")) from None
