"""The step create_account: the account exists, and the password of one that we made is in a Secret of its own."""

import asyncio
import random
from dataclasses import dataclass

from contracts.codes import Failure
from contracts.records import Outcome
from handlers.bootstrap.refusals import refuse_early
from handlers.bootstrap.retraction import retract_account
from handlers.clock import monotonic
from handlers.commands.running import Completed
from handlers.results import StepFailed, StepResult
from handlers.tenants.accounts import is_opened_by
from handlers.tenants.credentials import Credentials
from handlers.tools.everestctl import Everestctl
from handlers.tools.failures import explain
from handlers.tools.kubectl import Kubectl
from handlers.workflow import StepContext

_LONGEST_PAUSE_SECONDS = 0.5  # a create takes a tenth of a second, and all of them write one object


async def ensure_account(context: StepContext) -> StepResult:
    """What is refused is refused first: who may not have the namespace or the role gets no account either."""
    settings = context.settings
    kubectl = Kubectl(context.run, settings.subprocess_timeout)
    everestctl = Everestctl(context.run, settings.subprocess_timeout)
    await context.facts.read_versions(everestctl)
    try:
        await refuse_early(context, kubectl)
    except StepFailed as refusal:
        raise await retract_account(context, kubectl, refusal) from None
    if not context.request.account:
        return StepResult(Outcome.SKIPPED, None, await _warn_of_account(context, everestctl))
    credentials = Credentials(kubectl, settings.everest_credentials_namespace, context.job.job_id)
    account = _Account(kubectl, everestctl, context.request.username, credentials)
    if await account.exists():
        return await account.settle(None)
    return await account.create(settings.subprocess_timeout)


async def _warn_of_account(context: StepContext, everestctl: Everestctl) -> tuple[str, ...]:
    """One that is there stays, with its password: whoever has that can still log in."""
    username = context.request.username
    if username not in await everestctl.list_users():
        return ()
    return (f"Account {username} is there and stays; no account was asked for. Delete it if nobody is to log in so.",)


@dataclass(frozen=True, slots=True)
class _Account:
    """The tenant's account, and where its password is kept."""

    kubectl: Kubectl
    everestctl: Everestctl
    username: str
    credentials: Credentials

    async def exists(self) -> bool:
        return self.username in await self.everestctl.list_users()

    async def create(self, limit_seconds: float) -> StepResult:
        """All accounts are in one object: who loses its compare-and-set tries again, until the time limit."""
        password = await self.credentials.keep(self.username)
        ends_at = monotonic() + limit_seconds
        while True:
            completed = await self.everestctl.create_account(self.username, password)
            if await self.exists():
                if completed.exit_code == 0:
                    return StepResult(Outcome.CREATED, completed, credentials_secret=self.credentials.secret)
                return await self.settle(completed)
            failure = self._explain_absence(completed)
            if failure.code != "conflict" or monotonic() >= ends_at:
                raise StepFailed(failure, completed)
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))

    async def settle(self, deciding: Completed | None) -> StepResult:
        """Ours if the stored hash proves the Secret's password; else it is somebody's, and the Secret would lie."""
        password = await self.credentials.read()
        if password is not None:
            if await is_opened_by(self.kubectl, self.username, password):
                return StepResult(Outcome.CREATED, deciding, credentials_secret=self.credentials.secret)
            await self.credentials.drop()
        note = f"Account {self.username} existed before this job; its password was not touched."
        return StepResult(Outcome.UNCHANGED, deciding, (note,))

    def _explain_absence(self, completed: Completed) -> Failure:
        if completed.exit_code != 0:
            return explain(completed)
        # A delete of another account writes back what it read before ours was there (pkg/kubernetes/accounts.go).
        return Failure("conflict", f"Account {self.username} was created and is gone: somebody deleted an account too.")
