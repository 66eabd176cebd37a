"""The answer with the plans of many jobs: a line each, as it is made."""

import uuid
from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from contracts.requests import PlanQuery
from contracts.requests import Request as JobRequest
from gateway.http.answers import NOT_STORED, encode_line
from gateway.http.bodies import LINES
from gateway.http.parameters import leaving, read_origin
from gateway.http.prefix import prefix_of
from gateway.http.problems import MEANINGS, problem_document, problem_of
from gateway.http.routes.queries import plan_document
from gateway.jobs.errors import QueryFailed
from gateway.jobs.queries import Queries

_TOLD: tuple[type[Exception], ...] = (*MEANINGS, QueryFailed)

Names = dict[str, Any]  # the members of a line that tell whose plan it is


def answer_plans(
    request: Request, queries: Queries, kind: str, asked: Iterable[tuple[Names, JobRequest]], rest: Names | None = None
) -> Response:
    """In the order of what is asked; what cannot be planned is a line too. `rest`, where there is one, is the last."""
    batch, origin, prefix = str(uuid.uuid4()), read_origin(request), prefix_of(request.scope)

    async def plan(query: PlanQuery) -> dict[str, Any]:
        try:
            return {"plan": plan_document(await queries.ask("plan", query, origin, leaving(request), about=None))}
        except _TOLD as error:
            return {"problem": problem_document(problem_of(error), prefix)}

    async def lines() -> AsyncIterator[bytes]:
        for names, job_request in asked:
            query = PlanQuery(kind=kind, request=job_request.given, batch=batch)
            yield encode_line(names | await plan(query))
        if rest:
            yield encode_line(rest)

    return StreamingResponse(lines(), media_type=LINES, headers=NOT_STORED)
