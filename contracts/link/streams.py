"""Reading streams. Every read but a batch is answered by the stream's leader; only a write decides."""

from typing import Any, NamedTuple

from contracts import names
from contracts.link.api import Api, NoMessage
from contracts.link.messages import Message, read_message, read_republished

_BATCH_BYTES = 4 * 1024 * 1024


class StreamState(NamedTuple):
    """`max_bytes` is -1 where there is no limit. `republishes` tells whether what is stored is told to who listens.

    `lag`: messages of other streams that it is to copy and has not yet.
    """

    messages: int
    size_bytes: int
    max_bytes: int
    first_sequence: int
    last_sequence: int
    republishes: bool
    lag: int


class ConsumerState(NamedTuple):
    """`pending` wait for a first delivery, `unacknowledged` are being worked on or were handed back."""

    pending: int
    unacknowledged: int
    delivered_sequence: int
    ack_wait_seconds: float


async def read_last(api: Api, stream: str, subject: str) -> Message | None:
    """The subject's last message. Raises NotProvisioned, Unanswered."""
    return await _read(api, stream, {"last_by_subj": subject})


async def read_next(api: Api, stream: str, sequence: int, subjects: str) -> Message | None:
    """The first message on the subjects at or after the sequence. Raises NotProvisioned, Unanswered."""
    return await _read(api, stream, {"seq": sequence, "next_by_subj": subjects})


async def read_batch(api: Api, stream: str, sequence: int, count: int) -> list[Message]:
    """At most so many messages at or after the sequence, in one question (ADR-31), fewer where they are large.

    Whichever copy of the stream is near answers, and may be behind: what it gives proves nothing of what it lacks.

    Raises NotSent where the stream takes no direct reads, Unanswered.
    """
    request = {"seq": sequence, "batch": count, "max_bytes": _BATCH_BYTES}
    answers = await api.ask_for_many(f"DIRECT.GET.{stream}", request)
    return [read_republished(headers, body) for headers, body in answers]


async def read_stream_state(api: Api, stream: str) -> StreamState:
    """Raises NotProvisioned, Unanswered."""
    answer = await api.ask(f"STREAM.INFO.{stream}", {})
    state, config = answer["state"], answer["config"]
    return StreamState(
        state["messages"],
        state["bytes"],
        config.get("max_bytes", -1),
        state["first_seq"],
        state["last_seq"],
        "republish" in config,
        sum(source.get("lag", 0) for source in answer.get("sources") or ()),
    )


async def read_consumer_state(api: Api, stream: str, consumer: str) -> ConsumerState:
    """Raises NotProvisioned, Unanswered."""
    answer = await api.ask(f"CONSUMER.INFO.{stream}.{consumer}", {})
    return ConsumerState(
        answer["num_pending"],
        answer["num_ack_pending"],
        answer["delivered"]["stream_seq"],
        answer["config"]["ack_wait"] / 1e9,
    )


def find_stream(subject: str) -> str | None:
    """The declared stream that takes what is published to the subject."""
    for prefix, stream in (
        (f"{names.PREFIX}.jobs.", names.JOBS_STREAM),
        (f"{names.PREFIX}.queries.", names.QUERIES_STREAM),
        (f"{names.PREFIX}.waiting.", names.WAITING_STREAM),
        (f"{names.PREFIX}.dead.", names.DEAD_STREAM),
        (f"{names.PREFIX}.audit.", names.AUDIT_STREAM),
    ):
        if subject.startswith(prefix):
            return stream
    return names.bucket_stream(subject.split(".")[1]) if subject.startswith("$KV.") else None


async def _read(api: Api, stream: str, query: dict[str, Any]) -> Message | None:
    try:
        answer = await api.ask(f"STREAM.MSG.GET.{stream}", query)
    except NoMessage:
        return None
    return read_message(answer["message"])
