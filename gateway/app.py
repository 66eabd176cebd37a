"""The application: its routes and its layers, as lists."""

from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from gateway.access import Access, Observe
from gateway.authentication import Authentication
from gateway.health import Health
from gateway.job_routes import JobRoutes
from gateway.keys import Keys
from gateway.problems import Problem, answer_http_exception, answer_problem
from gateway.query_routes import QueryRoutes


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes are made of."""

    jobs: JobRoutes
    queries: QueryRoutes
    health: Health
    keys: Keys
    observe: Observe


def make_app(parts: Parts) -> Starlette:
    jobs, queries, health = parts.jobs, parts.queries, parts.health
    app = Starlette(
        routes=[
            Route("/jobs/{job_id}", jobs.read_status),
            Route("/jobs/{job_id}/result", jobs.read_result),
            Route("/bootstrap/users", jobs.submit_bootstrap, methods=["POST"]),
            Route("/accounts/list", queries.list_accounts),
            Route("/namespaces/list", queries.list_namespaces),
            Route("/tenants/{username}", queries.read_tenant),
            Route("/healthz", health.answer_alive),
            Route("/readyz", health.answer_ready),
        ],
        middleware=[
            Middleware(Access, observe=parts.observe),
            Middleware(Authentication, keys=parts.keys, count_wrong_key=lambda: None),
        ],
        exception_handlers={Problem: answer_problem, HTTPException: answer_http_exception},
    )
    app.router.redirect_slashes = False
    return app
