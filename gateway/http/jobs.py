"""The routes of jobs: submit, status, result."""

import re

import orjson
from starlette.requests import Request
from starlette.responses import Response

from contracts.names import is_job_id
from contracts.records import UnreadableRecord
from gateway.http.bodies import read_job_request
from gateway.http.problems import Problem
from gateway.http.request_log import read_traceparent
from gateway.jetstream import Unanswered
from gateway.jobs.snapshots import POLL_SECONDS, Snapshot
from gateway.jobs.submission import Origin, Submission, unavailable
from gateway.jobs.waiting import Wait, Waiting, read_wait

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?", re.ASCII)


class JobRoutes:
    def __init__(self, submission: Submission, waiting: Waiting) -> None:
        self._submission = submission
        self._waiting = waiting

    async def submit_bootstrap(self, request: Request) -> Response:
        """POST /bootstrap/users."""
        wait = read_wait(request)
        key = read_idempotency_key(request)
        job_request = await read_job_request(request, "bootstrap")
        job_id = await self._submission.submit("bootstrap", job_request, read_origin(request), key)
        request.state.job_id = job_id
        return await self.answer_accepted(job_id, wait)

    async def answer_accepted(self, job_id: str, wait: Wait) -> Response:
        """202 and where to look; with a wait the job, 200 when it has ended."""
        headers = {"Location": f"/jobs/{job_id}", **dict(wait.headers)}
        if wait.seconds:
            try:
                snapshot = await self._waiting.wait_until_finished(job_id, wait.seconds)
            except (Unanswered, UnreadableRecord):
                snapshot = None  # It is accepted all the same.
            if snapshot is not None:
                if snapshot.record.is_finished:
                    return json_response(snapshot.document.body, 200, headers)
                return json_response(snapshot.document.body, 202, {**headers, "Retry-After": POLL_SECONDS})
        body = orjson.dumps({"job_id": job_id, "status_url": f"/jobs/{job_id}"})
        return json_response(body, 202, {**headers, "Retry-After": POLL_SECONDS})

    async def read_status(self, request: Request) -> Response:
        """GET /jobs/{job_id}."""
        wait = read_wait(request)
        snapshot = await self.find_job(request, wait)
        return snapshot.document.answer(request.headers.get("if-none-match"), dict(wait.headers))

    async def read_result(self, request: Request) -> Response:
        """GET /jobs/{job_id}/result."""
        wait = read_wait(request)
        snapshot = await self.find_job(request, wait)
        if not snapshot.record.is_finished:
            raise Problem(
                "job_not_finished",
                f"The job is {snapshot.record.status.value}.",
                headers={"Retry-After": POLL_SECONDS, **dict(wait.headers)},
                job_id=snapshot.record.job_id,
                job_status=snapshot.record.status.value,
                status_url=f"/jobs/{snapshot.record.job_id}",
            )
        return snapshot.result.answer(request.headers.get("if-none-match"), dict(wait.headers))

    async def find_job(self, request: Request, wait: Wait) -> Snapshot:
        """The job in the path. Raises Problem."""
        job_id = request.path_params["job_id"]
        if not is_job_id(job_id):
            raise job_not_found()
        try:
            snapshot = await self._waiting.wait_until_finished(job_id, wait.seconds)
        except Unanswered:
            raise unavailable() from None
        except UnreadableRecord:
            raise Problem("record_unreadable", job_id=job_id) from None
        if snapshot is None:
            raise job_not_found()
        return snapshot


def job_not_found() -> Problem:
    return Problem("job_not_found")


def read_origin(request: Request) -> Origin:
    return Origin(request.state.caller, request.state.request_id, read_traceparent(request.scope))


def read_idempotency_key(request: Request) -> str | None:
    """Raises Problem."""
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not _IDEMPOTENCY_KEY.fullmatch(keys[0]):
        raise Problem(
            "bad_parameter",
            "Idempotency-Key must be one header of 1 to 255 printable ASCII characters.",
            parameter="Idempotency-Key",
        )
    return keys[0]


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers=headers, media_type="application/json")
