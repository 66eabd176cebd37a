"""The body of a bulk: many requests, as one JSON object or one a line, judged as a whole."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import orjson
from starlette.requests import Request

from contracts.batches import MOST_REQUESTS
from contracts.kinds import KINDS
from contracts.requests import (
    MAX_BODY_BYTES,
    InvalidRequest,
    NotJson,
    parse_json,
    validate_request,
)
from contracts.requests import Problem as FieldProblem
from contracts.requests import Request as JobRequest
from gateway.http.bodies import JSON, LINES, check_content_type, not_json, read_body
from gateway.http.problems import Problem

MAX_BULK_BYTES = 8 * 1024 * 1024
_MOST_PROBLEMS = 100

Fields = list[dict[str, Any]]


async def read_bulk(request: Request, kind: str, most: int = MOST_REQUESTS) -> list[JobRequest]:
    """The validated requests, at least one and at most so many. Raises Problem, with what is wrong by index."""
    read = _read_lines if check_content_type(request, (JSON, LINES)) == LINES else _read_object
    body = await read_body(request, MAX_BULK_BYTES)
    # Megabytes take a while: nobody else's request waits for them.
    return await asyncio.to_thread(_judge, read, body, kind, most)


def _judge(read: Callable[[bytes], list[Any]], body: bytes, kind: str, most: int) -> list[JobRequest]:
    try:
        given = read(body)
    except NotJson as error:
        raise not_json(error) from None
    if not 1 <= len(given) <= most:
        raise _refuse([{"field": "requests", "message": f"must be 1 to {most:,} requests"}])
    requests: list[JobRequest] = []
    fields: Fields = []
    for index, members in enumerate(given):
        try:
            requests.append(_validate(kind, members))
        except InvalidRequest as error:
            fields += ({"field": one.field, "message": one.message, "index": index} for one in error.problems)
    if fields:
        raise _refuse(fields)
    return requests


def _validate(kind: str, members: Any) -> JobRequest:
    """Raises InvalidRequest."""
    request = validate_request(KINDS[kind].request, members)
    if len(orjson.dumps(members)) > MAX_BODY_BYTES:
        raise InvalidRequest([FieldProblem("", f"must have at most {MAX_BODY_BYTES // 1024} KB")])
    return request


def _read_object(body: bytes) -> list[Any]:
    """Raises NotJson, Problem."""
    content = parse_json(body)
    requests = content.get("requests") if isinstance(content, dict) else None
    if not isinstance(requests, list) or content.keys() != {"requests"}:
        raise _refuse([{"field": "requests", "message": "must be a list of requests, and nothing beside it"}])
    return requests


def _read_lines(body: bytes) -> list[Any]:
    """Raises NotJson."""
    return list(_parse_lines(body))


def _parse_lines(body: bytes) -> Iterator[Any]:
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield parse_json(line)
        except NotJson as error:
            raise NotJson(f"of line {number}, {error}") from None


def _refuse(fields: Fields) -> Problem:
    """Names each request by its index, and each field and its rule, never a value."""
    indexes = list(dict.fromkeys(str(field["index"]) for field in fields if "index" in field))
    what = f"requests {', '.join(indexes[:10])}{', …' if len(indexes) > 10 else ''}" if indexes else "the body"
    shown = fields[:_MOST_PROBLEMS]
    more = f" The first {len(shown)} of {len(fields)} problems are listed." if len(fields) > len(shown) else ""
    return Problem("validation_failed", f"Not valid: {what}.{more} Nothing was accepted.", fields=shown)
