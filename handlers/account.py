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
from handlers.accounts_file import UnreadableAccounts, proves
from handlers.clock import monotonic
from handlers.commands import Completed
from handlers.everestctl import Everestctl
from handlers.failures import explain
from handlers.kubectl import AlreadyExists, Kubectl, at_once
from handlers.ownership import check_owner, find_namespace
from handlers.secret import Secret
from handlers.workflow import StepContext, StepFailed, StepResult

_SYSTEM = "everest-system"
_LONGEST_PAUSE_SECONDS = 0.5


async def ensure_account(context: StepContext) -> StepResult:
    """The namespace is looked at first: who may not have it must not get an account either."""
    tools = _Tools.of(context)
    warnings = await context.facts.check_versions(tools.everestctl)
    await _check_namespace(context, tools.kubectl)
    secret = CredentialsSecret(
        context.settings.everest_credentials_namespace, credentials_secret_name(context.job.job_id)
    )
    username = context.request.username
    if username in await tools.everestctl.list_users():
        return await _settle_existing(tools, username, secret, None, warnings)
    password = await _keep_password(tools.kubectl, username, secret)
    return await _create(tools, username, password, secret, context.settings.subprocess_timeout, warnings)


@dataclass(frozen=True, slots=True)
class _Tools:
    kubectl: Kubectl
    everestctl: Everestctl

    @classmethod
    def of(cls, context: StepContext) -> "_Tools":
        limit = context.settings.subprocess_timeout
        return cls(Kubectl(context.run, limit), Everestctl(context.run, limit))


async def _check_namespace(context: StepContext, kubectl: Kubectl) -> None:
    request = context.request
    if request.namespace == context.settings.everest_credentials_namespace:
        failure = Failure("invalid_request", f"namespace: {request.namespace} holds the credentials of all tenants.")
        raise StepFailed(failure, step="add_namespace")
    try:
        check_owner(await find_namespace(kubectl, request.namespace), request)
    except StepFailed as error:
        is_about_owner = error.deciding is None
        raise StepFailed(error.failure, error.deciding, step="add_namespace" if is_about_owner else None) from error


async def _keep_password(kubectl: Kubectl, username: str, secret: CredentialsSecret) -> Secret:
    """Puts a new password into its Secret before the account is made; an earlier attempt's is used again."""
    # Legal in every version of Everest, and it begins with a letter: never taken for a flag.
    password = Secret(secrets.choice(string.ascii_lowercase) + secrets.token_urlsafe(20))
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": secret.name, "namespace": secret.namespace},
        "stringData": {"username": username, "password": password.reveal()},
    }
    try:
        await kubectl.create(manifest, [password])
    except AlreadyExists:
        kept = await _read_password(kubectl, secret)
        if kept is None:
            reason = f"Secret {secret.name} in {secret.namespace} was there, and holds no password or is gone."
            raise StepFailed(Failure("conflict", reason, "Delete it if it stays: this service makes it.")) from None
        return kept
    return password


async def _read_password(kubectl: Kubectl, secret: CredentialsSecret) -> Secret | None:
    found = await kubectl.get("secret", secret.name, secret.namespace)
    encoded = ((found or {}).get("data") or {}).get("password")
    return Secret(base64.b64decode(encoded).decode(errors="replace")) if encoded else None


async def _create(
    tools: _Tools,
    username: str,
    password: Secret,
    secret: CredentialsSecret,
    limit_seconds: float,
    warnings: tuple[str, ...],
) -> StepResult:
    """All accounts are in one object: who loses its compare-and-set tries again, until the time limit."""
    ends_at = monotonic() + limit_seconds
    while True:
        completed = await tools.everestctl.create_account(username, password)
        if username in await tools.everestctl.list_users():
            if completed.exit_code == 0:
                return StepResult(Outcome.CREATED, completed, warnings, secret)
            return await _settle_existing(tools, username, secret, completed, warnings)
        if completed.exit_code == 0:
            failure = Failure(
                "conflict", f"Account {username} was created and is gone: somebody wrote the accounts too."
            )
        else:
            failure = explain(completed)
        if failure.code != "conflict" or monotonic() >= ends_at:
            raise StepFailed(failure, completed)
        await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))


async def _settle_existing(
    tools: _Tools, username: str, secret: CredentialsSecret, deciding: Completed | None, warnings: tuple[str, ...]
) -> StepResult:
    """Ours if the stored hash proves the Secret's password; else it is somebody's, and the Secret would lie."""
    password = await _read_password(tools.kubectl, secret)
    if password is not None:
        if await _is_password_of(tools.kubectl, username, password):
            return StepResult(Outcome.CREATED, deciding, warnings, secret)
        await tools.kubectl.delete("secret", secret.name, secret.namespace)
    note = f"Account {username} existed before this job; its password was not touched."
    return StepResult(Outcome.UNCHANGED, deciding, (*warnings, note))


async def _is_password_of(kubectl: Kubectl, username: str, password: Secret) -> bool:
    async with at_once() as looks:
        accounts_look = looks.create_task(kubectl.get("secret", "everest-accounts", _SYSTEM))
        system_look = looks.create_task(kubectl.get("ns", _SYSTEM))
    accounts, system = accounts_look.result(), system_look.result()
    if accounts is None or system is None:
        raise StepFailed(Failure("everest_not_installed", "Everest's accounts or its namespace are not there."))
    users = base64.b64decode((accounts.get("data") or {}).get("users.yaml", "")).decode(errors="replace")
    try:
        return proves(users, system["metadata"]["uid"], username, password.reveal())
    except UnreadableAccounts as error:
        reason = f"Whose account {username} is cannot be told: {error}."
        raise StepFailed(Failure("command_failed", reason, "Look at the Secret everest-accounts.")) from None
