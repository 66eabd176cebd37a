"""What a step has decided, as a value: a plan shows it, a job acts on it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from contracts.records import Outcome
from handlers.commands.running import Command
from handlers.preflight.rights import Right
from handlers.results import StepResult


class Would(StrEnum):
    """What a step is about to do, in the words of a plan, and the outcome that is foreseen."""

    foreseen: Outcome

    def __new__(cls, words: str, foreseen: Outcome) -> "Would":
        member = str.__new__(cls, words)
        member._value_, member.foreseen = words, foreseen
        return member

    CREATE = "would create", Outcome.CREATED
    UPDATE = "would update", Outcome.UPDATED
    REMOVE = "would remove", Outcome.REMOVED
    APPLY = "would apply", Outcome.APPLIED  # whether that changes anything only the act can tell
    VERIFY = "would verify", Outcome.VERIFIED
    NOTHING = "unchanged", Outcome.UNCHANGED
    SKIP = "skipped", Outcome.SKIPPED

    @property
    def changes(self) -> bool:
        """Whether the cluster may be another one afterwards."""
        return self not in (Would.VERIFY, Would.NOTHING, Would.SKIP)


class Overtaken(Exception):
    """Somebody changed what was looked at before the step could act: it has to look again."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True)
class Left:
    """What a step leaves when it has done what it decided.

    It is in the record before the step acts: who is killed between its act and its record is followed by an attempt
    that finds nothing left to do, and would tell that nothing was done.
    """

    outcome: Outcome
    policy_diff: str | None = None

    @property
    def document(self) -> dict[str, Any]:
        """As the record keeps it."""
        return {"outcome": self.outcome.value, **({"policy_diff": self.policy_diff} if self.policy_diff else {})}

    @classmethod
    def read(cls, document: dict[str, Any] | None) -> Self | None:
        """None where there is none, or one of a later version."""
        found = document or {}
        outcome = next((one for one in Outcome if one == found.get("outcome")), None)
        return cls(outcome, found.get("policy_diff")) if outcome else None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a step would do, given what it saw. Nothing is done before `act`, which looks again at the end.

    `commands` are those that change the cluster, in order; a step may need fewer, where what it saw has settled
    meanwhile. `rights` are those that they need. `diff` is what they change, for a person; `changed` names the members
    of what is wanted of the tenant that are another then. `leaves` is for a step whose look cannot tell what an earlier
    attempt has done: None where there is nothing to do, UNCHANGED where nobody has done it. `try_out` asks the cluster
    what it would say, by dry runs, and gives the decision as it is known then. Both raise StepFailed; `act` raises
    Overtaken too.
    """

    would: Would
    act: Callable[[], Awaitable[StepResult]]
    commands: tuple[Command, ...] = ()
    manifest: str | None = None
    diff: str | None = None
    warnings: tuple[str, ...] = ()
    rights: tuple[Right, ...] = ()
    changed: tuple[str, ...] = ()
    leaves: Left | None = None
    try_out: "Callable[[Decision], Awaitable[Decision]] | None" = None

    async def tried(self) -> "Decision":
        """As it is known after a dry run, where there is one. Raises StepFailed where the cluster would refuse it."""
        return self if self.try_out is None else replace(await self.try_out(self), try_out=None)


def to_change(would: Would, act: Callable[[], Awaitable[StepResult]], commands: tuple[Command, ...]) -> Decision:
    """The decision of a step that acts where it has commands, and leaves what it would then."""
    return Decision(would, act, commands, leaves=Left(would.foreseen)) if commands else Decision(Would.NOTHING, act)


def settle(result: StepResult) -> Decision:
    """The decision of a step that is over by what it saw."""

    async def act() -> StepResult:
        return result

    would = Would.NOTHING if result.outcome is Outcome.UNCHANGED else Would.SKIP
    return Decision(would, act, warnings=result.warnings)
