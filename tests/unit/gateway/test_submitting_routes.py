"""What every route that submits a job has alike: what it would not look at it refuses."""

from dataclasses import fields
from typing import Any

import pytest
from starlette.requests import Request
from starlette.routing import Route

from gateway.http.app import Parts, make_routes
from gateway.http.problems import Problem
from gateway.http.routes.batches import BatchRoutes
from gateway.http.routes.interventions import InterventionRoutes
from gateway.http.routes.jobs import JobRoutes
from gateway.http.routes.tenants import TenantRoutes
from gateway.keys import Key, KeyScope

NOTHING: Any = None
ADMIN = Key("admin", b"", scopes=frozenset({KeyScope.ADMIN}))
PRECONDITIONS = [(b"if-match", b'"3"'), (b"if-none-match", b"*")]


class Unasked:
    """The parts of an application that submit nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda request: None


def submitting_routes() -> dict[str, Route]:
    """By method and path; the one that honours preconditions, and what changes jobs that are there, left out."""
    parts: dict[str, Any] = dict.fromkeys((field.name for field in fields(Parts)), Unasked())
    jobs = JobRoutes(NOTHING, NOTHING, NOTHING)
    parts |= {
        "jobs": jobs,
        "batches": BatchRoutes(NOTHING, NOTHING),
        "interventions": InterventionRoutes(NOTHING, jobs),
        "tenants": TenantRoutes(NOTHING, NOTHING, jobs, NOTHING),
    }
    routes = (route for route in make_routes(Parts(**parts)) if isinstance(route, Route))
    return {
        f"{method} {route.path}": route
        for route in routes
        for method in route.methods or ()
        if method in ("POST", "DELETE") and not route.path.endswith(("/cancel", "/retry"))
    }


async def refuse(route: Route, *headers: tuple[bytes, bytes]) -> Problem:
    async def receive() -> Any:
        raise AssertionError("it is refused before a body is read")

    scope = {
        "type": "http",
        "path": route.path,
        "path_params": {"username": "alice", "namespace": "alice"},
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), *headers],
        "state": {"key": ADMIN, "caller": "admin", "request_id": "r"},
    }
    with pytest.raises(Problem) as refused:
        await route.endpoint(Request(scope, receive))
    return refused.value


@pytest.mark.parametrize("header", PRECONDITIONS, ids=["If-Match", "If-None-Match"])
@pytest.mark.parametrize("route", submitting_routes().values(), ids=submitting_routes())
async def test_a_precondition_that_nobody_looks_at_is_refused(route: Route, header: tuple[bytes, bytes]) -> None:
    """A job would be accepted that was not to be."""
    assert (await refuse(route, header)).members["parameter"] == "If-Match"


async def test_a_repair_of_all_takes_no_key() -> None:
    """Under a key it would be a repeat; it is another request each time, about those that differ by then."""
    route = submitting_routes()["POST /tenants/repair"]

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "path": route.path,
        "query_string": b"",
        "headers": [(b"idempotency-key", b"order-42")],
        "state": {"key": ADMIN, "caller": "admin", "request_id": "r"},
    }
    with pytest.raises(Problem) as refused:
        await route.endpoint(Request(scope, receive))
    assert refused.value.members["parameter"] == "Idempotency-Key"
