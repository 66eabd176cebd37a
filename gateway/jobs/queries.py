"""Queries: what only reads the cluster for a caller who waits. One of a kind is in flight per gateway."""

import asyncio
import uuid
from functools import partial

from contracts import names
from contracts.codes import Failure
from contracts.records import JobRecord, Status, UnreadableRecord
from contracts.requests import Request
from gateway.jetstream import JetStream, Message
from gateway.jobs.errors import NoHandler, QueryFailed
from gateway.jobs.reading import record_snapshot
from gateway.jobs.submission import Origin, Submission
from gateway.jobs.waiting import Left, Listeners, Waiting

_ANSWER_PREFIX = names.bucket_subject(names.ANSWERS_BUCKET, "")


class Queries:
    """Callers who ask for the same thing at the same time share one query."""

    def __init__(self, submission: Submission, waiting: Waiting, timeout_seconds: float) -> None:
        self._submission = submission
        self._waiting = waiting
        self._timeout_seconds = timeout_seconds
        self._in_flight: dict[tuple[str, str], asyncio.Task[JobRecord]] = {}

    async def ask(self, kind: str, request: Request, origin: Origin, left: Left, about: str | None = "") -> JobRecord:
        """The succeeded record. `about` tells queries of one kind apart; None is shared with nobody.

        Raises QueryFailed, NoHandler, and as `Submission.publish` does.
        """
        key = (kind, str(uuid.uuid4()) if about is None else about)
        task = self._in_flight.get(key)
        if task is None:
            task = asyncio.create_task(self._run(kind, request, origin))
            self._in_flight[key] = task
            task.add_done_callback(partial(self._forget, key))
        leaving = asyncio.ensure_future(left())
        try:
            # One caller who leaves does not end the query of the others.
            await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise NoHandler("The caller left before a handler answered.")
            return task.result()
        finally:
            leaving.cancel()
            await asyncio.wait({leaving})

    def _forget(self, key: tuple[str, str], task: "asyncio.Task[JobRecord]") -> None:
        del self._in_flight[key]
        if not task.cancelled():
            task.exception()  # told to whoever is left; nobody may be

    async def _run(self, kind: str, request: Request, origin: Origin) -> JobRecord:
        job_id = str(uuid.uuid4())
        # The message goes with the wait, so that nobody's query is left behind.
        headers = origin.headers | {"Nats-TTL": f"{max(1, int(self._timeout_seconds))}s"}
        await self._submission.publish(kind, job_id, request, headers)
        snapshot = await self._waiting.wait_until_finished(job_id, self._timeout_seconds)
        if snapshot is None or not snapshot.record.is_finished:
            limit = (
                "before the gateway stopped"
                if self._waiting.is_stopping
                else f"within {self._timeout_seconds:g} seconds"
            )
            raise NoHandler(f"No handler answered {limit}.", job_id=job_id)
        record = snapshot.record
        if record.status is Status.FAILED:
            raise _failed(record)
        return record


def _failed(record: JobRecord) -> QueryFailed:
    failure = record.error or Failure("command_failed", record.summary)
    if not record.steps:
        return QueryFailed(failure, "", by_everestctl=False)
    step = record.steps[-1]
    by_everestctl = bool(step.exit_code) and (step.command or "").startswith("everestctl ")
    return QueryFailed(failure, step.stderr, by_everestctl=by_everestctl)


class Answers:
    """Tells whoever waits for an answer, as soon as a handler has written it.

    At most once: who waits reads the bucket every few seconds as well.
    """

    def __init__(self, jetstream: JetStream, listeners: Listeners) -> None:
        self._jetstream = jetstream
        self._listeners = listeners

    async def follow(self) -> None:
        """Begins to listen; the connection keeps it up from then on."""
        await self._jetstream.follow_answers(self._take)

    def _take(self, message: Message) -> None:
        job_id = message.subject.removeprefix(_ANSWER_PREFIX)
        if message.is_deletion or not self._listeners.is_interested(job_id):
            return
        try:
            self._listeners.tell(job_id, record_snapshot(message))
        except UnreadableRecord:
            self._listeners.tell(job_id, None)
