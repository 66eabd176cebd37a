"""Submitting a job: one publish, whose acknowledgement by the stream is the commit."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import NamedTuple

from contracts import names
from contracts.records import JobRecord, UnreadableRecord
from contracts.reporting.spans import message_span
from contracts.requests import Request, encode_request, raw_hash, request_hash
from gateway.jetstream import JetStream, NotProvisioned, NotSent, Refused, TooLarge, Unanswered
from gateway.jobs.errors import JobError, JobIdTaken, NotAccepted, OutcomeUnknown, QueueFull, RequestTooLarge
from gateway.jobs.reading import Reader
from gateway.jobs.storage import Storage

logger = logging.getLogger(__name__)

SUBMIT_SECONDS = 4.0  # in all, so that a caller always hears something within five
ATTEMPT_SECONDS = 1.8
PAUSE_SECONDS = 0.25


class Origin(NamedTuple):
    """Where a request came from; carried through NATS into the handlers' logs and the record."""

    caller: str
    request_id: str
    traceparent: str | None = None
    is_bound: bool = False  # to its own tenants

    @property
    def headers(self) -> dict[str, str]:
        headers = {names.HEADER_CALLER: self.caller, names.HEADER_REQUEST_ID: self.request_id}
        if self.is_bound:
            headers[names.HEADER_BOUND] = "true"
        if self.traceparent:
            headers[names.HEADER_TRACEPARENT] = self.traceparent
        return headers


class Submission:
    """Publishes jobs. `clock` counts seconds and never goes back."""

    def __init__(self, jetstream: JetStream, reader: Reader, storage: Storage, clock: Callable[[], float]) -> None:
        self._jetstream = jetstream
        self._reader = reader
        self._storage = storage
        self._clock = clock

    async def submit(self, kind: str, request: Request, origin: Origin, idempotency_key: str | None = None) -> str:
        """The id of the job, which is durably queued (or known already, for a key that was used).

        Raises as `publish` does, and JobIdTaken for a key that was used for another request.
        """
        if idempotency_key is None:
            job_id = str(uuid.uuid4())
            await self.publish(kind, job_id, request, origin.headers)
            return job_id
        job_id = names.idempotent_job_id(origin.caller, idempotency_key)
        if not await self._is_known(kind, job_id, request):
            await self.publish(kind, job_id, request, origin.headers)
        return job_id

    async def recall(self, kind: str, request: Request, origin: Origin, idempotency_key: str | None) -> bool:
        """Whether the key has made a job already. Raises JobIdTaken, Unanswered, UnreadableRecord."""
        if idempotency_key is None:
            return False
        return await self._is_known(kind, names.idempotent_job_id(origin.caller, idempotency_key), request)

    async def is_busy(self, tenant: str | None) -> bool:
        """Whether a job works for the tenant: what it leaves is not there yet. Raises Unanswered."""
        last = await self._reader.find_last_job(tenant) if tenant else None
        return last is not None and not last.is_finished

    async def publish_recorded(self, kind: str, job_id: str, request: Request, headers: dict[str, str]) -> None:
        """A job whose record says that it is queued: where it cannot be published now the reconciler does it later."""
        try:
            await self.publish(kind, job_id, request, headers)
        except (JobError, Unanswered, UnreadableRecord) as error:
            extra = {"job_id": job_id, "error": repr(error), "next": "the reconciler publishes it"}
            logger.warning("job.unpublished", extra=extra)

    async def publish(self, kind: str, job_id: str, request: Request, headers: dict[str, str]) -> None:
        """Returns once the stream holds the job. A silence is never taken for a refusal: the same id is sent again.

        Raises QueueFull, RequestTooLarge, JobIdTaken, NotProvisioned, NotAccepted, OutcomeUnknown, UnreadableRecord.
        """
        with message_span("send", kind, job_id, headers.get(names.HEADER_TRACEPARENT)) as current:
            if current.traceparent:
                headers = {**headers, names.HEADER_TRACEPARENT: current.traceparent}
            await self._publish(kind, job_id, request, headers)

    async def _publish(self, kind: str, job_id: str, request: Request, headers: dict[str, str]) -> None:
        subject, body = names.job_subject(kind, job_id), encode_request(request)
        deadline = self._clock() + SUBMIT_SECONDS
        may_be_stored = False
        while (left := deadline - self._clock()) > PAUSE_SECONDS:
            try:
                await self._jetstream.publish(subject, body, headers, timeout=min(left, ATTEMPT_SECONDS))
                self._storage.note_stored(names.stream_of(kind))
                return
            except TooLarge:
                raise RequestTooLarge("The request does not fit a message.") from None
            except Refused as refusal:
                if await self._settle_refusal(kind, job_id, request, refusal):
                    return
                may_be_stored = True
            except NotProvisioned:
                raise
            except NotSent:
                await asyncio.sleep(PAUSE_SECONDS)  # a reconnection takes a moment
            except Unanswered:
                may_be_stored = True
        if may_be_stored:
            self._storage.note_unstored(names.stream_of(kind))
            raise OutcomeUnknown("NATS did not answer in time; the job may have been accepted.", job_id=job_id)
        raise NotAccepted("NATS could not be reached; nothing was accepted.")

    async def _is_known(self, kind: str, job_id: str, request: Request) -> bool:
        snapshot = await self._reader.read(job_id)
        if snapshot is None:
            return False
        refuse_other_request(snapshot.record, kind, request)
        return True

    async def _settle_refusal(self, kind: str, job_id: str, request: Request, refusal: Refused) -> bool:
        """One error code says both "the queue is full" and "this job is queued"; what the stream holds decides.

        True when the job is known, False when it is worth another try.

        Raises QueueFull, JobIdTaken, UnreadableRecord.
        """
        try:
            snapshot = await self._reader.read_through(job_id)
        except Unanswered:
            return False
        if snapshot is not None:
            refuse_other_request(snapshot.record, kind, request)
            return True
        if refusal.is_duplicate:
            return False  # it was taken from the stream since
        self._storage.note_unstored(names.stream_of(kind))
        raise QueueFull


def refuse_other_request(record: JobRecord, kind: str, request: Request) -> None:
    """Raises JobIdTaken when the job id stands for another request.

    A handler that could not read this one, because it is older, left the hash of what was published.
    """
    hashes = (request_hash(kind, request), raw_hash(encode_request(request)))
    if record.kind != kind or record.request_hash not in hashes:
        raise JobIdTaken(job_id=record.job_id)
