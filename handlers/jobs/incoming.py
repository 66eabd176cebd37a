"""A delivery as the engine reads it: the job that it is about, what it asks for, and how it would begin."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import orjson

from contracts import names
from contracts.codes import Failure
from contracts.kinds import KINDS, read_request
from contracts.messages import first_record
from contracts.process.logs import bind
from contracts.records import JobRecord
from contracts.requests import InvalidRequest, NotJson, Request, request_hash
from contracts.traces import read_traces
from handlers.clock import utc_now

logger = logging.getLogger(__name__)


class Delivery(Protocol):
    """One delivery of one message. Only whoever has saved what became of the job may answer it."""

    @property
    def subject(self) -> str: ...

    @property
    def body(self) -> bytes: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def sequence(self) -> int: ...

    @property
    def delivered(self) -> int: ...

    @property
    def published_at(self) -> str: ...

    async def acknowledge(self) -> None: ...

    async def extend(self) -> None: ...

    async def hand_back(self, delay_seconds: float = 0) -> None: ...

    async def terminate(self, reason: str) -> None: ...


class Incoming(NamedTuple):
    """A readable message: the record it would start as, and its request."""

    delivery: Delivery
    record: JobRecord
    request: Request

    @property
    def job_id(self) -> str:
        return self.record.job_id

    @property
    def tenant(self) -> str | None:
        """For whom at most one job works at a time; None where that does not matter."""
        return KINDS[self.record.kind].tenant_of(self.request)


class UnusableRequest(Exception):
    """The message is no request that can be worked with; `failure` says why, without any value."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def bind_delivery(delivery: Delivery, job_id: str | None) -> None:
    """What each log line about the delivery bears."""
    request_id, traceparent = read_traces(delivery.headers)
    bind(job_id=job_id, request_id=request_id)
    if traceparent:
        bind(traceparent=traceparent)


def read_incoming(delivery: Delivery, kind: str, job_id: str) -> Incoming:
    """Raises UnusableRequest, whatever it is that cannot be read: the message must end."""
    try:
        request = read_request(kind, delivery.body)
        record = begin(delivery, kind, job_id, request_hash(kind, request), request.given)
    except Exception as error:
        raise UnusableRequest(_explain(error)) from error
    return Incoming(delivery, record, request)


def peek_tenant(delivery: Delivery) -> str | None:
    """For whom a delivery seems to be; whether it is a request at all is not looked at."""
    kind = KINDS.get(names.read_subject(delivery.subject).kind)
    try:
        tenant = orjson.loads(delivery.body)[kind.tenant_key] if kind else None
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return tenant if isinstance(tenant, str) else None


def begin(delivery: Delivery, kind: str, job_id: str, hash_: str, request: dict[str, Any] | None) -> JobRecord:
    """The record of a job that nobody has worked on."""
    return first_record(job_id, kind, delivery.headers, delivery.published_at, utc_now(), hash_, request)


def _explain(error: Exception) -> Failure:
    """The same reasons as REST gives, without any value."""
    if isinstance(error, NotJson):
        return Failure("invalid_request", f"The message is not JSON ({error}).")
    if isinstance(error, InvalidRequest):
        return Failure("invalid_request", str(error))
    if isinstance(error, KeyError):
        return Failure("invalid_request", "No request of this kind is known.")
    logger.error("request.unusable", exc_info=error)
    return Failure("invalid_request", f"The request cannot be worked with ({type(error).__name__}).")
