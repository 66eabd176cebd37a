"""What ties a job to the request that it came from. Whoever sends it, only what is legal reaches a log or a record."""

import re
from collections.abc import Mapping

from contracts import names

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
# W3C Trace Context, version 00: neither id is all zeros.
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


def read_request_id(text: str | None) -> str | None:
    """The text where it is a legal X-Request-Id."""
    return text if text and _REQUEST_ID.fullmatch(text) else None


def read_traceparent(text: str | None) -> str | None:
    """The text where it is a legal trace context."""
    return text if text and _TRACEPARENT.fullmatch(text) else None


def read_traces(headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The request id and the trace context in the headers of a message."""
    return (
        read_request_id(headers.get(names.HEADER_REQUEST_ID)),
        read_traceparent(headers.get(names.HEADER_TRACEPARENT)),
    )
