"""A workflow is a tuple of named steps. A step looks, decides, acts and looks again, and is safe to repeat.

What it decides is a value. A plan is the same code without the act, so that the two cannot differ.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Generic

from contracts.codes import Failure
from contracts.records import JobRecord
from contracts.requests import AnyRequest, BootstrapRequest
from handlers.decisions import Decision, Overtaken
from handlers.results import RunCommand, StepFailed, StepResult
from handlers.settings import HandlerSettings
from handlers.tenants.credentials import Credentials
from handlers.tenants.managers import FindCaller
from handlers.tools.everestctl import Everestctl
from handlers.tools.kubectl import Kubectl
from handlers.tools.versions import ClusterFacts

_MOST_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Context(Generic[AnyRequest]):
    """What a step is given. `run` starts a command under the job's lease and notes it in the step's record.

    `foresees`: for a plan. The steps before it, in `job`, are foreseen: what they would make is not there.
    """

    job: JobRecord
    request: AnyRequest  # effective: the handler's defaults are filled in
    run: RunCommand
    settings: HandlerSettings
    facts: ClusterFacts
    find_caller: FindCaller
    foresees: bool = False

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.run, self.settings.subprocess_timeout)

    @property
    def everestctl(self) -> Everestctl:
        return Everestctl(self.run, self.settings.subprocess_timeout)

    def credentials_of(self, job_id: str) -> Credentials:
        """The Secret in which a job keeps the password that it makes."""
        return Credentials(self.kubectl, self.settings.everest_credentials_namespace, job_id)


StepContext = Context[BootstrapRequest]
Decide = Callable[[StepContext], Awaitable[Decision]]


@dataclass(frozen=True, slots=True)
class Step(Generic[AnyRequest]):
    """One part of a workflow. A stopping handler cuts it while it looks, and gives it its grace once it changes.

    `retract` undoes what earlier steps of the job made, where this one is refused, and gives what is to be said.
    """

    name: str
    decide: Callable[[Context[AnyRequest]], Awaitable[Decision]]
    retract: Callable[[Context[AnyRequest], StepFailed], Awaitable[StepFailed]] | None = None

    async def ensure(self, context: Context[AnyRequest]) -> StepResult:
        """Decides and acts, and begins again where somebody was faster. Raises StepFailed."""
        what = ""
        for _ in range(_MOST_LOOKS):
            decision = await self._decide(context)
            try:
                return replace(await decision.act(), changed=decision.changed)
            except Overtaken as error:
                what = error.what
            except StepFailed as error:
                error.changed = decision.changed
                raise
        raise StepFailed(Failure("conflict", f"{what} changed each time that it was looked at."))

    async def _decide(self, context: Context[AnyRequest]) -> Decision:
        try:
            return await self.decide(context)
        except StepFailed as refusal:
            raise (await self.retract(context, refusal) if self.retract else refusal) from None
