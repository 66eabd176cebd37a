"""Whether a webhook that is told of some callers' jobs alone is told of an event."""

from typing import Any

import orjson
import pytest

from contracts.records import JobRecord, encode_record
from gateway.jetstream import Delivery, JetStream, Message
from gateway.webhooks.attempts import Attempt, WebhookClient
from gateway.webhooks.declared import Webhook
from gateway.webhooks.sender import Pace, Sender

NOW = "2026-01-01T00:00:00.000Z"
PORTAL = Webhook("portal", "http://localhost", ("secret",), callers=("portal",))
EVENT = {
    "kind": "bootstrap",
    "status": "succeeded",
    "revision": 7,
    "attempt": 1,
    "reason": None,
    "retry_at": None,
    "summary": "Done.",
    "changed_at": NOW,
}


class Bucket(JetStream):
    """NATS, with the record of the job, or none any more."""

    def __init__(self, body: bytes | None) -> None:
        self._body = body

    async def read_key(self, bucket: str, key: str) -> Message | None:
        return None if self._body is None else Message("", self._body, {}, 7, NOW)


class Receiver(WebhookClient):
    """It takes everything, and keeps what it took."""

    def __init__(self) -> None:
        super().__init__(PORTAL)
        self.taken: list[dict[str, Any]] = []

    async def attempt(self, message_id: str, body: bytes) -> Attempt:
        self.taken.append(orjson.loads(body))
        return Attempt(True, False, "204")


class Told(Delivery):
    async def acknowledge(self) -> None:
        pass


def record_of(caller: str) -> bytes:
    return encode_record(JobRecord("order-42", "bootstrap", caller, "", NOW, NOW))


async def bring(event: dict[str, Any], body: bytes | None) -> list[str]:
    """The callers that the webhook was told of."""
    receiver: Any = Receiver()
    sender = Sender(Bucket(body), PORTAL, receiver, Pace(60), lambda name, outcome: None, lambda: NOW)
    message: Any = None
    await sender._bring(Told("", orjson.dumps(EVENT | event), {}, 1, 1, NOW, message))
    return [document["caller"] for document in receiver.taken]


@pytest.mark.parametrize(
    ("event", "body", "told"),
    [
        ({"job_id": "order-42"}, record_of("portal"), ["portal"]),
        ({"job_id": "order-42"}, record_of("other"), []),
        ({"job_id": "order-42", "caller": "portal"}, None, ["portal"]),
        ({"job_id": "order-42", "caller": "portal"}, b"\xff", ["portal"]),
        ({"job_id": "order-42", "caller": "other"}, None, []),
        ({"job_id": "portal.42"}, None, ["portal"]),
        ({"job_id": "other.42", "caller": "portal"}, None, []),
        ({"job_id": "order-42"}, None, ["nats"]),
    ],
    ids=[
        "its own",
        "another's",
        "its own, forgotten",
        "its own, overwritten",
        "another's, forgotten",
        "proved by the id",
        "another's by the id",
        "nobody knows whose",
    ],
)
async def test_an_event_is_lost_with_no_record(event: dict[str, Any], body: bytes | None, told: list[str]) -> None:
    """A receiver may be away for longer than a record is kept; an older version told the caller in the record alone."""
    assert await bring(event, body) == told
