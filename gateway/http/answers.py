"""What routes answer with: JSON, and the documents of jobs, conditionally."""

import re
from collections.abc import Mapping, Sequence

import orjson
from starlette.responses import Response

from gateway.jobs.job_cache import Document, Snapshot

POLL_SECONDS = "2"
NOT_STORED = {"Cache-Control": "no-store"}
_JSON = "application/json"
_WEIGHT = re.compile(r"(?:^|;)\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)", re.ASCII)


def json_response(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return encoded_response(orjson.dumps(document), status, headers)


def encoded_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The same for a document that is JSON already."""
    return Response(body, status, headers=headers, media_type=_JSON)


def encode_line(document: object) -> bytes:
    """One of several documents in an answer, a line each."""
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


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
    return encoded_response(document.body, 200, headers)


def prefers(accepts: Sequence[str], media_type: str, usual: str) -> bool:
    """Whether a caller names the type, and wants no less of it than of the usual one (RFC 9110, 12.5.1)."""
    weights = dict(_read_range(part) for part in ",".join(accepts).lower().split(","))
    usual_ranges = (usual, f"{usual.partition('/')[0]}/*", "*/*")
    least = next((weights[one] for one in usual_ranges if one in weights), 0.0)
    return weights.get(media_type, 0.0) > 0 and weights[media_type] >= least


def _read_range(text: str) -> tuple[str, float]:
    """A media range and its weight; 1 where none can be read."""
    media_type, _, parameters = text.partition(";")
    weight = _WEIGHT.search(parameters)
    return media_type.strip(), float(weight[1]) if weight else 1.0


def _matches(given: str, etag: str) -> bool:
    """If-None-Match compares weakly (RFC 9110, 13.1.2)."""
    return given.strip() == "*" or any(tag.strip().removeprefix("W/") == etag for tag in given.split(","))
