"""What routes answer with: JSON, and the documents of jobs, conditionally."""

from collections.abc import Mapping

from starlette.responses import Response

from gateway.jobs.job_cache import Document, Snapshot

POLL_SECONDS = "2"
_JSON = "application/json"


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, headers=headers, media_type=_JSON)


def status_response(
    snapshot: Snapshot, prefix: str, if_none_match: str | None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer to GET /jobs/{job_id}."""
    more = {} if snapshot.record.is_finished else {"Retry-After": POLL_SECONDS}
    return document_response(snapshot.document(prefix), if_none_match, {**more, **(headers or {})})


def document_response(document: Document, if_none_match: str | None, headers: Mapping[str, str]) -> Response:
    """The answer to a GET: 304 to a caller who has it already."""
    headers = {**headers, "ETag": document.etag, "Cache-Control": "private, no-cache"}
    if if_none_match is not None and _matches(if_none_match, document.etag):
        return Response(status_code=304, headers=headers)
    return Response(document.body, 200, headers=headers, media_type=_JSON)


def _matches(given: str, etag: str) -> bool:
    """If-None-Match compares weakly (RFC 9110, 13.1.2)."""
    return given.strip() == "*" or any(tag.strip().removeprefix("W/") == etag for tag in given.split(","))
