"""What the gateway counts, for Prometheus. Nothing here grows with the number of jobs that are stored.

The ends of jobs are counted from their records, as the watch sees them, so that handlers which run until idle need
no port of their own. Every gateway sees every end: dashboards take the maximum over gateways, not the sum.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from contracts import names
from contracts.codes import CODES, Nature
from contracts.records import JobRecord, Status, UnreadableRecord, decode_record
from gateway.jetstream import JetStream, Message, NotProvisioned, Unanswered
from gateway.jobs.reconciler import FINDINGS
from gateway.jobs.waiting import Listeners

logger = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_PREFIX = "everest_bootstrap"
_STREAMS = (
    names.JOBS_STREAM,
    names.QUERIES_STREAM,
    names.bucket_stream(names.JOBS_BUCKET),
    names.bucket_stream(names.ANSWERS_BUCKET),
    names.bucket_stream(names.TENANTS_BUCKET),
    names.bucket_stream(names.CANCELS_BUCKET),
    names.AUDIT_STREAM,
    names.EVENTS_STREAM,
    names.WAITING_STREAM,
    names.DEAD_STREAM,
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})


WEBHOOK_OUTCOMES = ("delivered", "failed", "given_up")


class Consumed(Protocol):
    """A webhook, as far as it is measured."""

    @property
    def name(self) -> str: ...

    @property
    def consumer(self) -> str: ...


class Metrics:
    def __init__(self, jetstream: JetStream, listeners: Listeners) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library does not annotate it
        self._jetstream = jetstream
        self.registry = registry = CollectorRegistry()
        self._requests: dict[tuple[str, str, int], Histogram] = {}
        self._request_seconds = Histogram(
            f"{_PREFIX}_http_request_duration_seconds",
            "Time to answer, by route",
            ["method", "route", "status"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 60),
            registry=registry,
        )
        self._step_seconds = Histogram(
            f"{_PREFIX}_step_duration_seconds",
            "Duration of the steps of ended jobs, by outcome or failure code",
            ["step", "outcome"],
            buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 900, 1800),
            registry=registry,
        )
        self._make_counters()
        self._list_webhooks: Callable[[], list[Consumed]] = list
        self._make_gauges(listeners)

    def _make_counters(self) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

        self._wrong_keys = counter("wrong_keys", "Requests with a key that is not valid")
        self._ended = counter("jobs_ended", "Jobs seen to end", "kind", "status", "code")
        self._retries = counter("retries", "Repeated attempts of ended jobs")
        self._losses = counter("losses", "Handlers lost by ended jobs")
        self._findings = counter("reconciler_findings", "What the reconciler found", "finding")
        self._unstored = counter("unstored", "What streams did not say that they hold", "stream")
        self._closed = counter("http_connections_closed", "Connections that the gateway closed", "reason")
        self._webhook_tries = counter("webhook_tries", "Attempts to bring an event", "webhook", "outcome")
        # From 0 on: of a series that begins at 1 Prometheus sees no increase.
        for kind in names.JOB_KINDS:
            self._ended.labels(kind, Status.SUCCEEDED.value, "")
            for code in CODES.values():
                if code.nature is not Nature.HTTP:
                    self._ended.labels(kind, Status.FAILED.value, code.name)
        for finding in FINDINGS:
            self._findings.labels(finding)
        for stream in _STREAMS:
            self._unstored.labels(stream)

    def _make_gauges(self, listeners: Listeners) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

        self._jobs = gauge(
            "jobs",
            "Unfinished jobs by their consumer: queued for a handler, given to one; and all that wait for their tenant",
            "kind",
            "status",
        )
        self._oldest = gauge("oldest_queued_seconds", "Age of the oldest job that no handler was given")
        self._messages = gauge("stream_messages", "Messages held; for the bucket, records", "stream")
        self._bytes = gauge("stream_bytes", "Bytes held", "stream")
        self._max_bytes = gauge("stream_max_bytes", "Bytes that may be held, -1 without a limit", "stream")
        self._dead = gauge("dead_letters", "Dead letters held")
        self._webhook_pending = gauge("webhook_pending", "Events that a webhook has not been brought", "webhook")
        self._audit_lag = gauge("audit_lag", "Changes of records that the audit does not hold yet")
        gauge("nats_connected", "Whether NATS is connected").set_function(lambda: self._jetstream.is_connected)
        gauge("nats_reconnections", "Reconnections since the start").set_function(
            lambda: self._jetstream.history.reconnections
        )
        self._keys_broken = gauge("keys_file_broken", "Whether the keys file is missing or has lines that are no keys")
        self._webhooks_broken = gauge("webhooks_file_broken", "Whether rows of the webhooks' file count for nothing")
        self._connections = gauge("http_connections", "Open connections of callers")
        self._most_connections = gauge("http_connections_limit", "Connections beyond which only the reserve is left")
        gauge("waiters", "Callers who wait for a job").set_function(listeners.count)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method if method in _METHODS else "other", route, status)
        histogram = self._requests.get(key)
        if histogram is None:
            histogram = self._requests[key] = self._request_seconds.labels(*key)
        histogram.observe(seconds)

    def count_wrong_key(self) -> None:
        self._wrong_keys.inc()

    def count_unstored(self, stream: str) -> None:
        self._unstored.labels(stream).inc()

    def count_webhook(self, name: str, outcome: str) -> None:
        self._webhook_tries.labels(name, outcome).inc()

    def watch_webhooks(self, list_webhooks: Callable[[], Sequence[Consumed]], is_broken: Callable[[], bool]) -> None:
        """Those that are enabled at the moment; their series begin at 0."""
        self._list_webhooks = lambda: list(list_webhooks())
        self._webhooks_broken.set_function(is_broken)

    def count_closed_connection(self, reason: str) -> None:
        self._closed.labels(reason).inc()

    def watch_connections(self, count_open: Callable[[], int], most: int) -> None:
        """`most` are served before the reserve is touched."""
        self._connections.set_function(count_open)
        self._most_connections.set(most)

    def watch_keys(self, is_broken: Callable[[], bool]) -> None:
        self._keys_broken.set_function(is_broken)

    def count_finding(self, finding: str) -> None:
        self._findings.labels(finding).inc()

    def observe_change(self, message: Message) -> None:
        """Counts the ends of jobs: only a last write carries a time to live."""
        if "Nats-TTL" not in message.headers:
            return
        try:
            record = decode_record(message.body)
        except UnreadableRecord:
            return
        self._ended.labels(record.kind, record.status.value, record.reason or "").inc()
        self._retries.inc(max(0, record.attempt - 1))
        self._losses.inc(record.losses)
        self._observe_steps(record)

    def _observe_steps(self, record: JobRecord) -> None:
        for step in record.steps:
            if step.finished_at is not None:
                outcome = step.error.code if step.error else (step.outcome or "")
                seconds = _seconds_between(step.started_at, step.finished_at)
                self._step_seconds.labels(step.name, outcome).observe(seconds)

    async def render(self) -> bytes:
        """All of it in Prometheus' text format; what NATS knows is asked first."""
        try:
            async with asyncio.timeout(3):
                await asyncio.gather(self._look_at_streams(), self._look_at_queues(), self._look_at_webhooks())
        except (Unanswered, TimeoutError):
            # What is not known is not reported: an old figure would hide the outage.
            for labelled in (self._jobs, self._messages, self._bytes, self._max_bytes, self._webhook_pending):
                labelled.clear()
            for single in (self._oldest, self._dead, self._audit_lag):
                single.set(math.nan)
        return generate_latest(self.registry)

    async def _look_at_streams(self) -> None:
        states = await asyncio.gather(*map(self._jetstream.read_stream_state, _STREAMS))
        for stream, state in zip(_STREAMS, states, strict=True):
            self._messages.labels(stream).set(state.messages)
            self._bytes.labels(stream).set(state.size_bytes)
            self._max_bytes.labels(stream).set(state.max_bytes)
            if stream == names.AUDIT_STREAM:
                self._audit_lag.set(state.lag)
        *_, waiting, dead = states
        self._jobs.labels("all", "waiting").set(waiting.messages)
        self._dead.set(dead.messages)

    async def _look_at_webhooks(self) -> None:
        self._webhook_pending.clear()
        for webhook in self._list_webhooks():
            for outcome in WEBHOOK_OUTCOMES:
                self._webhook_tries.labels(webhook.name, outcome)
            with contextlib.suppress(NotProvisioned):  # it is made in a moment
                state = await self._jetstream.read_consumer_state(names.EVENTS_STREAM, webhook.consumer)
                self._webhook_pending.labels(webhook.name).set(state.pending + state.unacknowledged)

    async def _look_at_queues(self) -> None:
        ages = [0.0]
        for stream, consumer in names.CONSUMERS:
            state = await self._jetstream.read_consumer_state(stream, consumer)
            self._jobs.labels(consumer, "queued").set(state.pending)
            self._jobs.labels(consumer, "running").set(state.unacknowledged)
            if stream == names.JOBS_STREAM and state.pending:
                ages += await self._read_ages(names.consumed_kinds(consumer), state.delivered_sequence + 1)
        self._oldest.set(max(ages))

    async def _read_ages(self, kinds: tuple[str, ...], sequence: int) -> list[float]:
        """How old the first message of each kind is, from a sequence on."""
        firsts = await asyncio.gather(
            *(self._jetstream.read_next(names.JOBS_STREAM, sequence, names.job_subject(kind, ">")) for kind in kinds)
        )
        return [self._jetstream.age_of(message) for message in firsts if message]


def _seconds_between(earlier: str, later: str) -> float:
    """Not below 0: a handler's clock may have been set back in between."""
    return max(0.0, (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds())
