"""Liveness says that the process answers; readiness that it is of use: NATS is there, and stores what it is sent.

A full stream makes no gateway unready: all are alike then, and polling, cancelling and what needs another stream go on.
Who needs the full one is answered by its code; operators are told by a notice, a metric and an alert.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response

from contracts import names
from contracts.notices import is_notice
from contracts.records import Status
from gateway.http.answers import encoded_response, json_response
from gateway.http.parameters import read_parameters
from gateway.jetstream import JetStream, NotProvisioned, Unanswered
from gateway.jobs.storage import Storage
from gateway.keys import Keys
from gateway.listing.jobs import Filters, Listing
from gateway.metrics import CONTENT_TYPE, Metrics

STREAMS = (
    names.JOBS_STREAM,
    names.QUERIES_STREAM,
    names.bucket_stream(names.JOBS_BUCKET),
    names.bucket_stream(names.ANSWERS_BUCKET),
    names.bucket_stream(names.TENANTS_BUCKET),
    names.bucket_stream(names.CANCELS_BUCKET),
    names.AUDIT_STREAM,
    names.EVENTS_STREAM,
)
FORGETTING = (names.AUDIT_STREAM, names.EVENTS_STREAM)  # where it is full, the oldest goes
NEARLY_FULL = 0.95
_KNOWN_SECONDS = 1.0


class _Look(NamedTuple):
    """What keeps the gateway from being of use, and what does not, or not yet."""

    problems: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


class Health:
    """Readiness is looked up at most once a second, however many probes ask.

    `clock` counts seconds; `find_notices` gives what is wrong here and keeps no job from being taken.
    """

    def __init__(
        self,
        jetstream: JetStream,
        storage: Storage,
        listing: Listing,
        keys: Keys,
        metrics: Metrics,
        clock: Callable[[], float],
        find_notices: Callable[[], list[str]] = list,
        nonce: str | None = None,
    ) -> None:
        self._alive = orjson.dumps({"status": "ok"} | ({"nonce": nonce} if nonce else {}))
        self._jetstream = jetstream
        self._storage = storage
        self._listing = listing
        self._keys = keys
        self._metrics = metrics
        self._clock = clock
        self._find_own_notices = find_notices
        self._found = _Look()
        self._looked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def answer_alive(self, request: Request) -> Response:
        """GET /healthz."""
        read_parameters(request)
        return encoded_response(self._alive)

    async def answer_ready(self, request: Request) -> Response:
        """GET /readyz. With `?verbose`, for which there must be a key, also what else an operator should know."""
        is_verbose = "verbose" in read_parameters(request, ("verbose",))
        async with self._lock:
            if self._clock() - self._looked_at > _KNOWN_SECONDS:
                self._found = await self._look()
                self._looked_at = self._clock()
        found = self._found
        document: dict[str, Any] = {"status": "ready"}
        if found.problems:
            document = {"status": "not ready", "problems": list(found.problems)}
        if is_verbose:
            document["notices"] = [*self._find_own_notices(), *found.notices, *await self._read_notices()]
        status, headers = (503, {"Retry-After": "2"}) if found.problems else (200, {})
        return json_response(document, status, headers)

    async def _read_notices(self) -> list[str]:
        """What holds for every job, as the newest that succeeded tells it; none while NATS is away."""
        try:
            page = await self._listing.read_page(Filters(status=Status.SUCCEEDED.value), 1, None)
        except Unanswered:
            return []
        return [warning for record in page.jobs for warning in record.warnings if is_notice(warning)]

    async def answer_metrics(self, request: Request) -> Response:
        """GET /metrics."""
        read_parameters(request)
        return Response(await self._metrics.render(), media_type=CONTENT_TYPE)

    async def _look(self) -> _Look:
        looks = [_Look(tuple(self._keys.find_problems())), *await self._look_at_nats()]
        return _Look(
            tuple(problem for look in looks for problem in look.problems),
            tuple(notice for look in looks for notice in look.notices),
        )

    async def _look_at_nats(self) -> list[_Look]:
        if not self._jetstream.is_connected:
            reason = self._jetstream.history.last_error
            problem = f"NATS is not connected{f': {reason}' if reason else ''}; check NATS_URL and the server"
            return [_Look((problem,))]
        return await asyncio.gather(*map(self._look_at, STREAMS))

    async def _look_at(self, stream: str) -> _Look:
        try:
            state = await self._jetstream.read_stream_state(stream)
        except NotProvisioned:
            return _Look((f"{stream} is missing; run python -m gateway provision",))
        except Unanswered as error:
            return _Look((f"{stream} does not answer: {error}",))
        if stream in self._storage.find_failing():
            return _Look((f"{stream} did not store what it was sent; is NATS' volume full? See nats/README.md",))
        if stream not in FORGETTING and 0 < state.max_bytes <= state.size_bytes / NEARLY_FULL:
            held = f"{state.size_bytes} of {state.max_bytes} bytes"
            return _Look(notices=(f"{stream} is nearly full: {held}. What is met at the limit: nats/README.md.",))
        return _Look()
