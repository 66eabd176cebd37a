"""What a handler does for each kind is bound to the rows of the kinds."""

from contracts.kinds import KINDS
from contracts.names import QUERY_KINDS
from handlers.kinds import PLANS
from handlers.queries.lists import QUERIES


def test_every_kind_is_bound() -> None:
    assert PLANS.keys() == KINDS.keys()
    assert QUERIES.keys() | {"plan"} == set(QUERY_KINDS), "a plan is made of the kinds themselves"
