"""What repeats is logged at growing distances."""

from contracts.logs import Repeats


def test_what_happens_every_second_fills_no_log() -> None:
    """An hour of it is a dozen lines; what is over, and happens again, is told at once."""
    repeats = Repeats()
    due = [second for second in range(1, 3601) if repeats.is_due("the server does not answer")]
    assert due == [2**power for power in range(12)]
    assert repeats.count("the server does not answer") == 3600
    assert repeats.is_due("another thing")
    repeats.end()
    assert repeats.is_due("the server does not answer")
