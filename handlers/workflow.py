"""A workflow is a tuple of named steps. A step looks, decides, acts and looks again, and is safe to repeat.

What it decides is a value. A plan is the same code without the act, so that the two cannot differ.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Generic, NamedTuple

from contracts.codes import Failure
from contracts.records import JobRecord, Outcome
from contracts.requests import AnyRequest, BootstrapRequest
from handlers.decisions import Decision, Left, Overtaken
from handlers.rbac.apply_command import ApplyCommand
from handlers.results import Remember, RunCommand, StepFailed, StepResult
from handlers.settings import HandlerSettings
from handlers.tenants.credentials import Credentials
from handlers.tenants.managers import FindCaller
from handlers.tools.everestctl import Everestctl
from handlers.tools.kubectl import Kubectl
from handlers.tools.versions import ClusterFacts

_MOST_LOOKS = 5


class Context(NamedTuple, Generic[AnyRequest]):
    """What a step is given. `run` starts a command under the job's lease and notes it in the step's record.

    `remember`: into the record, before anything is changed. None for a plan.
    """

    job: JobRecord
    request: AnyRequest  # effective: the handler's defaults are filled in
    run: RunCommand
    settings: HandlerSettings
    facts: ClusterFacts
    find_caller: FindCaller
    remember: Remember | None = None

    @property
    def foresees(self) -> bool:
        """For a plan: the steps before it, in `job`, are foreseen, and what they would make is not there."""
        return self.remember is None

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.run, self.settings.subprocess_timeout)

    @property
    def everestctl(self) -> Everestctl:
        return Everestctl(self.run, self.settings.subprocess_timeout)

    def read_apply_command(self) -> ApplyCommand | None:
        """None where none is set. Raises StepFailed."""
        return ApplyCommand.read(self.settings.everest_rbac_apply_cmd, self.run, self.settings.subprocess_timeout)

    def credentials_of(self, job_id: str, username: str) -> Credentials:
        """The Secret in which a job keeps the password that it makes for this account."""
        return Credentials(self.kubectl, self.settings.everest_credentials_namespace, job_id, username)


StepContext = Context[BootstrapRequest]
Decide = Callable[[StepContext], Awaitable[Decision]]


class Step(NamedTuple, Generic[AnyRequest]):
    """One part of a workflow. A stopping handler cuts it while it looks, and gives it its grace once it changes.

    `retract` undoes what the job has made so far, where this step is refused or fails, and gives what is to be said.
    """

    name: str
    decide: Callable[[Context[AnyRequest]], Awaitable[Decision]]
    retract: Callable[[Context[AnyRequest], StepFailed], Awaitable[StepFailed]] | None = None

    async def ensure(self, context: Context[AnyRequest]) -> StepResult:
        """Decides and acts, and begins again where somebody was faster. Raises StepFailed."""
        what, left = "", Left.read(context.job.remembered_by(self.name))
        for _ in range(_MOST_LOOKS):
            decision = await self._decide(context)
            earlier, left = left, left or await self._announce(context, decision)
            try:
                return _tell(decision, await decision.act(), earlier)
            except Overtaken as error:
                what = error.what
            except StepFailed as error:
                raise await self._retract(context, error, decision.changed) from None
        raise StepFailed(Failure("conflict", f"{what} changed each time that it was looked at."))

    async def _announce(self, context: Context[AnyRequest], decision: Decision) -> Left | None:
        """Has the record remember what the step is about to leave."""
        left = decision.leaves
        if left is None or left.outcome is Outcome.UNCHANGED or context.remember is None:
            return None
        await context.remember(left.document)
        return left

    async def _decide(self, context: Context[AnyRequest]) -> Decision:
        try:
            return await self.decide(context)
        except StepFailed as refusal:
            raise await self._retract(context, refusal) from None

    async def _retract(
        self, context: Context[AnyRequest], failure: StepFailed, changed: tuple[str, ...] = ()
    ) -> StepFailed:
        """What was decided to change is not there where it was taken back."""
        told = await self.retract(context, failure) if self.retract else failure
        told.changed = () if told.undone else changed
        return told


def _tell(decision: Decision, result: StepResult, earlier: Left | None) -> StepResult:
    """With what an earlier look was about to leave: the job has done that, and this one finds the rest or nothing."""
    result = replace(result, changed=decision.changed)
    if earlier is None:
        return result
    did_nothing = decision.leaves is not None and result.outcome is Outcome.UNCHANGED
    return replace(
        result,
        outcome=result.outcome if did_nothing else earlier.outcome,
        policy_diff=result.policy_diff or earlier.policy_diff,
    )
