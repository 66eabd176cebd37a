"""Which callers share a look, and what they are told where nobody answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from starlette.requests import Request

from contracts.records import JobRecord
from contracts.requests import AccountsListQuery, raw_hash
from gateway.http.routes.jobs import JobRoutes
from gateway.http.routes.tenants import TenantRoutes
from gateway.jetstream import JetStream, Message
from gateway.jobs.errors import NoHandler
from gateway.jobs.job_cache import JobCache
from gateway.jobs.queries import Queries
from gateway.jobs.reading import Reader, message_record
from gateway.jobs.storage import Storage
from gateway.jobs.submission import Origin, Submission
from gateway.jobs.waiting import Listeners, Waiting
from gateway.keys import Key, KeyScope

NOW = "2026-01-01T00:00:00.000Z"
ADMIN = Key("admin", b"", scopes=frozenset({KeyScope.ADMIN}))


class Unheard(JetStream):
    """NATS that takes what is published, and no handler."""

    def __init__(self) -> None:
        self.published: list[Message] = []

    async def publish(self, subject: str, body: bytes, headers: dict[str, str], *, timeout: float) -> int:
        self.published.append(Message(subject, body, headers, len(self.published) + 1, NOW))
        return len(self.published)

    async def read_last(self, stream: str, subject: str) -> Message | None:
        return self.published[-1] if self.published else None

    async def read_key(self, bucket: str, key: str) -> Message | None:
        return None


class Bench:
    """The routes over it."""

    def __init__(self) -> None:
        self.jetstream = Unheard()
        self.listeners = Listeners()
        reader = Reader(self.jetstream, JobCache(lambda: 0.0, lambda: None, lambda: False))
        waiting = Waiting(reader, self.listeners, lambda: 0.0)
        submission = Submission(
            self.jetstream, reader, Storage(lambda: 0.0, lambda: 0, lambda stream: None), lambda: 0.0
        )
        self.queries = Queries(submission, waiting, 60)
        self.jobs = JobRoutes(submission, waiting, self.queries)
        self.tenants = TenantRoutes(self.queries, reader, self.jobs, submission)

    @asynccontextmanager
    async def asking(self, *asked: Any) -> AsyncIterator[None]:
        """All of them, one after the other; each is where it waits for a handler before the next one asks."""
        tasks = []
        for one in asked:
            tasks.append(asyncio.ensure_future(one))
            for _ in range(20):
                await asyncio.sleep(0)
        yield
        self.listeners.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def request(query: bytes = b"", body: Any = None, *headers: tuple[bytes, bytes]) -> Request:
    parts = [{"type": "http.request", "body": orjson.dumps(body) if body else b"", "more_body": False}]

    async def receive() -> Any:
        return parts.pop() if parts else await asyncio.Event().wait()

    scope = {
        "type": "http",
        "path": "/",
        "path_params": {"username": "alice", "namespace": "alice"},
        "query_string": query,
        "headers": [(b"content-type", b"application/json"), *headers],
        "state": {"key": ADMIN, "caller": "admin", "request_id": "r"},
    }
    return Request(scope, receive)


async def test_what_a_precondition_is_judged_by_was_asked_for_after_it() -> None:
    """A look that is under way may have begun before the generation that the caller has seen."""
    bench = Bench()
    looks = [bench.tenants.read_tenant(request()) for _ in range(2)]
    declared = request(b"", {"role": "viewer"}, (b"if-match", b'"3"'))
    async with bench.asking(*looks, bench.tenants.declare_namespace(declared)):
        assert [message.subject.split(".")[3] for message in bench.jetstream.published] == ["tenant"] * 2


async def test_a_plan_is_shared_by_equal_requests_alone() -> None:
    """What is left out may be another default of the handler's than the one that hashes are filled with."""
    bench = Bench()
    default = {"resources": {"cpu_cores": 2, "ram_mb": 2048, "disk_gb": 20}}
    asked = [{"username": "alice"}, {"username": "alice"}, {"username": "alice", **default}]
    plans = [bench.jobs.submit_bootstrap(request(b"dry_run=true", body)) for body in asked]
    async with bench.asking(*plans):
        assert [orjson.loads(one.body)["request"] for one in bench.jetstream.published] == [asked[0], asked[2]]


async def test_a_stop_is_not_told_as_the_silence_of_handlers() -> None:
    bench = Bench()
    asked = asyncio.ensure_future(
        bench.queries.ask("accounts-list", AccountsListQuery(), Origin("admin", "r"), asyncio.Event().wait)  # type: ignore[arg-type]
    )
    async with bench.asking(asked):
        assert len(bench.jetstream.published) == 1
        bench.listeners.stop()
        with pytest.raises(NoHandler, match="before the gateway stopped"):
            await asked


@pytest.mark.parametrize("body", [b"\xff", b'{"username": "a"}'])
def test_what_is_queued_and_no_request_has_the_hash_that_its_handler_gives_it(body: bytes) -> None:
    """Cancelled by then, its record would be another job's to the handler, and the message a dead letter."""
    message = Message("everest.v1.jobs.bootstrap.svc.1", body, {}, 1, NOW)
    record: JobRecord = message_record("svc.1", message)
    assert (record.request_hash, record.request) == (raw_hash(body), None)
