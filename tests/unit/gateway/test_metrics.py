"""What the gateway tells of NATS while it is away: nothing, for an old figure would hide the outage."""

from types import SimpleNamespace

from gateway.jetstream import ConsumerState, JetStream, StreamState, Unanswered
from gateway.jobs.waiting import Listeners
from gateway.metrics import Metrics


class Silent(JetStream):
    """NATS that does not answer."""

    def __init__(self) -> None:
        self.history = SimpleNamespace(reconnections=0)  # type: ignore[assignment]  # all that is asked of it

    @property
    def is_connected(self) -> bool:
        return False

    async def read_stream_state(self, stream: str) -> StreamState:
        raise Unanswered(stream)

    async def read_consumer_state(self, stream: str, consumer: str) -> ConsumerState:
        raise Unanswered(consumer)


async def test_what_nats_does_not_tell_is_not_told() -> None:
    metrics = Metrics(Silent(), Listeners())
    for gauge in (metrics._oldest, metrics._dead, metrics._audit_lag):
        gauge.set(1234)
    for gauge in (metrics._messages, metrics._bytes, metrics._max_bytes, metrics._webhook_pending):
        gauge.labels("before").set(1234)
    metrics._jobs.labels("before", "queued").set(1234)
    told = (await metrics.render()).decode()
    assert [line for line in told.splitlines() if line.endswith(" 1234.0")] == []
    assert "everest_bootstrap_oldest_queued_seconds NaN" in told
