"""What lists have in common: moments, a limit, a cursor, and the link to the next page."""

import re
from datetime import UTC, date, datetime
from urllib.parse import urlencode

from starlette.requests import Request

from gateway.http.parameters import refuse_parameter
from gateway.http.prefix import prefix_of
from gateway.listing.cursors import Cursor, decode_cursor

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


def read_moment(parameters: dict[str, str], name: str, *, is_end: bool = False) -> str | None:
    """The moment in the form that records have; where it is a day alone its first, or as an end its last one.

    Raises Problem.
    """
    text = parameters.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if is_end and _is_day(text):
            moment = moment.replace(hour=23, minute=59, second=59, microsecond=999_999)
    except (ValueError, OverflowError):
        raise refuse_parameter(name, "must be a moment like 2026-01-31T12:00:00Z (write + as %2B)") from None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def read_period(parameters: dict[str, str]) -> tuple[str | None, str | None]:
    """`since` and `until`. One that ends before it begins would hold nothing, and look as if nothing had been done.

    Raises Problem.
    """
    since, until = read_moment(parameters, "since"), read_moment(parameters, "until", is_end=True)
    if since and until and until < since:
        raise refuse_parameter("until", "must not be before since")
    return since, until


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


def link_to_next(request: Request, parameters: dict[str, str], cursor: str | None) -> dict[str, str]:
    """The header for it (RFC 8288), where there is a next page."""
    if cursor is None:
        return {}
    address = f"{prefix_of(request.scope)}{request.scope['path']}?{urlencode(parameters | {'cursor': cursor})}"
    return {"Link": f'<{address}>; rel="next"'}
