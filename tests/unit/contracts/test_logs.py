"""What repeats is logged at growing distances, and when."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from contracts.process.logs import Repeats, moment


@given(st.integers(min_value=0, max_value=3_000_000_000_000_000))
def test_a_moment_is_the_clocks_cut_to_the_millisecond(microseconds: int) -> None:
    seconds = microseconds / 1_000_000
    told = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    assert moment(seconds) == told.replace("+00:00", "Z")


def test_what_happens_every_second_fills_no_log() -> None:
    """An hour of it is a dozen lines; what is over, and happens again, is told at once."""
    repeats = Repeats()
    due = [second for second in range(1, 3601) if repeats.is_due("the server does not answer")]
    assert due == [2**power for power in range(12)]
    assert repeats.count("the server does not answer") == 3600
    assert repeats.is_due("another thing")
    repeats.end()
    assert repeats.is_due("the server does not answer")
