"""Reading a request out of a body, and saying all that is wrong with it in words that callers know."""

import json
import re
import typing
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from contracts.requests.members import CALLER_PATTERN, NAMESPACE_PATTERN, ROLE_PATTERN, TENANT_PATTERN, USERNAME_WORDING
from contracts.requests.model import AnyRequest, Request

MAX_BODY_BYTES = 64 * 1024

# A field name that is repeated to the caller; anything else could be a value that slipped.
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)
_MOST_UNKNOWN = 10


class Problem(NamedTuple):
    """One field that breaks a rule. The message never repeats the value."""

    field: str
    message: str


class NotJson(ValueError):
    """The body is not JSON."""


class InvalidRequest(ValueError):
    """The body is JSON, and not a valid request."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in self.problems))


def parse_request(model: type[AnyRequest], body: bytes) -> AnyRequest:
    """The request in a body. Raises NotJson, or InvalidRequest with every problem that was found."""
    return validate_request(model, parse_json(body))


def parse_members(body: bytes) -> dict[str, Any]:
    """The members of an object, of which a request is to be made. Raises NotJson, InvalidRequest."""
    members = parse_json(body)
    if not isinstance(members, dict):
        raise InvalidRequest([Problem(field="", message="must be a JSON object")])
    return members


def validate_request(model: type[AnyRequest], members: object) -> AnyRequest:
    """The request that the members make. Raises InvalidRequest with every problem that was found."""
    try:
        return model.model_validate(members)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
    names_namespace = isinstance(members, dict) and members.get("namespace") is not None
    raise InvalidRequest(_explain(model, names_namespace, problems))


def parse_json(body: bytes) -> Any:
    """The value in a body. Raises NotJson.

    A number that no double holds is a field's fault and is named with the field, so it is read, as infinity.
    """
    try:
        value = _DECODER.decode(body.decode())
        orjson.dumps(value)  # what cannot be passed on, such as half a surrogate pair, was no JSON
    except NotJson:
        raise
    except json.JSONDecodeError as error:
        raise NotJson(f"line {error.lineno} column {error.colno}") from None
    except (ValueError, TypeError, RecursionError):  # orjson's own are TypeErrors
        raise NotJson("it is not UTF-8, nested too deep, or holds a value that JSON does not have") from None
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises NotJson where a name stands twice: which of the two was meant?"""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotJson(f"a member stands twice{f': {twice}' if _FIELD_NAME.fullmatch(twice) else ''}")
    return members


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _to_int(digits: str) -> float:
    return int(digits) if len(digits) < 19 else float(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse, parse_int=_to_int)


# The wording that callers know, for the errors that pydantic finds by itself.
_WORDING = {
    "missing": "is required",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "tuple_type": "must be a list",
    "too_long": "must have at most {max_length} members",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    CALLER_PATTERN: "must be 1 to 64 letters, digits, '-' or '_'",
    TENANT_PATTERN: USERNAME_WORDING,
    ROLE_PATTERN: "must be 1 to 63 lowercase letters, digits, '-' or '_', and start with a letter",
    NAMESPACE_PATTERN: "must be at most 53 lowercase letters, digits or '-', start with a letter and end with a letter "
    "or digit",
}
_UNKNOWN = "extra_forbidden"


def _explain(model: type[Request], names_namespace: bool, errors: list[ErrorDetails]) -> Iterator[Problem]:
    unknown = [error for error in errors if error["type"] == _UNKNOWN]
    for error in errors:
        # What defaults to a member that is wrong has no problem of its own.
        if error["type"] == "default_factory_not_called" or error in unknown[_MOST_UNKNOWN:]:
            continue
        *parents, name = [str(part) for part in error["loc"]] or [""]
        message = _word(error)
        if error["type"] == _UNKNOWN:
            message = f"is no field of the request (known: {_known_members(model, parents)})"
            name = name if _FIELD_NAME.fullmatch(name) else ""
        elif name == "namespace" and not names_namespace:
            what = "a namespace" if message.startswith("must") else "that name"
            message = f"give one: it defaults to the username, and {what} {message}"
        yield Problem(".".join((*parents, name)), message)


def _word(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if "error" in context:  # one of our own
        return str(context["error"])
    return _WORDING.get(context.get("pattern", error["type"]), "is not valid").format(**context)


def _known_members(model: type[Request], path: list[str]) -> str:
    for name in path:
        hint = model.model_fields[name].annotation
        parts = (hint, *typing.get_args(hint))
        model = next(part for part in parts if isinstance(part, type) and issubclass(part, Request))
    return ", ".join(sorted(model.model_fields)) or "none"
