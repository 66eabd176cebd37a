"""A value that is used but never shown."""

import base64
from collections.abc import Iterable

MASK = "********"


class Secret:
    """Renders as its prefix and a mask, wherever it is put into a text. `reveal()` gives the value.

    The prefix is the part of an argument that may be shown: Secret("…", prefix="-p=") is shown as `-p=********`.
    """

    __slots__ = ("_value", "prefix")

    def __init__(self, value: str, *, prefix: str = "") -> None:
        self._value = value
        self.prefix = prefix

    def reveal(self) -> str:
        return self._value

    @property
    def argument(self) -> str:
        """What the command gets: the prefix and the value."""
        return self.prefix + self._value

    def __str__(self) -> str:
        return self.prefix + MASK

    __repr__ = __str__

    def __format__(self, specification: str) -> str:
        return format(str(self), specification)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._value, self.prefix) == (other._value, other.prefix)

    def __hash__(self) -> int:
        return hash((self._value, self.prefix))


def mask(text: str, secrets: Iterable[Secret]) -> str:
    """The text with each secret's value replaced, as it is and in base64 (as Kubernetes shows what a Secret holds)."""
    return mask_bytes(text.encode("utf-8", "surrogatepass"), secrets).decode("utf-8", "surrogatepass")


def mask_bytes(raw: bytes, secrets: Iterable[Secret]) -> bytes:
    """As `mask`, for output that is not decoded yet."""
    values = {secret.reveal().encode("utf-8", "surrogatepass") for secret in secrets} - {b""}
    renderings = values | {base64.b64encode(value) for value in values}
    for rendering in sorted(renderings, key=len, reverse=True):  # a secret may be part of another
        raw = raw.replace(rendering, MASK.encode())
    return raw
