"""The step set_password: the new password is in a Secret first, is set until it is proved; then the old one goes."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from contracts.codes import Failure
from contracts.records import JobRecord, Outcome
from contracts.requests import PasswordRequest
from handlers.clock import monotonic
from handlers.commands.running import Command, Completed
from handlers.commands.secret import Secret
from handlers.decisions import Decision, Would
from handlers.preflight.rights import account_rights
from handlers.results import StepFailed, StepResult
from handlers.tenants.accounts import find_proof, is_opened_by
from handlers.tenants.claims import Claims, to_write_specs, write_specs
from handlers.tenants.credentials import Credentials, Kept, find_keepers, make_password
from handlers.tenants.existing import (
    find_own_account,
    find_specs,
    find_tenant,
    may_touch_account,
    was_account_made,
)
from handlers.tenants.spec import Spec
from handlers.tools.everestctl import Everestctl
from handlers.tools.failures import explain
from handlers.tools.kubectl import Kubectl
from handlers.workflow import Context, Step

_LONGEST_PAUSE_SECONDS = 0.5  # all accounts are in one object, and a write takes a tenth of a second

_REPLACED = (
    "Account {username} was made anew or given another password by somebody else since this service made it. "
    "With this password it is the tenant's again, and goes with it."
)

PasswordContext = Context[PasswordRequest]


@dataclass(frozen=True, slots=True)
class _Change:
    """`kept`: this job's Secret, where an earlier attempt has made it.

    `is_replaced`: a job of ours made the tenant's account, and this is another. `former`: the Secrets that are to go.
    """

    kubectl: Kubectl
    everestctl: Everestctl
    claims: Claims
    specs: dict[str, Spec]
    credentials: Credentials
    kept: Kept | None
    proof: str  # of the account with the password that it has
    is_replaced: bool
    is_set: bool  # what it holds opens the account
    former: tuple[Kept, ...]

    @property
    def username(self) -> str:
        return self.claims.username

    def to_announce(self) -> tuple[Command, ...]:
        """The claims name the Secret before it is made, and the former ones until they are gone."""
        jobs = (self.credentials.job_id, *(former.job_id for former in self.former))
        specs = {
            name: self._release(spec).with_credentials(tuple(dict.fromkeys((*jobs, *spec.credentials))))
            for name, spec in self.specs.items()
        }
        return to_write_specs(self.kubectl, self.claims, specs)

    def _release(self, spec: Spec) -> Spec:
        """An account that a suspension has disabled is the same with its new password, whatever that is."""
        taken = spec.suspension.account_proof if spec.suspension else None
        return spec.with_disabled(None) if taken == self.proof else spec

    def to_settle(self, claims: Claims, specs: dict[str, Spec], proof: str | None) -> tuple[Command, ...]:
        """The claims name this Secret alone, and the account as it is with its new password."""
        alone = (self.credentials.job_id,)
        settled = {name: _bind(spec, proof).with_credentials(alone).with_account(proof) for name, spec in specs.items()}
        return to_write_specs(self.kubectl, claims, settled)

    def to_set(self, password: Secret) -> Command:
        return self.everestctl.to_set_password(self.username, password)


def _bind(spec: Spec, proof: str | None) -> Spec:
    taken = spec.suspension.account_proof if spec.suspension else None
    return spec.with_disabled(proof) if taken is None else spec


async def decide_password(context: PasswordContext) -> Decision:
    change = await _look(context)
    password = (change.kept and change.kept.password) or make_password()
    settling = change.to_settle(change.claims, change.specs, change.proof)
    commands = (
        *(() if change.is_set else change.to_announce()),
        *(() if change.kept else (change.credentials.to_keep(password),)),
        *(() if change.is_set else (change.to_set(password),)),
        *(change.credentials.to_drop(former) for former in change.former),
        *settling,
    )
    return Decision(
        Would.UPDATE,
        partial(_act, context, change, password),
        commands,
        rights=account_rights(context.settings.everest_credentials_namespace),
        warnings=tuple(_warn(change)),
        changed=("password",),
    )


async def _look(context: PasswordContext) -> _Change:
    """Raises StepFailed where there is no such tenant, or it has no account."""
    kubectl, username = context.kubectl, context.request.username
    claims = await find_tenant(context)
    proof = await find_proof(kubectl, username)
    if proof is None:
        raise StepFailed(Failure("account_not_found", f"Tenant {username} has no account."))
    if not await may_touch_account(context, claims):
        reason = f"Account {username} was not made by this service: an administrator alone may give it a password."
        raise StepFailed(Failure("tenant_managed_by_another", reason))
    specs = await find_specs(context, claims)
    credentials = context.credentials_of(context.job.job_id, username)
    kept = await credentials.find()
    others = [job_id for job_id in find_keepers(claims) if job_id != context.job.job_id]
    former = [one for job_id in others if (one := await context.credentials_of(job_id, username).find())]
    is_replaced = was_account_made(claims) is True and await find_own_account(context, claims) is None
    is_set = bool(kept and kept.password and await is_opened_by(kubectl, username, kept.password))
    return _Change(
        kubectl, context.everestctl, claims, specs, credentials, kept, proof, is_replaced, is_set, tuple(former)
    )


async def _act(context: PasswordContext, change: _Change, password: Secret) -> StepResult:
    """The old Secret stays as long as its password may open the account."""
    deciding, kept = None, change.kept
    if kept is None or not change.is_set:
        await write_specs(change.kubectl, change.username, change.to_announce())
        kept = await change.credentials.keep(password)
        deciding = await _set(context, change, kept.password or password)
    for former in change.former:
        await change.kubectl.carry_out(change.credentials.to_drop(former))
    claims = await find_tenant(context)
    specs = await find_specs(context, claims)
    proof = await find_proof(change.kubectl, change.username) or change.proof
    await write_specs(change.kubectl, change.username, change.to_settle(claims, specs, proof))
    return StepResult(Outcome.UPDATED, deciding, tuple(_warn(change)), credentials_secret=kept.secret)


async def _set(context: PasswordContext, change: _Change, password: Secret) -> Completed:
    """Until the stored hash proves it: beside other writers everestctl exits 0 with the old one back (4 of 16 times).

    Raises StepFailed.
    """
    ends_at = monotonic() + context.settings.subprocess_timeout
    while True:
        completed = await change.everestctl.carry_out(change.to_set(password))
        if await is_opened_by(change.kubectl, change.username, password):
            return completed
        if await find_proof(change.kubectl, change.username) is None:
            await change.credentials.drop()
            reason = f"Account {change.username} was deleted meanwhile."
            raise StepFailed(Failure("account_not_found", reason), completed)
        failure = _explain(change.username, completed)
        if failure.code != "conflict" or monotonic() >= ends_at:
            raise StepFailed(failure, completed)
        await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))


def _explain(username: str, completed: Completed) -> Failure:
    if completed.exit_code != 0:
        return explain(completed)
    return Failure("conflict", f"The password of {username} was set and is the old one again: others write accounts.")


def _warn(change: _Change) -> Iterator[str]:
    if change.is_replaced:
        yield _REPLACED.format(username=change.username)
    if any(spec.wanted.suspended for spec in change.specs.values()):
        yield "The tenant is suspended: nobody logs in before it is resumed."


STEPS: tuple[Step[PasswordRequest], ...] = (Step("set_password", decide_password),)


def summarize(record: JobRecord, request: PasswordRequest) -> str:
    return f"Account {request.username} has a new password."
