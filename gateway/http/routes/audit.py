"""GET /audit: who asked for what, when, and what came of it."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from contracts.names import JOB_KINDS
from gateway.audit.trail import EntryFilters, EntryPage, Trail
from gateway.http.answers import NOT_STORED, encode_line, json_response, prefers
from gateway.http.authentication import require
from gateway.http.bodies import JSON, LINES
from gateway.http.paging import MAX_LIMIT, link_to_next, read_cursor, read_limit, read_period
from gateway.http.parameters import read_parameters, refuse_parameter
from gateway.keys import KeyScope
from gateway.listing.cursors import Cursor, encode_cursor

_PARAMETERS = ("caller", "username", "namespace", "kind", "since", "until", "limit", "cursor")


class AuditRoutes:
    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    async def list_entries(self, request: Request) -> Response:
        """A page; as lines of JSON all of them, or a page where a limit is given."""
        require(request, KeyScope.READ)
        parameters = read_parameters(request, _PARAMETERS)
        filters, limit, cursor = _read_filters(parameters), read_limit(parameters), read_cursor(parameters)
        as_lines = prefers(request.headers.getlist("accept"), LINES, JSON)
        is_export = as_lines and "limit" not in parameters
        page = await self._trail.read_page(filters, MAX_LIMIT if is_export else limit, cursor)
        following = encode_cursor(page.next_cursor) if page.next_cursor else None
        if is_export:
            return StreamingResponse(self._export(filters, page), media_type=LINES, headers=NOT_STORED)
        headers = NOT_STORED | link_to_next(request, parameters, following)
        if as_lines:
            return Response(_lines(page), media_type=LINES, headers=headers)
        return json_response({"entries": page.entries, "next_cursor": following}, 200, headers)

    async def _export(self, filters: EntryFilters, page: EntryPage) -> AsyncIterator[bytes]:
        """What fails in the middle breaks the answer off: nobody takes a part for the whole."""
        yield _lines(page)
        cursor: Cursor | None = page.next_cursor
        while cursor is not None:
            page = await self._trail.read_page(filters, MAX_LIMIT, cursor)
            cursor = page.next_cursor
            yield _lines(page)


def _lines(page: EntryPage) -> bytes:
    return b"".join(map(encode_line, page.entries))


def _read_filters(parameters: dict[str, str]) -> EntryFilters:
    if parameters.get("kind", JOB_KINDS[0]) not in JOB_KINDS:
        raise refuse_parameter("kind", f"must be one of {', '.join(JOB_KINDS)}")
    texts = {name: parameters.get(name) for name in ("caller", "username", "namespace", "kind")}
    if empty := next((name for name, text in texts.items() if text == ""), None):
        raise refuse_parameter(empty, "must not be empty; leave it out for all")
    since, until = read_period(parameters)
    return EntryFilters(**texts, since=since, until=until)
