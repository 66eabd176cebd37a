"""Selectors choose as Kubernetes does."""

import pytest

from tests.simulator.apiserver.selectors import read_selector

LABELS = {"tier": "gold", "a/b": "1", "empty": ""}


@pytest.mark.parametrize(
    ("selector", "is_chosen"),
    [
        ("", True),
        ("tier=gold", True),
        ("tier==gold,a/b=1", True),
        ("tier=gold, a/b = 2", False),
        ("tier!=gold", False),
        ("other!=gold", True),
        ("tier in (gold, silver),a/b", True),
        ("tier in (silver)", False),
        ("tier notin (silver,bronze)", True),
        ("other notin (silver)", True),
        ("other", False),
        ("!other,tier", True),
        ("!tier", False),
        ("empty=", True),
        ("tier=", False),
    ],
)
def test_a_selector_chooses(selector: str, is_chosen: bool) -> None:
    assert all(term.matches(LABELS.get(term.name)) for term in read_selector(selector)) is is_chosen
