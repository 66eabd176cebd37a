"""The parameters that lists have in common: moments, a limit, a cursor."""

import re
from datetime import UTC, datetime

from gateway.http.parameters import refuse_parameter
from gateway.listing.cursors import Cursor, decode_cursor

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


def read_moment(parameters: dict[str, str], name: str) -> str | None:
    """The moment in the form that records have. Raises Problem."""
    text = parameters.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise refuse_parameter(name, "must be a moment like 2026-01-31T12:00:00Z (write + as %2B)") from None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_limit(parameters: dict[str, str]) -> int:
    """Raises Problem."""
    text = parameters.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch(r"[0-9]{1,4}", text, re.ASCII) or not 1 <= int(text) <= MAX_LIMIT:
        raise refuse_parameter("limit", f"must be a whole number between 1 and {MAX_LIMIT}")
    return int(text)


def read_cursor(parameters: dict[str, str]) -> Cursor | None:
    """Raises Problem."""
    if "cursor" not in parameters:
        return None
    try:
        return decode_cursor(parameters["cursor"])
    except ValueError:
        raise refuse_parameter("cursor", "must be the next_cursor of a page") from None
