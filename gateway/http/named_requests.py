"""Requests about what the path names: their other members are in the query."""

from starlette.requests import Request

from contracts.kinds import KINDS
from contracts.requests import InvalidRequest, validate_request
from contracts.requests import Request as JobRequest
from gateway.http.bodies import read_body
from gateway.http.parameters import SUBMITTING, Wait, read_boolean, read_parameters, read_wait
from gateway.http.problems import Problem, invalid_request

_NAMES = ("username", "namespace")


async def read_named_request(request: Request, kind: str) -> tuple[JobRequest, Wait]:
    """The validated request, and how long its caller waits for the end. Raises Problem."""
    if await read_body(request):
        raise Problem("bad_parameter", "This route takes no body: the path names it all, and the query says the rest.")
    fields = {name: field for name, field in KINDS[kind].request.model_fields.items() if name not in _NAMES}
    parameters = read_parameters(request, (*fields, *SUBMITTING))
    given = {name: text for name, text in parameters.items() if name in fields}
    members = {
        name: read_boolean(name, text) if fields[name].annotation is bool else text for name, text in given.items()
    }
    try:
        named = validate_request(KINDS[kind].request, {**request.path_params, **members})
    except InvalidRequest as error:
        raise invalid_request(error) from None
    return named, read_wait(request, parameters)
