"""The sender of one webhook: takes events from its durable consumer, brings them, and tries again for days.

All gateways share the consumer, so that each event is brought by one of them. It is acknowledged when the receiver has
taken it: who is killed in between brings it again, under the same id. A receiver that is slow or dead keeps nobody
else waiting: each webhook has a sender, a consumer and connections of its own.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from contracts import names
from contracts.documents import Event, resolved_request
from contracts.records import JobRecord, UnreadableRecord, decode_record
from contracts.reporting.entries import WEBHOOK_GIVEN_UP, make_act
from contracts.reporting.events import HEADER_ID, event_id
from contracts.reporting.webhooks import find_caller, webhook_document, webhook_id
from gateway.audit.acts import write_act
from gateway.jetstream import Delivery, JetStream, ManagementRefused, Refused, Source, Unanswered
from gateway.metrics import WEBHOOK_OUTCOMES
from gateway.webhooks.attempts import AT_ONCE, Attempt, WebhookClient
from gateway.webhooks.declared import Webhook

logger = logging.getLogger(__name__)

# Seconds before the next try, by how many there were; the last one goes on to the end.
DELAYS = (5.0, 15.0, 60.0, 300.0, 900.0, 1800.0)
_PAUSE_SECONDS = 2.0

DELIVERED, FAILED, GIVEN_UP = WEBHOOK_OUTCOMES


@dataclass(frozen=True, slots=True)
class Pace:
    """How a sender works; tests are in a hurry."""

    retry_for_seconds: float
    delays: Sequence[float] = DELAYS
    ack_wait_seconds: float = 30.0  # twice what an attempt may take


class Sender:
    """`count` is told of each outcome; `now` gives the moment."""

    def __init__(
        self,
        jetstream: JetStream,
        webhook: Webhook,
        client: WebhookClient,
        pace: Pace,
        count: Callable[[str, str], None],
        now: Callable[[], str],
    ) -> None:
        self._jetstream = jetstream
        self._webhook = webhook
        self._client = client
        self._pace = pace
        self._count = count
        self._now = now
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """It takes nothing more; what it carries it brings."""
        self._stopping.set()

    async def run(self) -> None:
        """Works until it is stopped."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while not self._stopping.is_set():
                    try:
                        await self._work(tasks)
                    except (Unanswered, ManagementRefused) as error:
                        logger.warning("webhook.waits", extra={"webhook": self._webhook.name, "error": str(error)})
                        await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            await self._client.close()

    async def _work(self, tasks: asyncio.TaskGroup) -> None:
        """Raises NotProvisioned, Unanswered, ManagementRefused."""
        await self._jetstream.make_webhook_consumer(self._webhook.consumer, self._pace.ack_wait_seconds)
        source = self._jetstream.source(names.EVENTS_STREAM, self._webhook.consumer)
        await source.bind()
        try:
            while not self._stopping.is_set():
                await self._take(source, tasks)
        finally:
            await source.close()

    async def _take(self, source: Source, tasks: asyncio.TaskGroup) -> None:
        """Raises NotProvisioned, Unanswered."""
        await self._slots.acquire()
        try:
            delivery = await source.fetch()
        except BaseException:
            self._slots.release()
            raise
        if delivery is None:
            self._slots.release()
        elif self._stopping.is_set():
            await delivery.hand_back()  # to whoever takes its place
        else:
            tasks.create_task(self._carry(delivery))

    async def _carry(self, delivery: Delivery) -> None:
        try:
            await self._bring(delivery)
        except Unanswered as error:
            logger.debug("webhook.interrupted", extra={"webhook": self._webhook.name, "error": str(error)})
            await delivery.hand_back(_PAUSE_SECONDS)
        except Exception:  # of this event alone: it comes again
            logger.exception("webhook.crashed", extra={"webhook": self._webhook.name})
        finally:
            self._slots.release()

    async def _bring(self, delivery: Delivery) -> None:
        """Raises Unanswered."""
        event = _read_event(delivery.body)
        if event is None or not self._webhook.wants(event):
            await delivery.acknowledge()
            return
        record = await self._read_record(event["job_id"])
        caller = record.caller if record else find_caller(event)
        if caller is not None and not self._webhook.wants_of(caller):  # unknown: told to one too many rather than lost
            await delivery.acknowledge()
            return
        message_id = webhook_id(delivery.headers.get(HEADER_ID, event_id(event["job_id"], event["revision"])))
        attempt = await self._client.attempt(message_id, orjson.dumps(webhook_document(event, record)))
        await self._conclude(delivery, event, record, message_id, attempt)

    async def _conclude(
        self, delivery: Delivery, event: Event, record: JobRecord | None, message_id: str, attempt: Attempt
    ) -> None:
        about: dict[str, Any] = {"webhook": self._webhook.name, "job_id": event["job_id"], "id": message_id}
        if attempt.is_taken:
            await delivery.acknowledge()
            self._count(self._webhook.name, DELIVERED)
            logger.info("webhook.delivered", extra={**about, "tries": delivery.delivered})
        elif attempt.is_final or self._jetstream.seconds_since(delivery.published_at) > self._pace.retry_for_seconds:
            await self._give_up(event, record, message_id, attempt.reason)
            await delivery.terminate("given up")
            self._count(self._webhook.name, GIVEN_UP)
            logger.error("webhook.given_up", extra={**about, "reason": attempt.reason})
        else:
            delay = max(self._delay(delivery.delivered), min(attempt.wait_seconds, DELAYS[-1]))
            await delivery.hand_back(delay)
            self._count(self._webhook.name, FAILED)
            logger.warning(
                "webhook.failed", extra={**about, "reason": attempt.reason, "next": f"again in {delay:.0f} s"}
            )

    def _delay(self, tries: int) -> float:
        delays = self._pace.delays
        return delays[min(tries, len(delays)) - 1] * random.uniform(0.8, 1)

    async def _give_up(self, event: Event, record: JobRecord | None, message_id: str, reason: str) -> None:
        """The entry comes first. Raises Unanswered."""
        asked = resolved_request(record) if record else {}
        entry = make_act(
            self._now(),
            "gateway",
            WEBHOOK_GIVEN_UP,
            "given up",
            kind=event["kind"],
            username=asked.get("username"),
            namespace=asked.get("namespace"),
            job_id=event["job_id"],
            webhook=self._webhook.name,
            summary=f"{self._webhook.name} did not take {message_id}: {reason}.",
        )
        try:
            await write_act(self._jetstream, entry, f"{self._webhook.name}-{message_id.replace(':', '-')}")
        except Refused as error:
            raise Unanswered(str(error)) from error

    async def _read_record(self, job_id: str) -> JobRecord | None:
        """Raises Unanswered."""
        message = await self._jetstream.read_key(names.JOBS_BUCKET, job_id)
        try:
            return decode_record(message.body) if message else None
        except UnreadableRecord:
            return None


def _read_event(body: bytes) -> Event | None:
    """None for what is no event of a job; of a query, which handlers of 0.1.0 tell of too, neither."""
    try:
        event: Event = orjson.loads(body)
        return None if names.is_query(event["kind"]) or not names.is_job_id(event["job_id"]) else event
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
