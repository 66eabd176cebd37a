"""Writing entries that are no job's: stored before what they tell of is done, or as soon as it is known."""

from contracts import names
from contracts.reporting.entries import Entry, encode_act
from gateway.jetstream import REQUEST_SECONDS, JetStream


async def write_act(jetstream: JetStream, entry: Entry, token: str) -> None:
    """The same action and token again take the place of the first.

    Raises Refused, NotProvisioned, NotSent, Unanswered.
    """
    subject = names.act_subject(entry["action"], token)
    await jetstream.publish(subject, encode_act(entry), {}, timeout=REQUEST_SECONDS)
