"""`python -m gateway dead-letters`: shows what could have no record of its own, and puts a message back."""

import asyncio
import sys
import time
import uuid
from collections.abc import Awaitable, Callable

from contracts import names
from contracts.process.logs import moment
from contracts.process.settings import NatsSettings
from contracts.reporting.entries import PUT_BACK, make_act
from gateway.audit.acts import write_act
from gateway.jetstream import (
    REQUEST_SECONDS,
    JetStream,
    ManagementRefused,
    Message,
    NotLetIn,
    NotSent,
    Refused,
    TooLarge,
    Unanswered,
    connect,
)

_SHOWN_BYTES = 200
PROVISIONER = "provisioner"  # the NATS user of whoever runs the command
_HINT = "this command needs the role provisioner (nats/README.md, An operator's commands); else see the server's log"
_ALL = f"{names.PREFIX}.dead.>"


def list_dead_letters(nats: NatsSettings) -> int:
    """One line each: sequence, moment, reason, subject, the body's beginning."""
    return _run(nats, _list)


def put_back(nats: NatsSettings, sequence: int) -> int:
    """Publishes the message, its bytes as they were, to the subject it came from; then removes the dead letter.

    A failure between the two leaves both, and the stream and the record refuse the second run of a job.
    """
    return _run(nats, lambda jetstream: _put_back(jetstream, sequence))


def _run(nats: NatsSettings, work: Callable[[JetStream], Awaitable[int]]) -> int:
    async def run() -> int:
        jetstream = await connect(nats, "dead-letters", role=PROVISIONER)
        try:
            return await work(jetstream)
        finally:
            await jetstream.close()

    try:
        return asyncio.run(run())
    except NotLetIn as error:
        print(error, file=sys.stderr)
    except (Unanswered, ManagementRefused) as error:
        print(f"NATS cannot be used: {error}", file=sys.stderr)
        print(f"hint: {_HINT}", file=sys.stderr)
    return 1


async def _list(jetstream: JetStream) -> int:
    sequence = 1
    while (message := await jetstream.read_next(names.DEAD_STREAM, sequence, _ALL)) is not None:
        reason = _show(message.headers.get(names.HEADER_REASON, "?"))
        subject = _show(message.headers.get(names.HEADER_SUBJECT, "?"))
        body = repr(message.body[:_SHOWN_BYTES])[1:]
        print(f"{message.sequence}\t{message.published_at}\t{reason}\t{subject}\t{body}")
        sequence = message.sequence + 1
    if sequence == 1:
        print("there are no dead letters", file=sys.stderr)
    return 0


def _show(text: str) -> str:
    """A publisher chose it, and may write to whatever shows it: an escape sequence says nothing as text."""
    return repr(text)[1:-1]


async def _tell(jetstream: JetStream, message: Message, subject: str, outcome: str, token: str) -> None:
    """Before it is done and after: a put-back without an entry there is none."""
    address = names.read_subject(subject)
    members = {
        "kind": address.kind,
        "job_id": address.job_id,
        "summary": f"Dead letter {message.sequence}: {_show(subject)}.",
    }
    entry = make_act(moment(time.time()), PROVISIONER, PUT_BACK, outcome, **members)
    await write_act(jetstream, entry, token)


async def _put_back(jetstream: JetStream, sequence: int) -> int:
    message = await jetstream.read_next(names.DEAD_STREAM, sequence, _ALL)
    if message is None or message.sequence != sequence:
        print(f"there is no dead letter {sequence}; see python -m gateway dead-letters list", file=sys.stderr)
        return 1
    subject = message.headers.get(names.HEADER_SUBJECT, "")
    added = (names.HEADER_REASON, names.HEADER_SUBJECT, names.HEADER_SEQUENCE)
    headers = {name: value for name, value in message.headers.items() if name not in added}
    token = str(uuid.uuid4())
    await _tell(jetstream, message, subject, "asked", token)
    try:
        await jetstream.publish(subject, message.body, headers, timeout=REQUEST_SECONDS)
    except NotSent:
        print(f"no stream takes {subject!r}: the message was not put back, and is kept", file=sys.stderr)
        return 1
    except Refused as error:
        reason = "a job of this id is queued or runs" if error.is_duplicate else str(error)
        print(f"the queue did not take it ({reason}): the message was not put back, and is kept", file=sys.stderr)
        return 1
    except TooLarge:
        print("the message is larger than the queue takes: it was not put back, and is kept", file=sys.stderr)
        return 1
    await jetstream.api.manage(f"STREAM.MSG.DELETE.{names.DEAD_STREAM}", {"seq": sequence})
    await _tell(jetstream, message, subject, "done", token)
    print(f"put back: {_show(subject)}")
    return 0
