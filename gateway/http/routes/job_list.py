"""GET /jobs: list and search."""

import re
from datetime import UTC, datetime
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from contracts.documents import job_document
from contracts.names import JOB_KINDS, QUERY_KINDS
from contracts.records import Status
from gateway.http.answers import json_response
from gateway.http.parameters import read_parameters, refuse_parameter
from gateway.http.prefix import prefix_of
from gateway.listing.cursors import Cursor, decode_cursor, encode_cursor
from gateway.listing.jobs import Filters, Listing

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
PARAMETERS = ("status", "username", "namespace", "kind", "caller", "since", "limit", "cursor")


class ListingRoutes:
    def __init__(self, listing: Listing) -> None:
        self._listing = listing

    async def list_jobs(self, request: Request) -> Response:
        """GET /jobs."""
        parameters = read_parameters(request, PARAMETERS)
        filters = _read_filters(parameters)
        limit, cursor = _read_limit(parameters), _read_cursor(parameters)
        prefix = prefix_of(request.scope)
        page = await self._listing.read_page(filters, limit, cursor)
        headers = {"Cache-Control": "no-store"}
        following = encode_cursor(page.next_cursor) if page.next_cursor else None
        if following:
            headers["Link"] = f'<{prefix}/jobs?{urlencode(parameters | {"cursor": following})}>; rel="next"'
        jobs = [job_document(record, prefix) for record in page.jobs]
        return json_response(orjson.dumps({"jobs": jobs, "next_cursor": following}), 200, headers)


def _read_filters(parameters: dict[str, str]) -> Filters:
    if parameters.get("status", "queued") not in list(Status):
        raise refuse_parameter("status", f"must be one of {', '.join(Status)}")
    kinds = (*JOB_KINDS, *QUERY_KINDS)
    if parameters.get("kind", kinds[0]) not in kinds:
        raise refuse_parameter("kind", f"must be one of {', '.join(kinds)}")
    texts = {name: parameters.get(name) for name in ("status", "username", "namespace", "kind", "caller")}
    return Filters(**texts, since=_read_since(parameters.get("since")))


def _read_since(text: str | None) -> str | None:
    """The moment in the form that records have."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise refuse_parameter("since", "must be a moment like 2026-01-31T12:00:00Z (write + as %2B)") from None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read_limit(parameters: dict[str, str]) -> int:
    text = parameters.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch(r"[0-9]{1,4}", text, re.ASCII) or not 1 <= int(text) <= MAX_LIMIT:
        raise refuse_parameter("limit", f"must be a whole number between 1 and {MAX_LIMIT}")
    return int(text)


def _read_cursor(parameters: dict[str, str]) -> Cursor | None:
    if "cursor" not in parameters:
        return None
    try:
        return decode_cursor(parameters["cursor"])
    except ValueError:
        raise refuse_parameter("cursor", "must be the next_cursor of a page") from None
