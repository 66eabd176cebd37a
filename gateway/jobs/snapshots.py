"""A job as the gateway knows it at one moment: its record, and the documents made of it, encoded once."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import orjson
from starlette.responses import Response

from contracts.documents import job_document, result_document
from contracts.records import JobRecord

POLL_SECONDS = "2"


class Snapshot:
    """`revision` is the record's in the bucket, 0 while the stream alone says that the job is queued."""

    def __init__(self, record: JobRecord, revision: int) -> None:
        self.record = record
        self.revision = revision

    @cached_property
    def document(self) -> "Encoded":
        headers = {} if self.record.is_finished else {"Retry-After": POLL_SECONDS}
        return Encoded(job_document(self.record), headers)

    @cached_property
    def result(self) -> "Encoded":
        return Encoded(result_document(self.record), {})


class Encoded:
    """A document's bytes and their entity tag: equal bytes have equal tags in every gateway."""

    def __init__(self, document: dict[str, Any], headers: Mapping[str, str]) -> None:
        self.body = orjson.dumps(document)
        self.etag = f'"{hashlib.blake2b(self.body, digest_size=12).hexdigest()}"'
        self._headers = {**headers, "ETag": self.etag, "Cache-Control": "private, no-cache"}

    def answer(self, if_none_match: str | None, headers: Mapping[str, str] | None = None) -> Response:
        """The answer to a GET: 304 to a caller who has it already. The same value is sent again and again."""
        if headers:
            return self._make_answer(if_none_match, headers)
        return self._unchanged if _matches(if_none_match, self.etag) else self._whole

    @cached_property
    def _whole(self) -> Response:
        return self._make_answer(None, {})

    @cached_property
    def _unchanged(self) -> Response:
        return self._make_answer("*", {})

    def _make_answer(self, if_none_match: str | None, headers: Mapping[str, str]) -> Response:
        headers = {**self._headers, **headers}
        if _matches(if_none_match, self.etag):
            return Response(status_code=304, headers=headers)
        return Response(self.body, 200, headers=headers, media_type="application/json")


def _matches(given: str | None, etag: str) -> bool:
    """If-None-Match compares weakly (RFC 9110, 13.1.2)."""
    if given is None:
        return False
    return given.strip() == "*" or any(tag.strip().removeprefix("W/") == etag for tag in given.split(","))
