"""The record that a job begins with, as its message tells of it."""

from collections.abc import Mapping
from typing import Any

from contracts import names
from contracts.batches import find_place
from contracts.records import JobRecord
from contracts.traces import read_traces


def first_record(
    job_id: str,
    kind: str,
    headers: Mapping[str, str],
    published_at: str,
    now: str,
    request_hash: str,
    request: dict[str, Any] | None,
) -> JobRecord:
    """Nobody has worked on it. `request`: the members that were given; None where the body is no request."""
    request_id, traceparent = read_traces(headers)
    return JobRecord(
        job_id,
        kind,
        names.caller_of(job_id, headers.get(names.HEADER_CALLER)),
        request_hash,
        published_at,
        now,
        request=request,
        request_id=request_id,
        traceparent=traceparent,
        bound=names.HEADER_BOUND in headers,
        batch=find_place(job_id, headers),
    )
