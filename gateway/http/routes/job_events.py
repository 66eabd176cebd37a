"""A job, live: GET /jobs/{job_id}/events as server-sent events."""

from collections.abc import AsyncIterator, Mapping

import orjson
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response

from contracts.documents import event_document, job_document
from contracts.records import UnreadableRecord
from gateway.http.parameters import Wait, is_crowded, read_parameters
from gateway.http.prefix import prefix_of
from gateway.http.problems import Problem
from gateway.http.routes.jobs import JobRoutes
from gateway.jetstream import Unanswered
from gateway.jobs.job_cache import Snapshot
from gateway.jobs.reading import Reader
from gateway.jobs.waiting import REREAD_SECONDS, Listener, Listeners

HEARTBEAT_SECONDS = 15
# What tells one transition from the next; a renewed lease changes none of them.
_TRANSITION = ("status", "attempt", "step", "outcome", "reason", "retry_at", "summary")


class EventRoutes:
    def __init__(self, jobs: JobRoutes, reader: Reader, listeners: Listeners) -> None:
        self._jobs = jobs
        self._reader = reader
        self._listeners = listeners

    async def follow(self, request: Request) -> Response:
        """One event per transition, its id the record's revision; ends after the last one.

        Between them events named `progress`, which have no id: who comes back gets the newest with the job.
        """
        read_parameters(request)
        if is_crowded(request):
            raise Problem("too_many_connections", headers={"Retry-After": "5"})
        snapshot = await self._jobs.find_job(request, Wait())
        seen = _read_last_event_id(request)
        if snapshot.record.is_finished and seen == snapshot.revision:
            return Response(status_code=204)  # Tells an EventSource that there is no more to come.
        return EventSourceResponse(
            self._tell(snapshot, seen, prefix_of(request.scope)),
            ping=HEARTBEAT_SECONDS,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _tell(self, first: Snapshot, seen: int | None, prefix: str) -> AsyncIterator[ServerSentEvent]:
        """A job that went on while the caller was away is told as it is now: the bucket keeps no older record."""
        told = None
        with self._listeners.listen(first.record.job_id, hears_progress=True) as listener:
            snapshot = await self._look(first)
            while True:
                event: Mapping[str, object] = event_document(snapshot.record, 0)
                transition = [event[name] for name in _TRANSITION]
                if transition != told and not (told is None and seen == snapshot.revision):
                    yield _event(snapshot, prefix)
                told = transition
                if snapshot.record.is_finished or self._listeners.is_stopping:
                    return
                while isinstance(heard := await self._next(listener, snapshot), bytes):
                    yield ServerSentEvent(data=heard.decode(), event="progress")
                snapshot = heard

    async def _next(self, listener: Listener, known: Snapshot) -> Snapshot | bytes:
        """The next change, in order, or what the step is at; what was told twice, or late, is left out."""
        while not self._listeners.is_stopping:
            if progress := listener.take_progress():
                return progress
            snapshot = await listener.hear(REREAD_SECONDS) or await self._look(known)
            if snapshot.revision > known.revision:
                return snapshot
        return known

    async def _look(self, known: Snapshot) -> Snapshot:
        """The job as it is now; what was known, while NATS does not answer."""
        try:
            return await self._reader.read(known.record.job_id) or known
        except (Unanswered, UnreadableRecord):
            return known


def _event(snapshot: Snapshot, prefix: str) -> ServerSentEvent:
    document = {**job_document(snapshot.record, prefix), **event_document(snapshot.record, snapshot.revision)}
    return ServerSentEvent(data=orjson.dumps(document).decode(), id=str(snapshot.revision))


def _read_last_event_id(request: Request) -> int | None:
    """An id that is not ours says nothing."""
    given = request.headers.get("last-event-id", "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 20 else None
