"""A job as the gateway knows it at one moment: its record, and the documents made of it, encoded once."""

import hashlib
from functools import cached_property
from typing import Any

import orjson

from contracts.documents import job_document, result_document
from contracts.records import JobRecord


class Snapshot:
    """`revision` is the record's in the bucket, 0 while the stream alone says that the job is queued."""

    def __init__(self, record: JobRecord, revision: int) -> None:
        self.record = record
        self.revision = revision

    @cached_property
    def document(self) -> "Encoded":
        return Encoded(job_document(self.record))

    @cached_property
    def result(self) -> "Encoded":
        return Encoded(result_document(self.record))


class Encoded:
    """A document's bytes and their entity tag: equal bytes have equal tags in every gateway."""

    __slots__ = ("body", "etag")

    def __init__(self, document: dict[str, Any]) -> None:
        self.body = orjson.dumps(document)
        self.etag = f'"{hashlib.blake2b(self.body, digest_size=12).hexdigest()}"'
