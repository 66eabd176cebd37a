"""The step create_account: the account exists, and the password of one that we made is in a Secret of its own."""

import asyncio
import random
from dataclasses import dataclass
from functools import partial

from contracts.codes import Failure
from contracts.records import Outcome
from handlers.bootstrap.declaration import PROOF, declare_account
from handlers.bootstrap.refusals import refuse_early
from handlers.clock import monotonic
from handlers.commands.running import Command, Completed
from handlers.commands.secret import Secret
from handlers.decisions import Decision, Would, settle
from handlers.preflight.rights import account_rights, claim_rights
from handlers.results import StepFailed, StepResult
from handlers.tenants.accounts import DISABLED, ENABLE, find_opened_by, is_enabled
from handlers.tenants.claims import Claims, to_write_specs, write_specs
from handlers.tenants.credentials import Credentials, Kept, make_password
from handlers.tenants.existing import find_specs
from handlers.tenants.spec import Spec
from handlers.tools.everestctl import Everestctl
from handlers.tools.failures import explain
from handlers.tools.kubectl import Kubectl
from handlers.workflow import StepContext

_LONGEST_PAUSE_SECONDS = 0.5  # a create takes a tenth of a second, and all of them write one object


async def decide_account(context: StepContext) -> Decision:
    """What is refused is refused first: who may not have the namespace or the role gets no account either."""
    settings = context.settings
    await context.facts.read_versions(context.everestctl)
    claims = await refuse_early(context)
    if not context.request.account:
        return settle(StepResult(Outcome.SKIPPED, None, await _warn_of_account(context)))
    username = context.request.username
    credentials = context.credentials_of(context.job.job_id, username)
    specs = await find_specs(context, claims)
    account = _Account(context.kubectl, context.everestctl, username, credentials, claims, specs)
    if await account.exists():
        warnings = (account.note, *await account.warn_if_disabled())
        return Decision(Would.NOTHING, partial(account.settle, None, warnings), warnings=warnings)
    password = make_password()
    act = partial(account.create, password, settings.subprocess_timeout)
    declaring = account.to_declare(None)
    commands = (credentials.to_keep(password), account.to_create(password), *declaring)
    rights = account_rights(settings.everest_credentials_namespace)
    return Decision(Would.CREATE, act, commands, rights=(*rights, *(claim_rights("patch") if declaring else ())))


async def _warn_of_account(context: StepContext) -> tuple[str, ...]:
    """One that is there stays, with its password: whoever has that can still log in."""
    username = context.request.username
    if username not in await context.everestctl.list_users():
        return ()
    return (f"Account {username} is there and stays; no account was asked for. Delete it if nobody is to log in so.",)


@dataclass(frozen=True, slots=True)
class _Account:
    """The tenant's account, and where its password is kept."""

    kubectl: Kubectl
    everestctl: Everestctl
    username: str
    credentials: Credentials
    claims: Claims
    specs: dict[str, Spec]  # what they say

    @property
    def note(self) -> str:
        """Said of one that is there."""
        return f"Account {self.username} existed before this job; its password was not touched."

    async def exists(self) -> bool:
        return self.username in await self.everestctl.list_users()

    async def warn_if_disabled(self) -> tuple[str, ...]:
        """A suspended tenant has been refused by now."""
        if await is_enabled(self.kubectl, self.username) is not False:
            return ()
        return (f"{DISABLED} {ENABLE}".format(username=self.username),)

    def to_create(self, password: Secret) -> Command:
        return self.everestctl.to_create_account(self.username, password)

    def to_declare(self, proof: str | None) -> tuple[Command, ...]:
        specs = declare_account(self.claims, self.specs, self.credentials.job_id, proof)
        return to_write_specs(self.kubectl, self.claims, specs)

    async def create(self, password: Secret, limit_seconds: float) -> StepResult:
        """All accounts are in one object: who loses its compare-and-set tries again, until the time limit.

        A password that an earlier attempt has kept is used instead of this one. The proof of what was made goes to the
        claim: taken now, it is of no account that somebody makes later. Exit code 0 proves nothing: of two creates at
        once both have it, and a delete of another account brings an old one back.
        """
        kept = await self.credentials.keep(password)
        password = kept.password or password
        ends_at = monotonic() + limit_seconds
        while True:
            completed = await self.everestctl.carry_out(self.to_create(password))
            proof, is_opened = await find_opened_by(self.kubectl, self.username, password)
            if proof is not None:
                if is_opened:
                    return await self._declare(completed, kept, proof)
                return await self.settle(completed)
            failure = self._explain_absence(completed)
            if failure.code != "conflict" or monotonic() >= ends_at:
                raise StepFailed(failure, completed)
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))

    async def settle(self, deciding: Completed | None, warnings: tuple[str, ...] = ()) -> StepResult:
        """Ours if the stored hash proves the Secret's password; else it is somebody's, and the Secret would lie.

        `warnings`: what was seen of somebody's, where it was looked at.
        """
        kept = await self.credentials.find()
        if kept and kept.password:
            proof, is_opened = await find_opened_by(self.kubectl, self.username, kept.password)
            if proof is not None and is_opened:
                return await self._declare(deciding, kept, proof)
            await self.credentials.drop()
        return StepResult(Outcome.UNCHANGED, deciding, warnings or (self.note, *await self.warn_if_disabled()))

    async def _declare(self, deciding: Completed | None, kept: Kept, proof: str) -> StepResult:
        """Raises Overtaken, StepFailed."""
        await write_specs(self.kubectl, self.username, self.to_declare(proof))
        return StepResult(Outcome.CREATED, deciding, credentials_secret=kept.secret, found={PROOF: proof})

    def _explain_absence(self, completed: Completed) -> Failure:
        if completed.exit_code != 0:
            return explain(completed)
        # A delete of another account writes back what it read before ours was there (pkg/kubernetes/accounts.go).
        return Failure("conflict", f"Account {self.username} was created and is gone: somebody deleted an account too.")
