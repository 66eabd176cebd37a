"""The newest of a stream in one question: taken only where it is proved to be whole."""

import pytest

from gateway.jetstream import JetStream, Message, NotSent, StreamState, Unanswered
from gateway.listing.sequences import Interval, read_newest, width_of


class Stream(JetStream):
    """A copy of a stream that holds messages at these sequences, and answers with so many at most."""

    def __init__(self, *sequences: int, most: int = 400, silence: Unanswered | None = None) -> None:
        self._sequences = sequences
        self._most = most
        self._silence = silence

    async def read_batch(self, stream: str, sequence: int, count: int) -> list[Message]:
        if self._silence:
            raise self._silence
        found = [number for number in self._sequences if number >= sequence]
        return [Message("", b"", {}, number, "") for number in found[: min(count, self._most)]]


async def newest_of(stream: Stream, low: int, high: int) -> list[int] | None:
    messages = await read_newest(stream, "S", Interval(low, high))
    return None if messages is None else [message.sequence for message in messages]


async def test_what_reaches_the_leaders_last_is_whole() -> None:
    assert await newest_of(Stream(1, 5, 8, 9), 4, 9) == [5, 8, 9]


async def test_what_was_written_meanwhile_proves_it_too() -> None:
    """The last record was written again: it is gone from where it was."""
    assert await newest_of(Stream(1, 5, 8, 10), 4, 9) == [5, 8, 10]


@pytest.mark.parametrize(
    "stream",
    [
        Stream(1, 5, 8),  # a copy that is behind
        Stream(5, 6, 7, 8, 9, most=3),  # more than come at once
        Stream(),
        Stream(silence=NotSent("no direct reads")),
        Stream(silence=Unanswered("nobody")),
    ],
)
async def test_else_nothing_is_taken(stream: Stream) -> None:
    assert await newest_of(stream, 4, 9) is None


@pytest.mark.parametrize(
    ("messages", "first", "last", "width"), [(100, 1, 100, 96), (100, 1, 3000, 2880), (0, 1, 0, 96), (1, 900, 900, 96)]
)
def test_a_sparse_stream_is_read_from_further_below(messages: int, first: int, last: int, width: int) -> None:
    state = StreamState(messages, 0, -1, first, last, True, 0)
    assert width_of(state, 96) == width
