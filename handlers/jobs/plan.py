"""What a job will do: the steps of its kind, bound to its request."""

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from contracts.records import JobRecord
from contracts.requests import Request
from handlers.decisions import Decision
from handlers.results import Remember, RunCommand, StepResult


class PlannedStep(NamedTuple):
    """A step bound to its request. `decide` gives what it would do, and does nothing; None where it only answers."""

    name: str
    ensure: Callable[[JobRecord, RunCommand, Remember], Coroutine[Any, Any, StepResult]]
    decide: Callable[[JobRecord, RunCommand], Coroutine[Any, Any, Decision]] | None = None


class Plan(NamedTuple):
    """Resolved inputs, steps, and how to say in one line what came of them."""

    inputs: dict[str, Any]
    steps: tuple[PlannedStep, ...]
    summarize: Callable[[JobRecord], str]


class NoPlan(Exception):
    """This handler cannot do jobs of the kind."""


MakePlan = Callable[[JobRecord, Request], Plan]
