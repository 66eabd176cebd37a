"""The routes of jobs: submit, status, result."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response

from contracts.answers import Plan
from contracts.codes import find_code
from contracts.kinds import KINDS
from contracts.records import JobRecord, UnreadableRecord
from contracts.requests import PlanQuery, encode_request, raw_hash
from contracts.requests import Request as JobRequest
from gateway.http.answers import (
    NOT_STORED,
    POLL_SECONDS,
    DocumentResponse,
    encode_headers,
    encoded_response,
    json_response,
    status_response,
)
from gateway.http.authentication import require
from gateway.http.bodies import read_job_request
from gateway.http.headers import find_text
from gateway.http.named_requests import read_declared_request, read_named_request
from gateway.http.parameters import (
    EARLY_SECONDS,
    SUBMITTING,
    Wait,
    is_crowded,
    is_dry_run,
    leaving,
    read_idempotency_key,
    read_job_id,
    read_origin,
    read_parameters,
    read_wait,
    refuse_precondition,
)
from gateway.http.prefix import prefix_of
from gateway.http.problems import Problem
from gateway.http.routes.queries import plan_document
from gateway.jetstream import Unanswered
from gateway.jobs.errors import JobError, JobNotFinished, JobNotFound, QueryFailed
from gateway.jobs.job_cache import Snapshot
from gateway.jobs.queries import Queries
from gateway.jobs.submission import Submission
from gateway.jobs.waiting import Waiting
from gateway.keys import scope_of

_REFUSALS = (403, 404, 409, 412)  # of what was asked, not of how the cluster is


class JobRoutes:
    def __init__(self, submission: Submission, waiting: Waiting, queries: Queries) -> None:
        self._submission = submission
        self._waiting = waiting
        self._queries = queries

    async def submit_bootstrap(self, request: Request) -> Response:
        """POST /bootstrap/users."""
        wait = _begin_submit(request, "bootstrap")
        return await self.submit(request, "bootstrap", await read_job_request(request, "bootstrap"), wait)

    def submit_named(self, kind: str) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a kind whose names are in the path and whose other members are in the query."""

        async def submit(request: Request) -> Response:
            require(request, scope_of(kind))
            job_request, wait = await read_named_request(request, kind)
            await self._refuse_early(request, kind, job_request)
            return await self.submit(request, kind, job_request, wait)

        return submit

    async def hand_over(self, request: Request) -> Response:
        """POST /tenants/{username}/manager."""
        wait = _begin_submit(request, "handover")
        job_request = await read_declared_request(request, "handover")
        await self._refuse_early(request, "handover", job_request)
        return await self.submit(request, "handover", job_request, wait)

    async def submit(self, request: Request, kind: str, job_request: JobRequest, wait: Wait) -> Response:
        """Queues a job of any kind, for a caller whose key is good for it; with `dry_run` answers what it would do."""
        if is_dry_run(request):
            return await self._answer_plan(request, kind, job_request)
        key = read_idempotency_key(request)
        job_id = await self._submission.submit(kind, job_request, read_origin(request), key)
        request.state.job_id = job_id
        return await self.answer_accepted(request, job_id, wait)

    async def _refuse_early(self, request: Request, kind: str, job_request: JobRequest) -> None:
        """What a handler would refuse is refused at once, where one says so in time; else the job's failure tells it.

        A job that is known by its key has been accepted, and one that waits for another meets what that leaves behind.
        Raises Problem, and as `Submission.recall` does.
        """
        key, origin = read_idempotency_key(request), read_origin(request)
        if is_dry_run(request) or is_crowded(request) or await self._submission.recall(kind, job_request, origin, key):
            return
        try:
            if await self._submission.is_busy(KINDS[kind].tenant_of(job_request)):
                return
            async with asyncio.timeout(EARLY_SECONDS):
                # Of its own: a plan that is under way may have looked before what this caller has seen.
                record = await self._foresee(request, kind, job_request, about=None)
        except (JobError, QueryFailed, Unanswered, TimeoutError):
            return
        plan: Plan = record.data
        for failure in (step["error"] for step in plan["steps"]):
            if failure and find_code(failure["code"]).status in _REFUSALS:
                raise Problem(failure["code"], failure["message"], hint=failure["hint"])

    async def _foresee(self, request: Request, kind: str, job_request: JobRequest, about: str | None) -> JobRecord:
        origin, query = read_origin(request), PlanQuery(kind=kind, request=job_request.given)
        return await self._queries.ask("plan", query, origin, leaving(request), about)

    async def _answer_plan(self, request: Request, kind: str, job_request: JobRequest) -> Response:
        # Another caller may be refused; and what is left out may be another default of the handler's.
        about = f"{read_origin(request).caller} {kind} {raw_hash(encode_request(job_request))}"
        record = await self._foresee(request, kind, job_request, about)
        return json_response(plan_document(record), 200, NOT_STORED)

    async def answer_accepted(self, request: Request, job_id: str, wait: Wait) -> Response:
        """202 and where to look; with a wait the job, 200 when it has ended."""
        prefix = prefix_of(request.scope)
        headers = {"Location": f"{prefix}/jobs/{job_id}", **dict(wait.headers)}
        snapshot = None
        if wait.seconds:
            with suppress(Unanswered, UnreadableRecord):  # It is accepted all the same.
                snapshot = await self._waiting.wait_until_finished(job_id, wait.seconds, leaving(request))
        if snapshot and snapshot.record.is_finished:
            return encoded_response(snapshot.document(prefix).body, 200, headers)
        headers["Retry-After"] = POLL_SECONDS
        if snapshot:
            return encoded_response(snapshot.document(prefix).body, 202, headers)
        return json_response({"job_id": job_id, "status_url": f"{prefix}/jobs/{job_id}"}, 202, headers)

    async def read_status(self, request: Request) -> Response:
        """GET /jobs/{job_id}."""
        wait = read_wait(request, read_parameters(request, ("wait",)))
        snapshot = await self.find_job(request, wait)
        known, headers = find_text(request.scope, b"if-none-match"), encode_headers(wait.headers)
        return status_response(snapshot, prefix_of(request.scope), known, headers)

    async def read_result(self, request: Request) -> Response:
        """GET /jobs/{job_id}/result."""
        wait = read_wait(request, read_parameters(request, ("wait",)))
        snapshot = await self.find_job(request, wait)
        record = snapshot.record
        if not record.is_finished:
            raise JobNotFinished(f"The job is {record.status.value}.", job_id=record.job_id, status=record.status)
        known, headers = find_text(request.scope, b"if-none-match"), encode_headers(wait.headers)
        return DocumentResponse(snapshot.result, known, headers)

    async def find_job(self, request: Request, wait: Wait) -> Snapshot:
        """The job in the path. Raises JobNotFound, Unanswered, UnreadableRecord."""
        job_id = read_job_id(request)
        snapshot = await self._waiting.wait_until_finished(job_id, wait.seconds, leaving(request))
        if snapshot is None:
            raise JobNotFound
        return snapshot


def _begin_submit(request: Request, kind: str) -> Wait:
    """What is refused before a body is read. Gives how long the caller waits for the end. Raises Problem."""
    require(request, scope_of(kind))
    wait = read_wait(request, read_parameters(request, SUBMITTING))
    read_idempotency_key(request)
    refuse_precondition(request)
    return wait
