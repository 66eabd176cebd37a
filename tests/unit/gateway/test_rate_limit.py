"""The limit per key: a moving window on a clock that never goes back."""

import pytest

from contracts.process.settings import InvalidSettings
from gateway.http.rate_limit import Rate, Window, read_rate


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_window_moves() -> None:
    clock = Clock()
    window = Window(Rate(2, 60, "2/minute"), clock)
    assert [window.enter("one"), window.enter("two")] == [0, 0]
    clock.seconds = 30
    assert window.enter("one") == 0
    assert window.enter("one") == 30
    assert window.enter("two") == 0
    clock.seconds = 60
    assert window.enter("one") == 0
    assert window.enter("one") == 30


@pytest.mark.parametrize(
    ("text", "most", "seconds"),
    [
        ("600/minute", 600, 60),
        ("10 per 5 seconds", 10, 5),
        ("1/HOUR", 1, 3600),
        ("5000/day", 5000, 86_400),
    ],
)
def test_rates_that_can_be_read(text: str, most: int, seconds: float) -> None:
    rate = read_rate(text)
    assert (rate.most, rate.seconds) == (most, seconds)


@pytest.mark.parametrize("text", ["", "600", "0/minute", "many/minute", "600/fortnight", "600/minute;drop", "-1/hour"])
def test_rates_that_cannot(text: str) -> None:
    with pytest.raises(InvalidSettings):
        read_rate(text)
