"""What a handler does for each kind is bound to the rows of the kinds."""

import pytest

from contracts.kinds import KINDS, repeat_request
from contracts.names import JOB_KINDS, QUERY_KINDS
from contracts.records import JobRecord
from handlers.kinds import PLANS, Surroundings, make_plan
from handlers.queries.lists import QUERIES
from handlers.settings import HandlerSettings
from handlers.tools.versions import ClusterFacts

NOW = "2026-01-31T12:00:00.000Z"


def test_every_kind_is_bound() -> None:
    assert PLANS.keys() == KINDS.keys()
    assert QUERIES.keys() | {"plan"} == set(QUERY_KINDS), "a plan is made of the kinds themselves"


async def find_nobody(job_id: str) -> str | None:
    return None


@pytest.mark.parametrize("kind", JOB_KINDS)
def test_the_row_names_the_steps_that_a_job_has(kind: str) -> None:
    """So that a document lists them before a handler has begun."""
    members = {"username": "alice"} | ({"caller": "billing"} if kind == "handover" else {})
    record = JobRecord("a", kind, "admin", "", NOW, NOW, request=members)
    around = Surroundings(HandlerSettings(), ClusterFacts(), find_nobody)
    plan = make_plan(around, record, repeat_request(kind, members))
    assert tuple(step.name for step in plan.steps) == KINDS[kind].steps
