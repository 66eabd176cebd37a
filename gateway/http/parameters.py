"""What routes read beside the body: query parameters, preferences, keys of idempotency, where a request came from."""

import re
from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple

from starlette.requests import Request

from contracts.names import is_job_id
from gateway.http.headers import find_all, find_header
from gateway.http.problems import Problem
from gateway.http.request_log import find_traceparent
from gateway.jobs.errors import JobNotFound
from gateway.jobs.submission import Origin

MAX_WAIT_SECONDS = 60
EARLY_SECONDS = 5.0  # for a look before a submit; where no handler answers so soon the job decides

SUBMITTING = ("wait", "dry_run")  # what every route knows that submits a job

_BOOLEANS = {"true": True, "false": False}
_GENERATION = re.compile(r'"([1-9][0-9]{0,14})"', re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,100}", re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?", re.ASCII)


class Wait(NamedTuple):
    """How long the caller waits for the end. `headers` confirm a preference."""

    seconds: int = 0
    headers: tuple[tuple[str, str], ...] = ()


def read_parameters(request: Request, known: Collection[str] = ()) -> dict[str, str]:
    """A parameter that is not known, or given twice, would silently do something else. Raises Problem."""
    if not request.scope["query_string"]:
        return {}
    parameters: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            accepted = f"known are: {', '.join(known)}" if known else "this route has none"
            raise Problem("bad_parameter", f"A query parameter is not known; {accepted}.")
        if name in parameters:
            raise refuse_parameter(name, "may be given once")
        parameters[name] = value
    return parameters


def refuse_parameter(name: str, rule: str) -> Problem:
    return Problem("bad_parameter", f"{name} {rule}.", parameter=name)


def read_boolean(name: str, text: str) -> bool:
    """Raises Problem."""
    if text not in _BOOLEANS:
        raise refuse_parameter(name, "must be true or false")
    return _BOOLEANS[text]


def is_dry_run(request: Request) -> bool:
    """Whether a plan is asked for, and no job. Raises Problem."""
    if not request.scope["query_string"]:
        return False
    return read_boolean("dry_run", request.query_params.get("dry_run", "false"))


def read_wait(request: Request, parameters: dict[str, str]) -> Wait:
    """The wait that the request asks for, cut to a minute, and in a crowd to nothing. Raises Problem."""
    if is_crowded(request):
        return Wait()
    if "wait" in parameters:
        return Wait(_read_seconds(parameters["wait"]))
    for preference in ",".join(find_all(request.scope, b"prefer")).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            seconds = _read_seconds(value.strip().strip('"'))
            return Wait(seconds, (("Preference-Applied", f"wait={seconds}"),))
    return Wait()


def leaving(request: Request) -> Callable[[], Awaitable[None]]:
    """What returns when the caller's connection has ended. The body has been read by then."""

    async def wait_until_left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return wait_until_left


def is_crowded(request: Request) -> bool:
    """Whether the request came over a connection of the reserve, which nobody may hold for long."""
    return "is_extra" in request.scope["state"]


def _read_seconds(text: str) -> int:
    if not _SECONDS.fullmatch(text):
        raise refuse_parameter("wait", "must be a whole number of seconds, 0 or more")
    return min(int(text), MAX_WAIT_SECONDS)


def read_idempotency_key(request: Request) -> str | None:
    """Raises Problem."""
    keys = find_all(request.scope, b"idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not _IDEMPOTENCY_KEY.fullmatch(keys[0]):
        raise refuse_parameter("Idempotency-Key", "must be one header of 1 to 255 printable ASCII characters")
    return keys[0]


def read_precondition(request: Request) -> int | None:
    """The generation that the caller has seen (If-Match), 0 for none (If-None-Match: *). Raises Problem."""
    matches, others = find_all(request.scope, b"if-match"), find_all(request.scope, b"if-none-match")
    if len(matches) + len(others) > 1:
        raise refuse_parameter("If-Match", "and If-None-Match may be given once, and not both")
    if others and others[0].strip() != "*":
        raise refuse_parameter("If-None-Match", "may only be *")
    if matches and not (found := _GENERATION.fullmatch(matches[0].strip())):
        raise refuse_parameter("If-Match", 'must be the ETag of the namespace, such as "3"')
    return int(found[1]) if matches and found else 0 if others else None


def refuse_precondition(request: Request) -> None:
    """Raises Problem where one is given and this route would not look at it."""
    if any(find_header(request.scope, name) is not None for name in (b"if-match", b"if-none-match")):
        what = "PUT /tenants/{username}/namespaces/{namespace} alone; a bootstrap may say if_generation in its body"
        raise refuse_parameter("If-Match", f"and If-None-Match are for {what}")


def read_job_id(request: Request) -> str:
    """The job in the path. Raises JobNotFound for what is no id."""
    job_id: str = request.path_params["job_id"]
    if not is_job_id(job_id):
        raise JobNotFound
    return job_id


def read_origin(request: Request) -> Origin:
    state = request.scope["state"]
    is_bound = not state["key"].may_manage_all
    return Origin(state["caller"], state["request_id"], find_traceparent(request.scope), is_bound)
