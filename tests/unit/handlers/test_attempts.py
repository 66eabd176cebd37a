"""What a step tells where an earlier attempt of it was killed between its act and its record."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contracts.codes import Failure
from contracts.records import JobRecord, Outcome, Status, StepRecord, decode_record, encode_record
from contracts.requests import BootstrapRequest
from handlers.commands.running import Command, Completed
from handlers.decisions import Decision, Left, Overtaken, Would
from handlers.results import Remember, StepResult
from handlers.settings import HandlerSettings
from handlers.tools.versions import ClusterFacts
from handlers.workflow import Step, StepContext

NOW = "2026-01-01T00:00:00Z"
RECORD = JobRecord("job-1", "bootstrap", "tests", "", NOW, NOW, Status.RUNNING)
DIFF = "-g, alice, role:alice\n"


class Killed(Exception):
    """Behind the act, before the record."""


async def run_nothing(_: Command) -> Completed:
    raise AssertionError("no command is needed")


async def find_nobody(_: str) -> None:
    """No record is kept."""


class Cluster:
    """Where one thing is to be taken away. `dies` or `is_overtaken` once it is."""

    def __init__(self, *, dies: bool = False, is_overtaken: bool = False) -> None:
        self.is_there = True
        self.dies = dies
        self.is_overtaken = is_overtaken
        self.record = RECORD.started("take", NOW)

    async def remember(self, found: dict[str, Any]) -> None:
        assert self.is_there, "before the act"
        self.record = decode_record(encode_record(self.record.remembering(found)))

    async def decide(self, context: StepContext) -> Decision:
        leaves = Left(Outcome.REMOVED, DIFF) if self.is_there else None
        return Decision(Would.REMOVE if self.is_there else Would.NOTHING, self._act, leaves=leaves)

    async def _act(self) -> StepResult:
        was_there, self.is_there = self.is_there, False
        if was_there and self.dies:
            raise Killed
        if was_there and self.is_overtaken:
            raise Overtaken("It")
        return StepResult(Outcome.REMOVED if was_there else Outcome.UNCHANGED)


async def attempt(cluster: Cluster, decide: Callable[[StepContext], Any] | None = None) -> StepResult:
    request = BootstrapRequest(username="alice", namespace="alice")
    remember: Remember = cluster.remember
    context = StepContext(
        cluster.record, request, run_nothing, HandlerSettings(), ClusterFacts(), find_nobody, remember
    )
    return await Step[BootstrapRequest]("take", decide or cluster.decide).ensure(context)


async def test_what_a_killed_attempt_did_is_told_by_the_next() -> None:
    cluster = Cluster(dies=True)
    with pytest.raises(Killed):
        await attempt(cluster)
    cluster.record = cluster.record.handed_back(NOW).claimed("another", NOW).started("take", NOW)
    told = await attempt(cluster)
    assert (told.outcome, told.policy_diff) == (Outcome.REMOVED, DIFF)


async def test_a_look_that_was_overtaken_tells_what_the_one_before_it_did() -> None:
    assert (await attempt(Cluster(is_overtaken=True))).outcome is Outcome.REMOVED


async def test_what_somebody_else_did_is_not_told_as_the_jobs() -> None:
    """Where no attempt was about to: it was gone at the first look."""
    cluster = Cluster()
    cluster.is_there = False
    assert (await attempt(cluster)).outcome is Outcome.UNCHANGED


async def test_a_step_that_sees_that_nobody_did_it_is_believed() -> None:
    async def keep(_: StepContext) -> Decision:
        async def act() -> StepResult:
            return StepResult(Outcome.UNCHANGED)

        return Decision(Would.NOTHING, act, leaves=Left(Outcome.UNCHANGED))

    cluster = Cluster()
    await cluster.remember(Left(Outcome.REMOVED).document)
    assert (await attempt(cluster, keep)).outcome is Outcome.UNCHANGED


@pytest.mark.parametrize("from_start", [False, True])
def test_a_step_that_failed_remembers_in_the_next_run(from_start: bool) -> None:
    failure = Failure("rbac_command_failed", "It did.")
    left = Left(Outcome.REMOVED, DIFF)
    step = StepRecord("take", NOW, NOW, Outcome.FAILED, error=failure, found=left.document)
    again = RECORD.failed(failure, NOW, step=step).reopened(NOW, from_start=from_start).claimed("another", NOW)
    assert Left.read(again.started("take", NOW).remembered_by("take")) == left
    assert again.started("other", NOW).remembered_by("other") is None


def test_what_a_later_version_remembers_is_left_alone() -> None:
    assert Left.read({"outcome": "evaporated"}) is None
    assert Left.read({"namespaces": []}) is None
    later = replace(StepRecord("take", NOW), found={"outcome": "removed", "since": 1})
    assert Left.read(later.found) == Left(Outcome.REMOVED)
