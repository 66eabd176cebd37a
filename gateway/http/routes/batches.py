"""The routes of batches: submit many, follow them, cancel and retry what is left of them."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from contracts.answers import AcceptedBatch, BatchState, ChangedBatch
from contracts.batches import MOST_PLANS
from contracts.documents import resolved_request, summarize
from contracts.records import JobRecord, Status
from contracts.requests import Request as JobRequest
from gateway.http.answers import NOT_STORED, POLL_SECONDS, json_response
from gateway.http.authentication import require
from gateway.http.parameters import (
    SUBMITTING,
    Wait,
    is_dry_run,
    leaving,
    read_idempotency_key,
    read_origin,
    read_parameters,
    read_wait,
    refuse_precondition,
)
from gateway.http.prefix import prefix_of
from gateway.http.routes.bulk_bodies import read_bulk
from gateway.http.routes.interventions import allowing, read_from_start
from gateway.http.routes.plans import Names, answer_plans
from gateway.jetstream import Unanswered
from gateway.jobs.batches import Batch, Batches, Bulk
from gateway.jobs.errors import BatchNotFound
from gateway.jobs.queries import Queries
from gateway.keys import KeyScope


class BatchRoutes:
    def __init__(self, batches: Batches, queries: Queries) -> None:
        self._batches = batches
        self._queries = queries

    async def submit(self, request: Request) -> Response:
        """POST /bootstrap/users/bulk."""
        require(request, KeyScope.BOOTSTRAP)
        parameters = read_parameters(request, SUBMITTING)
        refuse_precondition(request)
        if is_dry_run(request):
            requests = await read_bulk(request, "bootstrap", MOST_PLANS)
            return answer_plans(request, self._queries, "bootstrap", _number(requests))
        wait = read_wait(request, parameters)
        key = read_idempotency_key(request)
        requests = await read_bulk(request, "bootstrap")
        bulk = await self._batches.submit("bootstrap", requests, read_origin(request), key)
        if wait.seconds:
            try:
                return await self._answer_state(request, bulk.batch_id, wait, 202)
            except (Unanswered, BatchNotFound):
                pass  # It is accepted all the same.
        return _answer_accepted(bulk, prefix_of(request.scope), wait)

    async def read(self, request: Request) -> Response:
        """GET /batches/{batch_id}."""
        wait = read_wait(request, read_parameters(request, ("wait",)))
        return await self._answer_state(request, request.path_params["batch_id"], wait, 200)

    async def cancel(self, request: Request) -> Response:
        """POST /batches/{batch_id}/cancel."""
        read_parameters(request)
        batch_id = request.path_params["batch_id"]
        jobs = await self._batches.cancel(batch_id, read_origin(request), allowing(request))
        return _answer_changed(batch_id, jobs, prefix_of(request.scope))

    async def retry(self, request: Request) -> Response:
        """POST /batches/{batch_id}/retry."""
        from_start = read_from_start(read_parameters(request, ("from",)))
        batch_id = request.path_params["batch_id"]
        jobs = await self._batches.retry(batch_id, read_origin(request), allowing(request), from_start=from_start)
        return _answer_changed(batch_id, jobs, prefix_of(request.scope))

    async def _answer_state(self, request: Request, batch_id: str, wait: Wait, status: int) -> Response:
        """The batch, with `status` until all of its jobs have ended."""
        batch = await self._batches.wait(batch_id, wait.seconds, leaving(request))
        prefix = prefix_of(request.scope)
        headers = NOT_STORED | {"Location": f"{prefix}/batches/{batch_id}", **dict(wait.headers)}
        if not batch.is_finished:
            headers["Retry-After"] = POLL_SECONDS
        return json_response(_state_document(batch, prefix), 200 if batch.is_finished else status, headers)


def _number(requests: Sequence[JobRequest]) -> list[tuple[Names, JobRequest]]:
    return [({"index": index}, job_request) for index, job_request in enumerate(requests)]


def _answer_accepted(bulk: Bulk, prefix: str, wait: Wait) -> Response:
    document: AcceptedBatch = {
        "batch_id": bulk.batch_id,
        "jobs": [{"job_id": part.job_id, "status_url": f"{prefix}/jobs/{part.job_id}"} for part in bulk.parts],
    }
    headers = {"Location": f"{prefix}/batches/{bulk.batch_id}", "Retry-After": POLL_SECONDS, **dict(wait.headers)}
    return json_response(document, 202, headers)


def _answer_changed(batch_id: str, jobs: int, prefix: str) -> Response:
    location = f"{prefix}/batches/{batch_id}"
    document: ChangedBatch = {"batch_id": batch_id, "jobs": jobs, "status_url": location}
    return json_response(document, 202, {"Location": location})


def _state_document(batch: Batch, prefix: str) -> BatchState:
    failed = [job for job in batch.jobs if job.status is Status.FAILED]
    counts: Any = batch.counts
    return {"batch_id": batch.batch_id, "counts": counts, "failures": [_describe(job, prefix) for job in failed]}


def _describe(job: JobRecord, prefix: str) -> Any:
    asked = resolved_request(job)
    return {
        "job_id": job.job_id,
        "username": asked.get("username"),
        "namespace": asked.get("namespace"),
        "reason": job.reason,
        "summary": summarize(job),
        "status_url": f"{prefix}/jobs/{job.job_id}",
    }
