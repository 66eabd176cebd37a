"""What a step has decided, as a value: a plan shows it, a job acts on it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from handlers.commands.running import Command
from handlers.results import StepResult


class Would(StrEnum):
    """What a step is about to do, in the words of a plan."""

    CREATE = "would create"
    UPDATE = "would update"
    REMOVE = "would remove"
    APPLY = "would apply"  # whether that changes anything only the act can tell
    VERIFY = "would verify"
    NOTHING = "unchanged"
    SKIP = "skipped"

    @property
    def changes(self) -> bool:
        """Whether the cluster may be another one afterwards."""
        return self in (Would.CREATE, Would.UPDATE, Would.REMOVE, Would.APPLY)


class Overtaken(Exception):
    """Somebody changed what was looked at before the step could act: it has to look again."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True)
class Decision:
    """What a step would do, given what it saw. Nothing is done before `act`, which looks again at the end.

    `commands` are those that change the cluster, in order; a step may need fewer, where what it saw has settled
    meanwhile. `diff` is what they change, for a person. `try_out` asks the cluster what it would say, by dry runs, and
    gives the decision as it is known then. Both raise StepFailed; `act` raises Overtaken too.
    """

    would: Would
    act: Callable[[], Awaitable[StepResult]]
    commands: tuple[Command, ...] = ()
    manifest: str | None = None
    diff: str | None = None
    warnings: tuple[str, ...] = ()
    try_out: "Callable[[Decision], Awaitable[Decision]] | None" = None

    async def tried(self) -> "Decision":
        """As it is known after a dry run, where there is one. Raises StepFailed where the cluster would refuse it."""
        return self if self.try_out is None else replace(await self.try_out(self), try_out=None)


def settle(would: Would, result: StepResult) -> Decision:
    """The decision of a step that is over by what it saw."""

    async def act() -> StepResult:
        return result

    return Decision(would, act, manifest=result.manifest_preview, diff=result.policy_diff, warnings=result.warnings)
