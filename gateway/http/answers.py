"""What routes answer with: JSON, and the documents of jobs, conditionally."""

import re
from collections.abc import Iterable, Mapping, Sequence

import orjson
from starlette.responses import Response

from gateway.jobs.job_cache import Document, Snapshot

RawHeaders = tuple[tuple[bytes, bytes], ...]  # as they are sent, names in lower case

POLL_SECONDS = "2"
NOT_STORED = {"Cache-Control": "no-store"}
_JSON = "application/json"
# What every answer of a kind says is not made of text again for each.
_RETRY_AFTER = (b"retry-after", POLL_SECONDS.encode())
_CACHE_CONTROL = (b"cache-control", b"private, no-cache")
_CONTENT_TYPE = (b"content-type", _JSON.encode())
_WEIGHT = re.compile(r"(?:^|;)\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)", re.ASCII)


def json_response(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return encoded_response(orjson.dumps(document), status, headers)


def encoded_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The same for a document that is JSON already."""
    return Response(body, status, headers=headers, media_type=_JSON)


def encode_line(document: object) -> bytes:
    """One of several documents in an answer, a line each."""
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


class DocumentResponse(Response):
    """The answer to a GET: 304 to a caller who has the document already. `headers` are added as they are."""

    def __init__(self, document: Document, if_none_match: str | None, headers: RawHeaders) -> None:
        self.background = None
        self.raw_headers = [(b"etag", document.etag.encode()), _CACHE_CONTROL, *headers]
        if if_none_match is not None and _matches(if_none_match, document.etag):
            self.status_code, self.body = 304, b""
            return
        self.status_code, self.body = 200, document.body
        self.raw_headers += ((b"content-length", b"%d" % len(document.body)), _CONTENT_TYPE)


def status_response(
    snapshot: Snapshot, prefix: str, if_none_match: str | None, headers: RawHeaders = ()
) -> DocumentResponse:
    """The answer to GET /jobs/{job_id}."""
    more = headers if snapshot.record.is_finished else (_RETRY_AFTER, *headers)
    return DocumentResponse(snapshot.document(prefix), if_none_match, more)


def encode_headers(headers: Iterable[tuple[str, str]]) -> RawHeaders:
    return tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers)


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
