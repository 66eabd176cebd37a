"""HTTP as RFC 9110 has it: what is odd and legal works, what cannot be taken is told by its own status."""

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from tests.support.gateways import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

USERS = "/bootstrap/users"
ALICE = b'{"username":"alice"}'
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Case:
    """A request, and what of the answer matters. `told` is in the problem's detail."""

    method: str
    path: str
    status: int
    code: str | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    told: str = ""
    answers: dict[str, str] = field(default_factory=dict)


def submit(status: int, code: str | None = None, body: bytes = ALICE, **more: Any) -> Case:
    return Case("POST", USERS, status, code, body, **{"headers": JSON, **more})


def typed(content_type: str, status: int, told: str = "") -> Case:
    code = "unsupported_media_type" if status == 415 else None
    return submit(status, code, headers={"Content-Type": content_type}, told=told)


def coded(coding: str, status: int) -> Case:
    answers = {"accept-encoding": "identity"} if status == 415 else {}
    code = "unsupported_media_type" if status == 415 else None
    return submit(status, code, headers={**JSON, "Content-Encoding": coding}, answers=answers)


def unknown_parameter(method: str, path: str) -> Case:
    body = ALICE if path == USERS else None
    return Case(method, f"{path}?colour=crimson", 400, "bad_parameter", body, JSON if body else {})


CASES = {
    # Content-Encoding
    "gzip": coded("gzip", 415),
    "several codings": coded("deflate, br", 415),
    "identity": coded("Identity", 202),
    # Content-Type
    "utf8 without a hyphen": typed("application/json; charset=utf8", 202),
    "UTF_8": typed("application/json;charset=UTF_8", 202),
    "in quotes": typed('application/json; charset="Utf-8"', 202),
    "csUTF8": typed("application/json; charset=csUTF8", 202),
    "another parameter": typed('APPLICATION/JSON; profile="a;b"; charset=utf-8', 202),
    "latin-1": typed("application/json; charset=latin-1", 415, told="latin-1"),
    "utf-16": typed("application/json; charset=utf-16", 415, told="utf-16"),
    "a charset that is no name": typed('application/json; charset="<script>"', 415, told="that is named"),
    "form": typed("application/x-www-form-urlencoded", 415),
    "no type": typed("", 415),
    # JSON
    "null is absent": submit(202, body=b'{"username":"alice","namespace":null,"operators":null,"resources":null}'),
    "null inside": submit(202, body=b'{"username":"alice","operators":{"mongodb":null},"resources":{"ram_mb":null}}'),
    "null where one is needed": submit(422, "validation_failed", b'{"username":null}'),
    "a member twice": submit(400, "not_json", b'{"username":"alice","username":"bob"}', told="username"),
    "twice inside": submit(400, "not_json", b'{"username":"alice","resources":{"ram_mb":1,"ram_mb":2}}', told="ram_mb"),
    # Query parameters
    "submit": unknown_parameter("POST", USERS),
    "status": unknown_parameter("GET", "/jobs/x"),
    "result": unknown_parameter("GET", "/jobs/x/result"),
    "events": unknown_parameter("GET", "/jobs/x/events"),
    "list": unknown_parameter("GET", "/jobs"),
    "cancel": unknown_parameter("POST", "/jobs/x/cancel"),
    "retry": unknown_parameter("POST", "/jobs/x/retry"),
    "accounts": unknown_parameter("GET", "/accounts/list"),
    "namespaces": unknown_parameter("GET", "/namespaces/list"),
    "tenant": unknown_parameter("GET", "/tenants/alice"),
    "liveness": unknown_parameter("GET", "/healthz"),
    "readiness": unknown_parameter("GET", "/readyz"),
    "metrics": unknown_parameter("GET", "/metrics"),
    "a known one twice": Case("GET", "/jobs/x?wait=1&wait=2", 400, "bad_parameter", told="wait"),
    # Methods and headers
    "HEAD": Case("HEAD", "/jobs", 200),
    "another method": Case("DELETE", "/jobs", 405, "method_not_allowed", answers={"allow": "GET, HEAD"}),
    "a method of none of the path's routes": Case(
        "POST",
        "/tenants/alice/namespaces/alice",
        405,
        "method_not_allowed",
        answers={"allow": "DELETE, GET, HEAD, PUT"},
    ),
    "a large header": Case("GET", "/jobs", 431, "headers_too_large", headers={"X-Large": "x" * 33_000}),
    "a large query": Case("GET", f"/jobs?username={'x' * 33_000}", 431, "headers_too_large"),
}


@pytest.mark.parametrize("name", CASES)
async def test_an_odd_request(gateway: Gateway, name: str) -> None:
    case = CASES[name]
    answer = await gateway.api.request(case.method, case.path, content=case.body, headers=case.headers)
    assert answer.status_code == case.status, answer.text
    if case.code:
        problem = orjson.loads(answer.content)
        assert (problem["code"], answer.headers["content-type"]) == (case.code, "application/problem+json")
        assert case.told in problem["detail"]
        assert "crimson" not in answer.text
    for header, value in case.answers.items():
        assert sorted(answer.headers[header].split(", ")) == sorted(value.split(", "))
