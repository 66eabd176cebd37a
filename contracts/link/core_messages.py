"""Messages that no stream has to keep: live events, and answers to requests."""

import logging
from collections.abc import Awaitable, Callable

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import names

logger = logging.getLogger(__name__)


async def publish_event(client: Client, job_id: str, body: bytes) -> None:
    """At most once: who needs certainty reads the record."""
    try:
        await client.publish(names.event_subject(job_id), body)
    except (nats.errors.Error, OSError) as error:
        logger.warning("event.lost", extra={"job_id": job_id, "error": repr(error)})


async def answer_requests(client: Client, subject: str, group: str, answer: Callable[[str], Awaitable[bytes]]) -> None:
    """Answers every request on the subject, shared with the others of the group. Kept over reconnections."""

    async def respond(message: Msg) -> None:
        if message.reply:
            await client.publish(message.reply, await answer(message.subject))

    await client.subscribe(subject, queue=group, cb=respond)
