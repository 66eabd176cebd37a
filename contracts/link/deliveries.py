"""What a stream delivers, and how it is answered."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import nats.errors
from nats.aio.msg import Msg

from contracts.link.client import LinkClient
from contracts.process.logs import moment

logger = logging.getLogger(__name__)

_ACKNOWLEDGE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of one message. Only whoever has saved what became of the job may answer it."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    sequence: int
    delivered: int  # how often; it lies after a broker crash, so nothing is decided by it
    published_at: str
    _message: Msg

    @classmethod
    def of(cls, message: Msg) -> "Delivery":
        metadata = message.metadata
        return cls(
            message.subject,
            message.data,
            message.headers or {},
            metadata.sequence.stream,
            metadata.num_delivered or 1,
            moment(metadata.timestamp.timestamp()),
            message,
        )

    async def acknowledge(self) -> None:
        """A confirmed ack. One that stays unanswered is harmless: the next delivery finds the finished record."""
        client = cast(LinkClient, self._message._client)
        for _ in range(3):
            try:
                await client.ask(self._message.reply, b"+ACK", None, _ACKNOWLEDGE_SECONDS)
            except (nats.errors.Error, TimeoutError, OSError):
                continue
            return
        logger.warning("ack.unconfirmed", extra={"subject": self.subject})

    async def extend(self) -> None:
        """Holds the next delivery back for another ack_wait."""
        await self._answer(b"+WPI")

    async def hand_back(self, delay_seconds: float = 0) -> None:
        """Gives the message to another handler, at once or after a delay that a broker crash forgets."""
        await self._answer(b"-NAK" if not delay_seconds else b'-NAK {"delay": %d}' % int(delay_seconds * 1e9))

    async def terminate(self, reason: str) -> None:
        await self._answer(b"+TERM " + reason.encode())

    async def _answer(self, body: bytes) -> None:
        """Sent without confirmation; lost with the connection, which the next delivery makes good."""
        try:
            await self._message._client.publish(self._message.reply, body)
        except (nats.errors.Error, OSError) as error:
            logger.warning("answer.lost", extra={"subject": self.subject, "error": repr(error)})
