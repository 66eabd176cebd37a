"""Problem documents (RFC 9457): the one shape of every error that the gateway answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from contracts.codes import CODES, Failure, Nature
from contracts.records import UnreadableRecord
from contracts.requests import InvalidRequest
from gateway.http.prefix import prefix_of
from gateway.jetstream import NotProvisioned, Unanswered
from gateway.jobs import errors

MEDIA_TYPE = "application/problem+json"
DOCUMENTATION = "/docs/errors"


class Problem(Exception):
    """Raised anywhere in a request to answer it with an error; `members` are added to the document."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.hint = hint
        self.headers = dict(headers or {})
        self.members = members


def problem_document(problem: Problem, prefix: str = "") -> dict[str, Any]:
    """`error` repeats the title, for clients that look for that member; links begin with the prefix."""
    code = CODES[problem.code]
    return {
        "type": f"{prefix}{DOCUMENTATION}#{code.name}",
        "title": code.title,
        "status": code.status,
        "code": code.name,
        "error": code.title,
        "detail": problem.detail or f"{code.title}.",
        "hint": problem.hint or code.hint,
        "retryable": code.retryable,
        **problem.members,
    }


def problem_response(problem: Problem, prefix: str = "") -> Response:
    document = problem_document(problem, prefix)
    return Response(orjson.dumps(document), document["status"], headers=problem.headers, media_type=MEDIA_TYPE)


def invalid_request(error: InvalidRequest) -> Problem:
    """Names each field and its rule, never a value."""
    fields = [{"field": problem.field, "message": problem.message} for problem in error.problems]
    names = ", ".join(dict.fromkeys(problem.field or "the body" for problem in error.problems))
    return Problem("validation_failed", f"Not valid: {names}.", fields=fields)


_ABOUT_A_JOB = frozenset({"record_unreadable"})
_POLLED = frozenset({"outcome_unknown", "job_not_finished"})
# What a handler lacks to run a command at all, and what it cannot pass on: also where everestctl is who says so.
_OF_ITSELF = frozenset(
    {
        "everestctl_missing",
        "kubectl_missing",
        "kubeconfig_missing",
        "kubeconfig_unreadable",
        "kubeconfig_invalid",
        "result_too_large",
    }
)
_TAIL_CHARS = 2000
_OUTAGE_RETRY_SECONDS = "5"


def failed_query(failure: Failure, stderr: str = "", *, by_everestctl: bool = False) -> Problem:
    """What a query's failed record is over HTTP: what everestctl refused is a 502 with the end of its stderr.

    What a handler lacks, or an outage that another command met, is told by its own code. Either way the cause decides
    whether to try again.
    """
    cause = CODES.get(failure.code)
    is_outage = cause is not None and cause.nature is Nature.INFRASTRUCTURE
    if failure.code in _OF_ITSELF or (is_outage and not by_everestctl):
        headers = {"Retry-After": _OUTAGE_RETRY_SECONDS} if is_outage else {}
        return Problem(failure.code, failure.message, hint=failure.hint, headers=headers)
    detail = stderr.strip()[-_TAIL_CHARS:] or failure.message
    hint, retryable = failure.hint, failure.retryable
    return Problem("everestctl_failed", detail, hint=hint, reason=failure.code, retryable=retryable)


@dataclass(frozen=True, slots=True)
class Meaning:
    """The code that an error of the engine has over HTTP, and after how many seconds another try makes sense."""

    code: str
    retry_after: int | None = None


# Every meaning of the engine, once. A subclass comes before what it is derived from only for the reader: the nearest
# class decides.
MEANINGS: dict[type[Exception], Meaning] = {
    NotProvisioned: Meaning("not_provisioned", 5),
    Unanswered: Meaning("queue_unavailable", 5),
    UnreadableRecord: Meaning("record_unreadable"),
    errors.NotAccepted: Meaning("queue_unavailable", 5),
    errors.OutcomeUnknown: Meaning("outcome_unknown", 5),
    errors.QueueFull: Meaning("queue_full", 5),
    errors.RequestTooLarge: Meaning("body_too_large"),
    errors.JobIdTaken: Meaning("idempotency_conflict"),
    errors.JobNotFound: Meaning("job_not_found"),
    errors.JobNotFinished: Meaning("job_not_finished", 2),
    errors.JobFinished: Meaning("job_finished"),
    errors.JobBusy: Meaning("queue_unavailable", 5),
    errors.TenantNotFound: Meaning("tenant_not_found"),
    errors.BatchNotFound: Meaning("batch_not_found"),
    errors.TooManyQuestions: Meaning("rate_limited", 1),
    errors.NoHandler: Meaning("no_handler", 5),
}


def problem_of(error: Exception) -> Problem:
    """What an error of the engine is over HTTP. Raises StopIteration for one that has no meaning there."""
    if isinstance(error, errors.QueryFailed):
        return failed_query(error.failure, error.stderr, by_everestctl=error.by_everestctl)
    meaning = next(MEANINGS[kind] for kind in type(error).__mro__ if kind in MEANINGS)
    headers = {"Retry-After": str(meaning.retry_after)} if meaning.retry_after else {}
    if not isinstance(error, errors.JobError):
        return Problem(meaning.code, headers=headers)
    members: dict[str, Any] = {}
    if error.job_id is not None:
        members["job_id"] = error.job_id
    if error.status is not None:
        members["job_status"] = error.status.value
    return Problem(meaning.code, error.detail, headers=headers, **members)


def describe(error: Exception) -> bytes:
    """The problem document of an error of the engine, for who does not ask over HTTP."""
    return orjson.dumps(problem_document(problem_of(error)))


async def answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error, prefix_of(request.scope))


async def answer_meaning(request: Request, error: Exception) -> Response:
    """An error of the engine; which job it is about, and where to ask for it, is added from the request."""
    problem, prefix = problem_of(error), prefix_of(request.scope)
    job_id = problem.members.get("job_id") or request.path_params.get("job_id")
    if job_id and problem.code in _ABOUT_A_JOB:
        problem.members |= {"job_id": job_id}
    if problem.code in _POLLED:
        problem.members |= {"status_url": f"{prefix}/jobs/{job_id}"}
    return problem_response(problem, prefix)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """What Starlette's router refuses: an unknown route or method."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "internal_error")
    headers = {"Allow": ", ".join(_find_methods(request))} if error.status_code == 405 else error.headers
    return problem_response(Problem(code, headers=headers), prefix_of(request.scope))


def _find_methods(request: Request) -> list[str]:
    """Of all routes of the path: the router names those of the first alone."""
    routes = (route for route in request.app.routes if isinstance(route, Route))
    here = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in here for method in route.methods or ()})


async def answer_fault(request: Request, error: Exception) -> Response:
    """An error of ours, of which a caller learns no more than that."""
    return problem_response(Problem("internal_error"), prefix_of(request.scope))
