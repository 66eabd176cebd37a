"""The application: its routes and its layers, as lists."""

import time
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from contracts.reporting import spans
from gateway.audit.refusals import Refusals
from gateway.http.authentication import Authentication
from gateway.http.cached_status import CachedStatus
from gateway.http.prefix import Prefix
from gateway.http.problems import (
    MEANINGS,
    Problem,
    answer_fault,
    answer_http_exception,
    answer_meaning,
    answer_problem,
)
from gateway.http.rate_limit import RateLimit, read_rate
from gateway.http.request_log import Access, Tracing
from gateway.http.routes.audit import AuditRoutes
from gateway.http.routes.batches import BatchRoutes
from gateway.http.routes.docs import make_documentation_routes
from gateway.http.routes.health import Health
from gateway.http.routes.interventions import InterventionRoutes
from gateway.http.routes.job_events import EventRoutes
from gateway.http.routes.job_list import ListingRoutes
from gateway.http.routes.jobs import JobRoutes
from gateway.http.routes.queries import QueryRoutes
from gateway.http.routes.tenants import TenantRoutes
from gateway.jobs.errors import QueryFailed
from gateway.jobs.job_cache import JobCache
from gateway.keys import Keys
from gateway.logs import AccessLog
from gateway.metrics import Metrics
from gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of."""

    jobs: JobRoutes
    listing: ListingRoutes
    interventions: InterventionRoutes
    batches: BatchRoutes
    events: EventRoutes
    queries: QueryRoutes
    tenants: TenantRoutes
    audit: AuditRoutes
    health: Health
    metrics: Metrics
    keys: Keys
    cache: JobCache
    access_log: AccessLog
    settings: GatewaySettings
    refusals: Refusals


def make_app(parts: Parts) -> ASGIApp:
    """Raises InvalidSettings for a rate that cannot be read."""
    app: ASGIApp = _make_router(parts)
    for layer in reversed(_make_layers(parts)):
        app = layer.cls(app, *layer.args, **layer.kwargs)
    return app


def make_routes(parts: Parts) -> list[BaseRoute]:
    jobs, interventions, queries, health = parts.jobs, parts.interventions, parts.queries, parts.health
    tenants = parts.tenants
    return [
        # What is asked most comes first: each is tried in turn.
        Route("/bootstrap/users", jobs.submit_bootstrap, methods=["POST"]),
        Route("/bootstrap/users/bulk", parts.batches.submit, methods=["POST"]),
        Route("/jobs/{job_id}", jobs.read_status),
        Route("/jobs/{job_id}/result", jobs.read_result),
        Route("/jobs/{job_id}/events", parts.events.follow),
        Route("/jobs/{job_id}/cancel", interventions.cancel, methods=["POST"]),
        Route("/jobs/{job_id}/retry", interventions.retry, methods=["POST"]),
        Route("/jobs", parts.listing.list_jobs),
        Route("/batches/{batch_id}", parts.batches.read),
        Route("/batches/{batch_id}/cancel", parts.batches.cancel, methods=["POST"]),
        Route("/batches/{batch_id}/retry", parts.batches.retry, methods=["POST"]),
        Route("/accounts/list", queries.list_accounts),
        Route("/namespaces/list", queries.list_namespaces),
        Route("/tenants", tenants.list_tenants),
        Route("/tenants/repair", tenants.repair_all, methods=["POST"]),
        Route("/tenants/{username}", tenants.read_tenant),
        Route("/tenants/{username}/namespaces/{namespace}", tenants.read_namespace),
        Route("/tenants/{username}/namespaces/{namespace}", tenants.declare_namespace, methods=["PUT"]),
        Route("/tenants/{username}", jobs.submit_named("offboard"), methods=["DELETE"]),
        Route("/tenants/{username}/namespaces/{namespace}", jobs.submit_named("offboard"), methods=["DELETE"]),
        Route("/tenants/{username}/password", jobs.submit_named("password"), methods=["POST"]),
        Route("/tenants/{username}/suspend", jobs.submit_named("suspend"), methods=["POST"]),
        Route("/tenants/{username}/resume", jobs.submit_named("resume"), methods=["POST"]),
        Route("/tenants/{username}/manager", jobs.hand_over, methods=["POST"]),
        Route("/tenants/{username}/namespaces/{namespace}/repair", jobs.submit_named("repair"), methods=["POST"]),
        Route("/audit", parts.audit.list_entries),
        Route("/healthz", health.answer_alive),
        Route("/readyz", health.answer_ready),
        Route("/metrics", health.answer_metrics),
        *make_documentation_routes(),
    ]


def _make_router(parts: Parts) -> Starlette:
    app = Starlette(
        routes=make_routes(parts),
        exception_handlers={
            Problem: answer_problem,
            **dict.fromkeys((*MEANINGS, QueryFailed), answer_meaning),
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
        *([Middleware(Tracing)] if spans.is_on() else []),
        *_make_prefix(parts.settings),
        Middleware(
            Authentication,
            keys=parts.keys,
            count_wrong_key=parts.metrics.count_wrong_key,
            note_refusal=parts.refusals.note,
        ),
        *_make_rate_limit(parts.settings.rate_limit),
        Middleware(CachedStatus, cache=parts.cache),
    ]


def _make_prefix(settings: GatewaySettings) -> list[Middleware]:
    if not settings.root_path and not settings.trusted_proxies:
        return []
    return [Middleware(Prefix, root_path=settings.root_path, proxies=settings.trusted_proxies)]


def _make_rate_limit(text: str | None) -> list[Middleware]:
    """Raises InvalidSettings."""
    if text is None:
        return []
    return [Middleware(RateLimit, rate=read_rate(text), clock=time.monotonic)]
