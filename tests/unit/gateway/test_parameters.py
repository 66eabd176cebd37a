"""What lists are asked for: periods, and the form of the answer."""

import pytest

from gateway.http.answers import prefers
from gateway.http.bodies import JSON, LINES
from gateway.http.paging import read_period
from gateway.http.problems import Problem


@pytest.mark.parametrize(
    ("accept", "is_lines"),
    [
        (LINES, True),
        (LINES.upper(), True),
        (f"{LINES}; charset=utf-8", True),
        (f"{LINES};q=0.5, text/html", True),
        (f"{JSON}, {LINES}", True),
        (f"{JSON};q=0.5, {LINES}", True),
        (f"application/*;q=0.2, {LINES};q=0.3, */*", True),
        (f"{LINES};q=nonsense", True),
        (f"{LINES};q=0, */*", False),
        (f"{LINES};q=0", False),
        (f"{LINES}; q=0.1, {JSON}", False),
        (f"{LINES};q=0.1, */*", False),
        ("*/*", False),
        ("application/*", False),
        ("", False),
        (f"x{LINES}", False),
    ],
)
def test_lines_come_where_they_are_wanted_no_less_than_json(accept: str, is_lines: bool) -> None:
    assert prefers([accept], LINES, JSON) is is_lines
    assert prefers(accept.split(", "), LINES, JSON) is is_lines


def test_a_day_is_all_of_it() -> None:
    """Whoever asks until the thirtieth means what was done on that day as well."""
    day = {"since": "2026-11-30", "until": "2026-11-30"}
    assert read_period(day) == ("2026-11-30T00:00:00.000Z", "2026-11-30T23:59:59.999Z")
    assert read_period({"until": "20261130"}) == (None, "2026-11-30T23:59:59.999Z")
    assert read_period({"until": "2026-11-30T00:00:00+02:00"}) == (None, "2026-11-29T22:00:00.000Z")
    assert read_period({"until": "9999-12-31"}) == (None, "9999-12-31T23:59:59.999Z")


@pytest.mark.parametrize("until", ["2026-11-28", "2026-11-29T11:59:59.999Z"])
def test_a_period_that_holds_nothing_is_refused(until: str) -> None:
    """An empty page would say that nobody did anything."""
    with pytest.raises(Problem):
        read_period({"since": "2026-11-29T12:00Z", "until": until})
