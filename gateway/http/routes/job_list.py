"""GET /jobs: list and search."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from contracts.documents import job_document
from contracts.names import JOB_KINDS, QUERY_KINDS, is_batch_id
from contracts.records import Status
from gateway.http.answers import NOT_STORED, json_response
from gateway.http.paging import link_to_next, read_cursor, read_limit, read_moment
from gateway.http.parameters import read_parameters, refuse_parameter
from gateway.http.prefix import prefix_of
from gateway.listing.cursors import encode_cursor
from gateway.listing.jobs import Filters, Listing

PARAMETERS = ("status", "username", "namespace", "kind", "caller", "batch", "since", "limit", "cursor")


class ListingRoutes:
    def __init__(self, listing: Listing) -> None:
        self._listing = listing

    async def list_jobs(self, request: Request) -> Response:
        """GET /jobs."""
        parameters = read_parameters(request, PARAMETERS)
        filters = _read_filters(parameters)
        limit, cursor = read_limit(parameters), read_cursor(parameters)
        prefix = prefix_of(request.scope)
        page = await self._listing.read_page(filters, limit, cursor)
        following = encode_cursor(page.next_cursor) if page.next_cursor else None
        jobs = [job_document(record, prefix) for record in page.jobs]
        headers = NOT_STORED | link_to_next(request, parameters, following)
        return json_response({"jobs": jobs, "next_cursor": following}, 200, headers)


def _read_filters(parameters: dict[str, str]) -> Filters:
    if parameters.get("status", "queued") not in list(Status):
        raise refuse_parameter("status", f"must be one of {', '.join(Status)}")
    kinds = (*JOB_KINDS, *QUERY_KINDS)
    if parameters.get("kind", kinds[0]) not in kinds:
        raise refuse_parameter("kind", f"must be one of {', '.join(kinds)}")
    if not is_batch_id(parameters.get("batch", str(UUID(int=0)))):
        raise refuse_parameter("batch", "must be the batch_id of a batch")
    texts = {name: parameters.get(name) for name in ("status", "username", "namespace", "kind", "caller", "batch")}
    return Filters(**texts, since=read_moment(parameters, "since"))
