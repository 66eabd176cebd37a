"""The application: its routes and its layers, as lists."""

from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.access import Access
from gateway.authentication import Authentication
from gateway.documentation import make_documentation_routes
from gateway.events import EventRoutes
from gateway.health import Health
from gateway.intervention_routes import InterventionRoutes
from gateway.job_routes import JobRoutes
from gateway.keys import Keys
from gateway.listing_routes import ListingRoutes
from gateway.logs import AccessLog
from gateway.memory import Memory
from gateway.metrics import Metrics
from gateway.polling import Polling
from gateway.problems import Problem, answer_fault, answer_http_exception, answer_problem
from gateway.query_routes import QueryRoutes


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of."""

    jobs: JobRoutes
    listing: ListingRoutes
    interventions: InterventionRoutes
    events: EventRoutes
    queries: QueryRoutes
    health: Health
    metrics: Metrics
    keys: Keys
    memory: Memory
    access_log: AccessLog
    rate_limit: str | None


def make_app(parts: Parts) -> ASGIApp:
    """Raises InvalidSettings for a rate that cannot be read."""
    app: ASGIApp = _make_routes(parts)
    for layer in reversed(_make_layers(parts)):
        app = layer.cls(app, *layer.args, **layer.kwargs)
    return app


def _make_routes(parts: Parts) -> Starlette:
    jobs, interventions, queries, health = parts.jobs, parts.interventions, parts.queries, parts.health
    app = Starlette(
        routes=[
            Route("/jobs/{job_id}", jobs.read_status),
            Route("/jobs/{job_id}/result", jobs.read_result),
            Route("/jobs/{job_id}/events", parts.events.follow),
            Route("/jobs/{job_id}/cancel", interventions.cancel, methods=["POST"]),
            Route("/jobs/{job_id}/retry", interventions.retry, methods=["POST"]),
            Route("/jobs", parts.listing.list_jobs),
            Route("/bootstrap/users", jobs.submit_bootstrap, methods=["POST"]),
            Route("/accounts/list", queries.list_accounts),
            Route("/namespaces/list", queries.list_namespaces),
            Route("/tenants/{username}", queries.read_tenant),
            Route("/healthz", health.answer_alive),
            Route("/readyz", health.answer_ready),
            Route("/metrics", parts.metrics.answer),
            *make_documentation_routes(),
        ],
        exception_handlers={
            Problem: answer_problem,
            HTTPException: answer_http_exception,
            Exception: answer_fault,  # and raised on, to be logged by the outermost layer
        },
    )
    app.router.redirect_slashes = False
    return app


def _make_layers(parts: Parts) -> list[Middleware]:
    """The outermost first. Around the application rather than in it: what is answered here never enters it."""
    return [
        Middleware(Access, observe=parts.metrics.observe_request, log=parts.access_log.write),
        Middleware(Authentication, keys=parts.keys, count_wrong_key=parts.metrics.count_wrong_key),
        *_make_rate_limit(parts.rate_limit),
        Middleware(Polling, memory=parts.memory),
    ]


def _make_rate_limit(text: str | None) -> list[Middleware]:
    """Raises InvalidSettings."""
    if text is None:
        return []
    from gateway.rates import RateLimit, read_rate  # a library that most gateways need not load

    return [Middleware(RateLimit, rate=read_rate(text))]
