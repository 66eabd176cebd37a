"""The routes with which a person changes a job: cancel and retry."""

import orjson
from starlette.requests import Request
from starlette.responses import Response

from contracts.names import is_job_id
from gateway.http.jobs import JobRoutes, job_not_found, json_response, read_origin
from gateway.http.problems import Problem
from gateway.jobs.interventions import Interventions
from gateway.jobs.waiting import read_wait


class InterventionRoutes:
    def __init__(self, interventions: Interventions, jobs: JobRoutes) -> None:
        self._interventions = interventions
        self._jobs = jobs

    async def cancel(self, request: Request) -> Response:
        """POST /jobs/{job_id}/cancel."""
        job_id = _read_job_id(request)
        has_ended = await self._interventions.cancel(job_id, request.state.caller)
        document = {
            "job_id": job_id,
            "status": "failed" if has_ended else "running",
            "cancelled": "at once" if has_ended else "at the next safe point",
            "status_url": f"/jobs/{job_id}",
        }
        headers = {"Location": f"/jobs/{job_id}"}
        return json_response(orjson.dumps(document), 202, headers)

    async def retry(self, request: Request) -> Response:
        """POST /jobs/{job_id}/retry."""
        wait = read_wait(request)
        start = request.query_params.get("from")
        if start not in (None, "start"):
            raise Problem("bad_parameter", "from may only be start.", parameter="from")
        job_id = _read_job_id(request)
        await self._interventions.retry(job_id, read_origin(request), from_start=start == "start")
        return await self._jobs.answer_accepted(job_id, wait)


def _read_job_id(request: Request) -> str:
    """Raises Problem."""
    job_id: str = request.path_params["job_id"]
    if not is_job_id(job_id):
        raise job_not_found()
    return job_id
