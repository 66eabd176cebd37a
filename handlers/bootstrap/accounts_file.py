"""Everest's account store: the `users.yaml` in the Secret everest-accounts, and the proof of a password.

Everest writes it with yaml.v2 (pkg/kubernetes/accounts.go): a map of users, the hash as `!!binary` base64, or as plain
text where its 32 bytes happen to be valid UTF-8. Read without a YAML library, which would cost the handler's start.
"""

import base64
import binascii
import hashlib
import hmac
import re

_ROUNDS = 4096
_KEY_BYTES = 32
_ESCAPES = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
    "e": "\x1b",
    "N": "\x85",
}
_ESCAPES |= {"_": "\xa0", "L": "\u2028", "P": "\u2029"}


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
    block = _find_block(users, username)
    if block is None:
        return None
    match = re.search(r"^( +)passwordHash:(.*(?:\n\1 .*)*)$", block, re.MULTILINE)  # and lines that continue it
    if match is None:
        raise UnreadableAccounts("it has no passwordHash")
    return _read_scalar(" ".join(line.strip() for line in match[2].split("\n")).strip())


def _find_block(users: str, username: str) -> str | None:
    name = re.escape(username)
    match = re.search(rf"^(?:{name}|\"{name}\"|'{name}'):[ \t]*\n((?:(?: .*)?\n)*(?: .*)?)", users, re.MULTILINE)
    return match[1] if match else None


def _read_scalar(text: str) -> bytes:
    try:
        if text.startswith("!!binary"):
            value = text.removeprefix("!!binary").strip().strip("\"'").lstrip("|-").replace(" ", "")
            return base64.b64decode(value, validate=True)
        if text.startswith('"'):
            return re.sub(r"\\(x..|u....|U........|.)", _unescape, text[1:-1]).encode()
    except (binascii.Error, ValueError) as error:
        raise UnreadableAccounts(f"its passwordHash is broken: {error}") from None
    if text.startswith("'"):
        return text[1:-1].replace("''", "'").encode()
    if text[:1] in ("|", ">", "&", "*", ""):
        raise UnreadableAccounts("its passwordHash has a form that Everest does not write")
    return text.encode()


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if code[0] in "xuU" and len(code) > 1 else _ESCAPES.get(code, code)
