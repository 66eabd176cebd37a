"""The line that tells of an offboarding: what its steps did, not what they were to do."""

from typing import Any

import pytest

from contracts.records import JobRecord, Outcome, Status, StepRecord
from contracts.requests import OffboardRequest
from handlers.offboarding.steps import summarize

NOW = "2026-01-01T00:00:00Z"
REQUEST = OffboardRequest(username="tom")


def ended(outcome: Outcome, left: list[str] | None = None, **keeps: bool) -> str:
    """`keeps`: the namespaces that check_tenant found; `left`: those that remove_namespace did."""
    found: dict[str, Any] = {"namespaces": [{"name": name, "uid": "1", "keeps": kept} for name, kept in keeps.items()]}
    steps = (
        StepRecord("check_tenant", NOW, NOW, Outcome.UNCHANGED, found=found),
        StepRecord("revoke_access", NOW, NOW, Outcome.REMOVED),
        StepRecord("remove_namespace", NOW, NOW, outcome, found={"left": left} if left else None),
        StepRecord("delete_account", NOW, NOW, Outcome.REMOVED),
    )
    record = JobRecord("job-1", "offboard", "tests", "", NOW, NOW, Status.RUNNING, steps=steps)
    return summarize(record, REQUEST)


@pytest.mark.parametrize(
    ("outcome", "left", "keeps", "told"),
    [
        (Outcome.REMOVED, None, {"tom": False}, "namespace tom removed"),
        (Outcome.UPDATED, None, {"tom": True}, "namespace tom released"),
        (Outcome.REMOVED, None, {"a": False, "b": True}, "namespace a removed; namespace b released"),
        (Outcome.UNCHANGED, None, {"tom": False}, "namespace tom not the tenant's any more"),
        (Outcome.UNCHANGED, ["tom"], {"tom": False}, "namespace tom left, for its claim was taken off"),
        (
            Outcome.REMOVED,
            ["b"],
            {"a": False, "b": False},
            "namespace a removed; namespace b left, for its claim was taken off",
        ),
    ],
)
def test_namespaces_are_told_of_as_they_were_left(
    outcome: Outcome, left: list[str] | None, keeps: dict[str, bool], told: str
) -> None:
    assert ended(outcome, left, **keeps) == f"Tenant tom: access revoked; {told}; account removed."
