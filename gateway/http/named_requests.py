"""Requests about what the path names: their other members are in the query."""

from starlette.requests import Request

from contracts.kinds import KINDS
from contracts.requests import InvalidRequest, NotJson, parse_members, validate_request
from contracts.requests import Problem as Violation
from contracts.requests import Request as JobRequest
from gateway.http.bodies import not_json, read_body, read_json
from gateway.http.parameters import SUBMITTING, Wait, read_boolean, read_parameters, read_wait, refuse_precondition
from gateway.http.problems import Problem, invalid_request

_NAMES = ("username", "namespace")
_OF_HEADERS = ("if_generation",)


async def read_named_request(request: Request, kind: str) -> tuple[JobRequest, Wait]:
    """The validated request, and how long its caller waits for the end. Raises Problem."""
    await refuse_details(request)
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


async def refuse_details(request: Request) -> None:
    """A body or a precondition that nobody looks at would let more be done than was meant. Raises Problem."""
    refuse_precondition(request)
    if await read_body(request):
        raise Problem("bad_parameter", "This route takes no body: the path names it all, and the query says the rest.")


async def read_declared_request(request: Request, kind: str, **members: object) -> JobRequest:
    """The request in the body, but for what the path names and `members` say. Raises Problem."""
    told = {**request.path_params, **members}
    try:
        given = parse_members(await read_json(request))
        twice = [Violation(name, "is not in the body") for name in (*told, *_OF_HEADERS) if name in given]
        if twice:
            raise InvalidRequest(twice)
        return validate_request(KINDS[kind].request, {**given, **told})
    except NotJson as error:
        raise not_json(error) from None
    except InvalidRequest as error:
        raise invalid_request(error) from None
