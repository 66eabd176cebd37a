"""The step create_account: the account exists, and the password of one that we made is in a Secret of its own."""

import asyncio
import base64
import random
import secrets
import string
from dataclasses import dataclass

from contracts.codes import Failure
from contracts.names import credentials_secret_name
from contracts.records import CredentialsSecret, Outcome
from handlers.bootstrap.accounts_file import UnreadableAccounts, proves
from handlers.bootstrap.refusals import refuse_early
from handlers.clock import monotonic
from handlers.commands.running import Completed
from handlers.commands.secret import Secret
from handlers.results import StepFailed, StepResult
from handlers.tenants.claims import find_namespace
from handlers.tools.everestctl import Everestctl
from handlers.tools.failures import explain
from handlers.tools.kubectl import AlreadyExists, Kubectl, at_once
from handlers.workflow import StepContext

_SYSTEM = "everest-system"
_LONGEST_PAUSE_SECONDS = 0.5  # a create takes a tenth of a second, and all of them write one object


async def ensure_account(context: StepContext) -> StepResult:
    """What is refused is refused first: who may not have the namespace or the role gets no account either."""
    settings, job = context.settings, context.job
    kubectl = Kubectl(context.run, settings.subprocess_timeout)
    everestctl = Everestctl(context.run, settings.subprocess_timeout)
    secret = CredentialsSecret(settings.everest_credentials_namespace, credentials_secret_name(job.job_id))
    await context.facts.read_versions(everestctl)
    await refuse_early(context, kubectl)
    if not context.request.account:
        return StepResult(Outcome.SKIPPED, None, await _warn_of_account(context, everestctl))
    account = _Account(kubectl, everestctl, context.request.username, secret)
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
    secret: CredentialsSecret

    async def exists(self) -> bool:
        return self.username in await self.everestctl.list_users()

    async def create(self, limit_seconds: float) -> StepResult:
        """All accounts are in one object: who loses its compare-and-set tries again, until the time limit."""
        password = await self._keep_password()
        ends_at = monotonic() + limit_seconds
        while True:
            completed = await self.everestctl.create_account(self.username, password)
            if await self.exists():
                if completed.exit_code == 0:
                    return StepResult(Outcome.CREATED, completed, credentials_secret=self.secret)
                return await self.settle(completed)
            failure = self._explain_absence(completed)
            if failure.code != "conflict" or monotonic() >= ends_at:
                raise StepFailed(failure, completed)
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))

    async def settle(self, deciding: Completed | None) -> StepResult:
        """Ours if the stored hash proves the Secret's password; else it is somebody's, and the Secret would lie."""
        password = await self._read_password()
        if password is not None:
            if await self._is_opened_by(password):
                return StepResult(Outcome.CREATED, deciding, credentials_secret=self.secret)
            await self.kubectl.delete("secret", self.secret.name, self.secret.namespace)
        note = f"Account {self.username} existed before this job; its password was not touched."
        return StepResult(Outcome.UNCHANGED, deciding, (note,))

    def _explain_absence(self, completed: Completed) -> Failure:
        if completed.exit_code != 0:
            return explain(completed)
        # A delete of another account writes back what it read before ours was there (pkg/kubernetes/accounts.go).
        return Failure("conflict", f"Account {self.username} was created and is gone: somebody deleted an account too.")

    async def _keep_password(self) -> Secret:
        """Puts a new password into its Secret before the account is made; an earlier attempt's is used again."""
        # Legal in every version of Everest, and it begins with a letter: never taken for a flag.
        password = Secret(secrets.choice(string.ascii_lowercase) + secrets.token_urlsafe(20))
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": self.secret.name, "namespace": self.secret.namespace},
            "stringData": {"username": self.username, "password": password.reveal()},
        }
        try:
            await self.kubectl.create(manifest, [password])
        except StepFailed as error:
            raise await self._explain_unkept(error) from None
        except AlreadyExists:
            kept = await self._read_password()
            if kept is None:
                reason = f"Secret {self.secret.name} in {self.secret.namespace} holds no password."
                raise StepFailed(Failure("conflict", reason, "Delete it: this service makes it.")) from None
            return kept
        return password

    async def _explain_unkept(self, error: StepFailed) -> StepFailed:
        """Nothing was made yet. A deployment's fault, and no race, where the Secrets' namespace is not there."""
        name = self.secret.namespace
        if error.failure.code != "conflict" or await find_namespace(self.kubectl, name) is not None:
            return error
        reason = f"The namespace {name} of EVEREST_CREDENTIALS_NAMESPACE is not there."
        hint = f"Make it: kubectl create namespace {name}"
        return StepFailed(Failure("credentials_namespace_missing", reason, hint), error.deciding)

    async def _read_password(self) -> Secret | None:
        found = await self.kubectl.get("secret", self.secret.name, self.secret.namespace)
        encoded = ((found or {}).get("data") or {}).get("password")
        return Secret(base64.b64decode(encoded).decode(errors="replace")) if encoded else None

    async def _is_opened_by(self, password: Secret) -> bool:
        async with at_once() as looks:
            accounts_look = looks.create_task(self.kubectl.get("secret", "everest-accounts", _SYSTEM))
            system_look = looks.create_task(self.kubectl.get("ns", _SYSTEM))
        accounts, system = accounts_look.result(), system_look.result()
        if accounts is None or system is None:
            raise StepFailed(Failure("everest_not_installed", "Everest's accounts or its namespace are not there."))
        users = base64.b64decode((accounts.get("data") or {}).get("users.yaml", "")).decode(errors="replace")
        try:
            return proves(users, system["metadata"]["uid"], self.username, password.reveal())
        except UnreadableAccounts as error:
            reason = f"Whose account {self.username} is cannot be told: {error}."
            raise StepFailed(Failure("command_failed", reason, "Look at the Secret everest-accounts.")) from None
