"""What comes of a step: a result or a failure; and how a step runs its commands."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from contracts.codes import Failure
from contracts.records import CredentialsSecret, Outcome
from handlers.commands.running import Completed, RunCommand

__all__ = ["Remember", "RunCommand", "StepFailed", "StepResult"]

# Puts into the record what a later attempt of the step must know, before anything is changed.
Remember = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StepResult:
    """A step that ended well. `deciding` is the command that the record shows; None where none was needed.

    `found` is for later steps of the job, when what was seen is not there any more. `changed` is that of what was
    decided. `data` is the answer of a query.
    """

    outcome: Outcome
    deciding: Completed | None = None
    warnings: tuple[str, ...] = ()
    credentials_secret: CredentialsSecret | None = None
    manifest_preview: str | None = None
    rbac_applied: bool | None = None
    rbac_enforced: bool | None = None
    policy_diff: str | None = None
    usable: bool | None = None
    found: dict[str, Any] | None = None
    changed: tuple[str, ...] = ()
    data: Any = None


class StepFailed(Exception):
    """A step that failed; the nature of the failure's code says whether it is tried again.

    `step` is given where another step's name must be shown (a refused namespace before anything was made); `undone`
    are steps whose effects were taken back, so that the job does not tell of them and a retry begins with them.
    `changed` is that of what was decided, which may be there all the same.
    """

    changed: tuple[str, ...] = ()

    def __init__(
        self,
        failure: Failure,
        deciding: Completed | None = None,
        *,
        step: str | None = None,
        undone: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.undone = undone
        self.failure = failure
        self.deciding = deciding
        self.step = step
