"""Messages that no stream has to keep: live events, and answers to requests."""

import logging
from collections.abc import Awaitable, Callable

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import names
from contracts.link.client import LinkClient
from contracts.link.messages import Message, read_republished

logger = logging.getLogger(__name__)


async def publish_event(client: Client, job_id: str, body: bytes, headers: dict[str, str]) -> None:
    """An event, at most once: no stream is asked whether it has it."""
    await _publish(client, names.told_subject(job_id), job_id, body, headers)


async def publish_progress(client: Client, job_id: str, body: bytes) -> None:
    """At most once, and soon followed by another."""
    await _publish(client, names.progress_subject(job_id), job_id, body)


async def _publish(
    client: Client, subject: str, job_id: str, body: bytes, headers: dict[str, str] | None = None
) -> None:
    try:
        await client.publish(subject, body, headers=headers)
    except (nats.errors.Error, OSError) as error:
        logger.warning("event.lost", extra={"job_id": job_id, "error": repr(error)})


async def follow(client: LinkClient, subjects: str, deliver: Callable[[Message], None]) -> None:
    """Delivers what a stream republishes on the subjects. Kept over reconnections; what is missed is not repeated."""

    def take(headers: bytes, body: bytes) -> None:
        deliver(read_republished(headers, body))

    await client.listen(subjects, take)


async def follow_progress(client: Client, deliver: Callable[[str, bytes], None]) -> None:
    """Delivers what running steps tell, with the ids of their jobs. Kept over reconnections, as above."""

    async def take(message: Msg) -> None:
        deliver(message.subject.removeprefix(names.progress_subject("")), message.data)

    for subject in (names.progress_subject("*"), names.progress_subject("*.*")):
        await client.subscribe(subject, cb=take)


class Question:
    """A request that waits for an answer."""

    def __init__(self, client: Client, message: Msg) -> None:
        self._client = client
        self._reply = message.reply
        self.subject: str = message.subject

    async def answer(self, body: bytes) -> None:
        """At most once: who asked and is gone hears nothing."""
        try:
            await self._client.publish(self._reply, body)
        except (nats.errors.Error, OSError) as error:
            logger.debug("answer.lost", extra={"subject": self.subject, "error": repr(error)})


async def take_questions(client: Client, subject: str, group: str, take: Callable[[Question], Awaitable[None]]) -> None:
    """Hands over every request on the subject, shared with the others of the group. Kept over reconnections.

    `take` returns soon: the next one waits for it.
    """

    async def receive(message: Msg) -> None:
        if message.reply:
            await take(Question(client, message))

    await client.subscribe(subject, queue=group, cb=receive)
