"""Admin keys: who may call, under which name, and for what."""

import hashlib
import hmac
import logging
import re
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

from contracts.names import ADMIN_CALLER, DIRECT_CALLER, is_query
from contracts.process.settings import InvalidSettings
from gateway.operator_files import BROKEN_SECONDS, Breakage, sign_file

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_TAKEN = (ADMIN_CALLER, DIRECT_CALLER)  # callers who are somebody else
_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


class KeyScope(StrEnum):
    """What a key is good for. Each includes reading."""

    READ = "read"
    BOOTSTRAP = "bootstrap"  # onboarding, and what is done to its jobs
    OFFBOARD = "offboard"  # password, suspend, resume, repair and delete
    ADMIN = "admin"  # everything


@dataclass(frozen=True, slots=True)
class Key:
    """A named key. Only its digest is known here; `expires_on` is the last day, in UTC, on which it is accepted.

    `scopes` is None for a key whose line names none: it has what every key had before there were scopes.
    """

    name: str
    digest: bytes
    expires_on: date | None = None
    scopes: frozenset[KeyScope] | None = None

    def may(self, scope: KeyScope) -> bool:
        if scope is KeyScope.READ:
            return True
        if self.scopes is None:
            return scope is KeyScope.BOOTSTRAP
        return scope in self.scopes or KeyScope.ADMIN in self.scopes

    @property
    def may_manage_all(self) -> bool:
        """Whether the tenants of other callers are its own as well."""
        return self.scopes is None or KeyScope.ADMIN in self.scopes


def scope_of(kind: str) -> KeyScope:
    """What a key must be good for to submit, cancel or retry jobs of the kind."""
    if kind == "bootstrap" or is_query(kind):
        return KeyScope.BOOTSTRAP
    return KeyScope.ADMIN if kind == "handover" else KeyScope.OFFBOARD


class Keys:
    """The keys that are accepted now: the plain one and those of the file, which is read again when it changes.

    What was removed is not accepted any more, whatever else is wrong with the file. `clock` counts seconds.
    """

    def __init__(self, plain: str, file: Path | None, today: Callable[[], date], clock: Callable[[], float]) -> None:
        """Raises InvalidSettings for a file that cannot be used."""
        self._plain = Key(ADMIN_CALLER, digest_key(plain), scopes=frozenset({KeyScope.ADMIN}))
        self._file = file
        self._today = today
        self._breakage = Breakage(clock)
        self._signature = sign_file(file)
        self._named, problems = _read_file(file)
        if problems:
            raise InvalidSettings(problems)

    def find(self, given: bytes) -> Key | None:
        """Takes the same time for every wrong key."""
        digest = hashlib.sha256(given).digest()
        found = None
        for key in (self._plain, *self._named):
            if hmac.compare_digest(digest, key.digest) and not self._is_expired(key):
                found = key
        return found

    def recognize(self, given: bytes) -> str | None:
        """Whose key it was, where its last day is over. Only of a key that was not found."""
        digest = hashlib.sha256(given).digest()
        names = (key.name for key in self._named if hmac.compare_digest(digest, key.digest))
        return next(names, None)

    def reload(self) -> None:
        """Reads the file again if it has changed: lines that cannot be used count for nothing, the others do."""
        signature = sign_file(self._file)
        if signature == self._signature:
            return
        self._signature = signature
        self._named, problems = _read_file(self._file)
        self._breakage.note(problems)
        if not problems:
            logger.info("keys.reloaded", extra={"keys": len(self._named)})
            return
        following = f"the other lines count; not ready after {BROKEN_SECONDS} seconds"
        logger.error("keys.broken", extra={"problems": problems, "keys": len(self._named), "next": following})

    @property
    def is_broken(self) -> bool:
        return self._breakage.is_there

    def find_problems(self) -> list[str]:
        """Why the gateway is not ready: what has been wrong with the file for longer than a slip."""
        return self._breakage.find_lasting()

    def _is_expired(self, key: Key) -> bool:
        return key.expires_on is not None and self._today() > key.expires_on


def digest_key(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def today_utc() -> date:
    return datetime.now(UTC).date()


def _read_file(file: Path | None) -> tuple[tuple[Key, ...], list[str]]:
    """The keys of the lines that can be used, and what is wrong with the others."""
    if file is None:
        return (), []
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return (), [f"ADMIN_API_KEYS_FILE cannot be read: {type(error).__name__}"]
    keys: list[Key] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            keys.append(_read_line(text))
        except ValueError as error:
            problems.append(f"ADMIN_API_KEYS_FILE line {number}: {error}")
    return tuple(keys), problems


def _read_line(text: str) -> Key:
    """`name:sha256-hex[:YYYY-MM-DD][:scope,scope]`. Raises ValueError, which never holds the line."""
    name, _, rest = text.partition(":")
    digest, _, rest = rest.partition(":")
    expiry, _, scopes = rest.partition(":")
    if not scopes and not expiry[:1].isdecimal():
        expiry, scopes = "", expiry
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise ValueError(f"the name must be 1 to 64 letters, digits, '-' or '_', and not {' or '.join(_TAKEN)}")
    if not _DIGEST.fullmatch(digest):
        raise ValueError("the second part must be the key's SHA-256 in 64 hex digits")
    return Key(name, bytes.fromhex(digest), _read_expiry(expiry), _read_scopes(scopes))


def _read_expiry(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ValueError("the last day must be a date like 2027-01-31") from None


def _read_scopes(text: str) -> frozenset[KeyScope] | None:
    try:
        return frozenset(KeyScope(part.strip()) for part in text.split(",")) if text else None
    except ValueError:
        raise ValueError(f"scopes are {', '.join(KeyScope)}, separated by commas") from None


def make_key(name: str, scopes: str = "") -> tuple[str, str]:
    """A new key, and its line for the keys file. Raises ValueError for what cannot be used."""
    key = secrets.token_urlsafe(32)
    line = f"{name}:{digest_key(key).hex()}" + (f":{scopes}" if scopes else "")
    _read_line(line)
    return key, line


# As every key of 0.1.0 was, whose lines name no scopes: an upgrade takes no rights away.
_UNBOUND = (
    "warning: without --scopes the key is bound to nothing of its own: by bootstraps it changes all callers' tenants, "
    "and it cancels and retries all callers'. With --scopes bootstrap it has its own tenants and jobs"
)


def print_new_key(name: str, scopes: str = "") -> int:
    """`python -m gateway new-key NAME [--scopes ...]`: prints a key, once. Gives the exit code."""
    try:
        key, line = make_key(name, scopes)
    except ValueError as error:
        print(f"no key was made: {error}", file=sys.stderr)
        return 2
    print(f"Key, shown once: {key}")
    print(f"Line for ADMIN_API_KEYS_FILE (a last day, as YYYY-MM-DD, may be the third part): {line}")
    if not scopes:
        print(_UNBOUND, file=sys.stderr)
    return 0
