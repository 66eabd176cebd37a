"""The routes with which a person changes a job: cancel and retry."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from contracts.records import JobRecord
from gateway.http.answers import json_response
from gateway.http.authentication import require, require_own
from gateway.http.parameters import read_job_id, read_origin, read_parameters, read_wait, refuse_parameter
from gateway.http.prefix import prefix_of
from gateway.http.routes.jobs import JobRoutes
from gateway.jobs.interventions import Interventions
from gateway.keys import scope_of


class InterventionRoutes:
    def __init__(self, interventions: Interventions, jobs: JobRoutes) -> None:
        self._interventions = interventions
        self._jobs = jobs

    async def cancel(self, request: Request) -> Response:
        """POST /jobs/{job_id}/cancel."""
        job_id = read_job_id(request)
        read_parameters(request)
        has_ended = await self._interventions.cancel(job_id, read_origin(request), allowing(request))
        job_url = f"{prefix_of(request.scope)}/jobs/{job_id}"
        document = {
            "job_id": job_id,
            "status": "failed" if has_ended else "running",
            "cancelled": "at once" if has_ended else "at the next safe point",
            "status_url": job_url,
        }
        return json_response(document, 202, {"Location": job_url})

    async def retry(self, request: Request) -> Response:
        """POST /jobs/{job_id}/retry."""
        parameters = read_parameters(request, ("wait", "from"))
        wait = read_wait(request, parameters)
        from_start = read_from_start(parameters)
        job_id = read_job_id(request)
        await self._interventions.retry(job_id, read_origin(request), allowing(request), from_start=from_start)
        return await self._jobs.answer_accepted(request, job_id, wait)


def read_from_start(parameters: dict[str, str]) -> bool:
    """Whether every step is to run again. Raises Problem."""
    if parameters.get("from", "start") != "start":
        raise refuse_parameter("from", "may only be start")
    return "from" in parameters


def allowing(request: Request) -> Callable[[JobRecord], None]:
    """Refuses jobs that the caller's key is not good for: by their kind, and by whose they are."""

    def allow(record: JobRecord) -> None:
        require(request, scope_of(record.kind))
        require_own(request, record.caller)

    return allow
