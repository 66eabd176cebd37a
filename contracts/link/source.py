"""A durable pull consumer, as a handler uses it.

A fetch is never cancelled: its message would be parked until ack_wait.
"""

from contextlib import suppress

import nats.errors
import nats.js.errors
import orjson
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from contracts.link.api import Api
from contracts.link.deliveries import Delivery
from contracts.link.errors import NotProvisioned, Unanswered
from contracts.link.streams import read_consumer_state

FETCH_SECONDS = 2.0  # a fetch that was waiting when the server restarted hears nothing until its own end
_ONE_NOW = orjson.dumps({"batch": 1, "no_wait": True})
_PARKED_SECONDS = 0.05


class Source:
    """A consumer that this handler is bound to."""

    def __init__(self, client: Client, api: Api, stream: str, consumer: str) -> None:
        self._client = client
        self._context = client.jetstream()
        self._api = api
        self.stream = stream
        self.consumer = consumer
        self._subscription: JetStreamContext.PullSubscription | None = None

    async def bind(self) -> float:
        """Binds and gives the consumer's ack_wait in seconds. Raises NotProvisioned, Unanswered."""
        ack_wait_seconds = await self.read_ack_wait()
        try:
            self._subscription = await self._context.pull_subscribe_bind(durable=self.consumer, stream=self.stream)
        except (nats.errors.Error, OSError) as error:
            raise Unanswered(f"consumer {self.consumer} of stream {self.stream}: {error!r}") from error
        return ack_wait_seconds

    async def read_ack_wait(self) -> float:
        """The consumer's ack_wait in seconds, as it is now. Raises NotProvisioned, Unanswered."""
        return (await read_consumer_state(self._api, self.stream, self.consumer)).ack_wait_seconds

    async def count_pending(self) -> int:
        """Messages that wait for a first delivery. Raises NotProvisioned, Unanswered."""
        return (await read_consumer_state(self._api, self.stream, self.consumer)).pending

    async def fetch(self) -> Delivery | None:
        """The next delivery, or None within FETCH_SECONDS. Never cancel it. Raises NotProvisioned, Unanswered."""
        assert self._subscription is not None, "bind comes first"
        try:
            (message,) = await self._subscription.fetch(1, timeout=FETCH_SECONDS)
        except nats.js.errors.ServiceUnavailableError as error:
            raise NotProvisioned(f"consumer {self.consumer} of stream {self.stream} does not answer") from error
        except TimeoutError:
            return None
        except (nats.errors.Error, OSError) as error:
            raise Unanswered(repr(error)) from error
        return Delivery.of(message)

    async def fetch_more(self, count: int) -> list[Delivery]:
        """What else is there now, at most so many, without waiting for more. Never cancel it. Raises Unanswered.

        As many requests as messages are wanted: between accounts the server lets one answer to each come back.
        """
        assert self._subscription is not None, "bind comes first"
        found: list[Delivery] = []
        try:
            for _ in range(count):
                await self._client.publish(self._subscription._nms, _ONE_NOW, self._subscription._deliver)
            for _ in range(count):
                message = await self._subscription._sub.next_msg(timeout=FETCH_SECONDS)
                if message.headers is None or "Status" not in message.headers:  # else there was none
                    found.append(Delivery.of(message))
        except TimeoutError:
            return found
        except (nats.errors.Error, OSError) as error:
            if not found:
                raise Unanswered(repr(error)) from error
        return found

    async def close(self) -> None:
        """Hands back what is parked, and hears nothing more."""
        await self.hand_back_parked()
        if self._subscription is not None:
            with suppress(nats.errors.Error, OSError):
                await self._subscription.unsubscribe()

    async def hand_back_parked(self) -> None:
        """Hands back what arrived after the last fetch had ended."""
        if self._subscription is None:
            return
        while True:
            try:
                message = await self._subscription._sub.next_msg(timeout=_PARKED_SECONDS)
            except (nats.errors.Error, OSError):
                return
            if message.headers is None or "Status" not in message.headers:
                await Delivery.of(message).hand_back()
