"""Stored messages, as the server's own API tells of them."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple


class Message(NamedTuple):
    """A stored message. `published_at` is RFC 3339 in UTC, by the server's clock."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    sequence: int
    published_at: str

    @property
    def is_deletion(self) -> bool:
        """Whether it marks the end of a key of a bucket."""
        return "KV-Operation" in self.headers or "Nats-Marker-Reason" in self.headers

    @property
    def expires_at(self) -> float | None:
        """When the server forgets it, in seconds since 1970 by its clock; None where it was given no time to live."""
        ttl = self.headers.get("Nats-TTL")
        if ttl is None:
            return None
        seconds = ttl.removesuffix("s")
        return read_moment(self.published_at) + (int(seconds) if seconds.isdecimal() else 0)


def read_message(stored: dict[str, Any]) -> Message:
    """The message in an answer of STREAM.MSG.GET."""
    return Message(
        stored["subject"],
        base64.b64decode(stored.get("data", "")),
        read_headers(base64.b64decode(stored["hdrs"])) if "hdrs" in stored else {},
        stored["seq"],
        shorten_moment(stored["time"]),
    )


def read_republished(block: bytes, body: bytes) -> Message:
    """The message that a stream has stored, as it tells of it to who listens, and in direct reads.

    `block`: the headers, as they came.
    """
    headers = read_headers(block)
    moment = shorten_moment(headers["Nats-Time-Stamp"])
    return Message(headers["Nats-Subject"], body, headers, int(headers["Nats-Sequence"]), moment)


def shorten_moment(text: str) -> str:
    """A moment of the server's, of which milliseconds are enough."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction[:3]:0<3}Z"


def read_moment(text: str) -> float:
    """Seconds since 1970 of a moment in RFC 3339. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


def read_headers(block: bytes) -> dict[str, str]:
    """Of a name that stands twice the last one, which is the server's: it adds its own at the end."""
    lines = (line.partition(":") for line in block.decode("utf-8", "replace").split("\r\n")[1:])
    return {name.strip(): value.strip() for name, separator, value in lines if separator}
