"""Reading a stream backwards: the newest of a million messages cost what the newest of a thousand do.

A stream answers only forwards ("the first message at or after n"), and the sequences of a bucket have gaps wherever
a record was written again. So windows of sequences are read from the newest down, each by several requests at a time,
and grow where the stream is sparse. The newest window, which is what most callers want, is one question where the
stream takes direct reads.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from gateway.jetstream import JetStream, Message, StreamState, Unanswered

_LANES = 64  # at a time: a lane of one sequence is one round trip, and most callers want what is in the first window
_FIRST_WIDTH = 64
_WANTED = 48  # messages a window
_MOST = 400  # messages a window, before it is given up for a narrower one


@dataclass(frozen=True, slots=True)
class Interval:
    """Sequences from `low` to `high`, both included."""

    low: int
    high: int


def width_of(state: StreamState, wanted: int) -> int:
    """Sequences that hold about so many messages, if all of the stream is as dense."""
    span = state.last_sequence - state.first_sequence + 1
    return max(wanted, wanted * span // max(1, state.messages))


async def read_newest(jetstream: JetStream, stream: str, window: Interval) -> list[Message] | None:
    """All messages from the window's low end on, oldest first, in one question; None where they may not be all.

    Whoever answers may be behind the leader. Its answer is whole if it reaches the window's high end, which is the last
    sequence that the leader has told: what came before it has been applied as well.
    """
    try:
        messages = await jetstream.read_batch(stream, window.low, _MOST)
    except Unanswered:
        return None
    return messages if messages and messages[-1].sequence >= window.high else None


async def read_backwards(
    jetstream: JetStream, stream: str, subjects: str, interval: Interval
) -> AsyncGenerator[Message]:
    """The messages in the interval, newest first. Raises Unanswered."""
    high, width = interval.high, _FIRST_WIDTH
    while high >= interval.low:
        low = max(interval.low, high - width + 1)
        messages = await _read_window(jetstream, stream, subjects, Interval(low, high))
        if len(messages) > _MOST:
            width = max(_FIRST_WIDTH, width // 16)
            continue
        for message in reversed(messages):
            yield message
        high = low - 1
        growth = _WANTED / (len(messages) or 1)
        width = int(max(_FIRST_WIDTH, min(width * 4, width * growth)))


async def _read_window(jetstream: JetStream, stream: str, subjects: str, window: Interval) -> list[Message]:
    """The window's messages, oldest first; when they are more than _MOST, at least that many of them."""
    width = -(-(window.high - window.low + 1) // _LANES)
    lanes = (
        _read_lane(jetstream, stream, subjects, Interval(low, min(low + width - 1, window.high)))
        for low in range(window.low, window.high + 1, width)
    )
    return [message for lane in await asyncio.gather(*lanes) for message in lane]


async def _read_lane(jetstream: JetStream, stream: str, subjects: str, lane: Interval) -> list[Message]:
    messages: list[Message] = []
    sequence = lane.low
    while sequence <= lane.high and len(messages) <= _MOST:
        message = await jetstream.read_next(stream, sequence, subjects)
        if message is None or message.sequence > lane.high:
            break
        messages.append(message)
        sequence = message.sequence + 1
    return messages
