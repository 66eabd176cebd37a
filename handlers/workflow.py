"""A workflow is a tuple of named steps. A step looks before it acts and is safe to repeat."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from contracts.records import JobRecord
from contracts.requests import BootstrapRequest
from handlers.results import RunCommand, StepResult
from handlers.settings import HandlerSettings
from handlers.tenants.managers import FindCaller
from handlers.tools.versions import ClusterFacts


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step is given. `run` starts a command under the job's lease and notes it in the step's record."""

    job: JobRecord
    request: BootstrapRequest  # effective: default operators are filled in
    run: RunCommand
    settings: HandlerSettings
    facts: ClusterFacts
    find_caller: FindCaller


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a workflow. A stopping handler cuts it while it looks, and gives it its grace once it changes."""

    name: str
    ensure: Callable[[StepContext], Awaitable[StepResult]]
