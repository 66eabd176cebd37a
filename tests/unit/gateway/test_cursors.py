"""The cursor of a list covers every sequence until it was seen."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.listing.cursors import Cursor, decode_cursor, encode_cursor
from gateway.listing.sequences import Interval


def begin(last_sequence: int) -> Cursor:
    return Cursor(0, (), Interval(1, 0)).reaching(last_sequence)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), max_size=30))
def test_nothing_unseen_is_dropped(turns: list[tuple[int, int]]) -> None:
    """However the bucket grows between pages, what was not passed stays inside the cursor, through its encoding."""
    last, seen = 10, set[int]()
    cursor = begin(last)
    for grown, passed in turns:
        last += grown
        cursor = decode_cursor(encode_cursor(cursor.reaching(last)))
        for sequence in [n for interval in cursor.records for n in range(interval.high, interval.low - 1, -1)][:passed]:
            seen.add(sequence)
            cursor = cursor.below(sequence)
        covered = {n for interval in cursor.records for n in range(interval.low, interval.high + 1)}
        assert covered | seen == set(range(1, last + 1))
        assert len(cursor.records) <= 4


@pytest.mark.parametrize("text", ["", "x", "e30", "WzFd", "W251bGwsMSwxXQ", "é", "WzEsMSwxLDUsMl0"])
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        decode_cursor(text)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_read(body: bytes) -> None:
    with suppress(ValueError):
        decode_cursor(base64.urlsafe_b64encode(body).decode())
