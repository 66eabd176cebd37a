"""A workflow is a tuple of named steps. A step looks before it acts and is safe to repeat."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contracts.codes import Failure
from contracts.records import CredentialsSecret, JobRecord, Outcome
from contracts.requests import BootstrapRequest
from handlers.commands import Command, Completed
from handlers.settings import HandlerSettings

if TYPE_CHECKING:
    from handlers.facts import ClusterFacts  # whose tools raise what is declared here

RunCommand = Callable[[Command], Awaitable[Completed]]


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step is given. `run` starts a command under the job's lease and notes it in the step's record."""

    job: JobRecord
    request: BootstrapRequest  # effective: default operators are filled in
    run: RunCommand
    settings: HandlerSettings
    facts: "ClusterFacts"


@dataclass(frozen=True, slots=True)
class StepResult:
    """A step that ended well. `deciding` is the command that the record shows; None where none was needed.

    `data` is the answer of a query.
    """

    outcome: Outcome
    deciding: Completed | None = None
    warnings: tuple[str, ...] = ()
    credentials_secret: CredentialsSecret | None = None
    manifest_preview: str | None = None
    rbac_applied: bool | None = None
    rbac_enforced: bool | None = None
    data: Any = None


class StepFailed(Exception):
    """A step that failed; the nature of the failure's code says whether it is tried again.

    `step` is given where another step's name must be shown (a refused namespace before anything was made).
    """

    def __init__(self, failure: Failure, deciding: Completed | None = None, *, step: str | None = None) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.failure = failure
        self.deciding = deciding
        self.step = step


@dataclass(frozen=True, slots=True)
class Step:
    """`can_be_cut`: whether a stopping handler may end it at once. A Helm installation is given its grace."""

    name: str
    ensure: Callable[[StepContext], Awaitable[StepResult]]
    can_be_cut: bool = True
