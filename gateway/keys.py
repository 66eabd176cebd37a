"""Admin keys: who may call, and under which name."""

import hashlib
import hmac
import logging
import re
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from contracts.names import ADMIN_CALLER, DIRECT_CALLER
from contracts.settings import InvalidSettings

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_TAKEN = (ADMIN_CALLER, DIRECT_CALLER)  # callers who are somebody else
_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key:
    """A named key. Only its digest is known here; `expires_on` is the last day, in UTC, on which it is accepted."""

    name: str
    digest: bytes
    expires_on: date | None = None


class Keys:
    """The keys that are accepted now: the plain one and those of the file, which is read again when it changes."""

    def __init__(self, plain: str, file: Path | None, today: Callable[[], date]) -> None:
        """Raises InvalidSettings for a file that cannot be used."""
        self._plain = Key(ADMIN_CALLER, digest_key(plain))
        self._file = file
        self._today = today
        self._signature = _sign(file)
        self._named = _read_file(file)

    def find_caller(self, given: bytes) -> str | None:
        """The name of the key, or None. Takes the same time for every wrong key."""
        digest = hashlib.sha256(given).digest()
        caller = None
        for key in (self._plain, *self._named):
            if hmac.compare_digest(digest, key.digest) and not self._is_expired(key):
                caller = key.name
        return caller

    def reload(self) -> None:
        """Reads the file again if it has changed. One that cannot be used leaves the keys as they are."""
        signature = _sign(self._file)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._named = _read_file(self._file)
        except InvalidSettings as error:
            logger.error("keys.not_reloaded", extra={"error": str(error), "next": "the keys stay as they were"})
        else:
            logger.info("keys.reloaded", extra={"keys": len(self._named)})

    def _is_expired(self, key: Key) -> bool:
        return key.expires_on is not None and self._today() > key.expires_on


def digest_key(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def today_utc() -> date:
    return datetime.now(UTC).date()


def _sign(file: Path | None) -> tuple[int, ...] | None:
    """Changes when the file does, also when a mounted Secret is swapped by its symbolic link."""
    try:
        stat = file.stat() if file else None
    except OSError:
        return None
    return stat and (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _read_file(file: Path | None) -> tuple[Key, ...]:
    if file is None:
        return ()
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings([f"ADMIN_API_KEYS_FILE cannot be read: {type(error).__name__}"]) from None
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
    if problems:
        raise InvalidSettings(problems)
    return tuple(keys)


def _read_line(text: str) -> Key:
    """`name:sha256-hex[:YYYY-MM-DD]`. Raises ValueError, which never holds the line."""
    name, _, rest = text.partition(":")
    digest, _, expiry = rest.partition(":")
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise ValueError(f"the name must be 1 to 64 letters, digits, '-' or '_', and not {' or '.join(_TAKEN)}")
    if not _DIGEST.fullmatch(digest):
        raise ValueError("the second part must be the key's SHA-256 in 64 hex digits")
    try:
        expires_on = date.fromisoformat(expiry) if expiry else None
    except ValueError:
        raise ValueError("the third part must be a date like 2027-01-31") from None
    return Key(name, bytes.fromhex(digest), expires_on)


def make_key(name: str) -> tuple[str, str]:
    """A new key, and its line for the keys file. Raises ValueError for a name that cannot be used."""
    key = secrets.token_urlsafe(32)
    line = f"{name}:{digest_key(key).hex()}"
    _read_line(line)
    return key, line


def print_new_key(name: str) -> int:
    """`python -m gateway new-key NAME`: prints a key, once. Gives the exit code."""
    try:
        key, line = make_key(name)
    except ValueError as error:
        print(f"no key was made: {error}", file=sys.stderr)
        return 2
    print(f"Key, shown once: {key}")
    print(f"Line for ADMIN_API_KEYS_FILE (add :YYYY-MM-DD for a last day): {line}")
    return 0
