"""`python -m gateway dead-letters`: shows what could have no record of its own, and puts a message back."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from contracts import names
from contracts.settings import NatsSettings
from gateway.jetstream import JetStream, NotSent, Refused, TooLarge, Unanswered, connect

_SHOWN_BYTES = 200
_ALL = f"{names.PREFIX}.dead.>"


def list_dead_letters(nats: NatsSettings) -> int:
    """One line each: sequence, moment, reason, subject, the body's beginning."""
    return _run(nats, _list)


def put_back(nats: NatsSettings, sequence: int) -> int:
    """Publishes the message again to its subject. It stays listed: nothing that was refused is ever deleted by hand."""
    return _run(nats, lambda jetstream: _put_back(jetstream, sequence))


def _run(nats: NatsSettings, work: Callable[[JetStream], Awaitable[int]]) -> int:
    async def run() -> int:
        jetstream = await connect(nats, "dead-letters")
        try:
            return await work(jetstream)
        finally:
            await jetstream.close()

    try:
        return asyncio.run(run())
    except Unanswered as error:
        print(f"NATS cannot be used: {error}", file=sys.stderr)
        return 1


async def _list(jetstream: JetStream) -> int:
    sequence = 1
    while (message := await jetstream.read_next(names.DEAD_STREAM, sequence, _ALL)) is not None:
        reason = message.headers.get(names.HEADER_REASON, "?")
        subject = message.headers.get(names.HEADER_SUBJECT, "?")
        body = repr(message.body[:_SHOWN_BYTES])[1:]
        print(f"{message.sequence}\t{message.published_at}\t{reason}\t{subject}\t{body}")
        sequence = message.sequence + 1
    return 0


async def _put_back(jetstream: JetStream, sequence: int) -> int:
    message = await jetstream.read_next(names.DEAD_STREAM, sequence, _ALL)
    if message is None or message.sequence != sequence:
        print(f"there is no dead letter {sequence}; see python -m gateway dead-letters list", file=sys.stderr)
        return 1
    subject = message.headers.get(names.HEADER_SUBJECT, "")
    added = (names.HEADER_REASON, names.HEADER_SUBJECT, names.HEADER_SEQUENCE)
    headers = {name: value for name, value in message.headers.items() if name not in added}
    try:
        await jetstream.publish(subject, message.body, headers, timeout=5)
    except NotSent:
        print(f"no stream takes {subject!r}: the message was not put back", file=sys.stderr)
        return 1
    except (Refused, TooLarge) as error:
        print(f"the stream did not take it: {error}; a job of this id may be queued", file=sys.stderr)
        return 1
    print(f"put back: {subject}")
    return 0
