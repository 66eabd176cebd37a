"""The tenant that a job is about, where it has one already: its claims, and who may change it."""

from typing import TypeVar

from contracts.codes import Failure
from contracts.requests import AnyRequest, TenantRequest
from handlers.results import StepFailed
from handlers.tenants.access import FIRST_ROLE, lines_of
from handlers.tenants.accounts import find_proof, is_opened_by
from handlers.tenants.claims import Claims, Namespace, find_claims
from handlers.tenants.credentials import find_keepers
from handlers.tenants.managers import FindCaller, check_manager, find_manager, is_publisher
from handlers.tenants.spec import Spec, make_wanted
from handlers.workflow import Context

AnyTenantRequest = TypeVar("AnyTenantRequest", bound=TenantRequest)


async def find_tenant(context: Context[AnyTenantRequest]) -> Claims:
    """Its claims, at least one. Raises StepFailed, also for a caller who may not change it."""
    username = context.request.username
    claims = await find_claims(context.kubectl, username, username)
    if not claims.all:
        raise StepFailed(explain_no_tenant(username))
    await check_caller(context, claims)
    return claims


def explain_no_tenant(username: str, namespace: str | None = None) -> Failure:
    """Of the tenant, or of this namespace of it."""
    what = f"namespace {namespace}" if namespace else "namespace"
    return Failure("tenant_not_found", f"Tenant {username} has no {what} here.")


async def check_caller(context: Context[AnyRequest], claims: Claims) -> None:
    """Raises StepFailed where the caller may change its own tenants alone, and this is another's."""
    if is_bound(context):
        manager = await find_manager(claims, context.find_caller)
        check_manager(claims.username, manager, context.job.caller)


def is_bound(context: Context[AnyRequest]) -> bool:
    """Whether the caller has but its own tenants: a publisher, or a key with scopes that name no admin."""
    return not context.settings.tenants_shared and (context.job.bound or is_publisher(context.job.job_id))


def was_account_made(claims: Claims) -> bool | None:
    """Whether a job of ours once made the tenant's account; None where a claim of version 0.1.0 cannot say.

    Raises StepFailed.
    """
    specs = [claim.read_spec() for claim in claims.all]
    created = [spec.wanted.account_created if spec else None for spec in specs]
    return True if True in created else None if None in created else False


async def find_own_account(context: Context[AnyTenantRequest], claims: Claims) -> str | None:
    """The proof of the account where it is the one that a job of ours made; None where it is another, or not there.

    A claim without a proof, which an earlier version wrote, is believed. Raises StepFailed.
    """
    username, made = context.request.username, was_account_made(claims)
    proof = None if made is False else await find_proof(context.kubectl, username)
    if proof is None:
        return None
    proofs = {spec.account_proof for claim in claims.all if (spec := claim.read_spec())} - {None}
    if proof in proofs or (made and not proofs):
        return proof
    for job_id in find_keepers(claims):
        kept = await context.credentials_of(job_id, username).find()
        if kept and kept.password and await is_opened_by(context.kubectl, username, kept.password):
            return proof
    return None


async def may_touch_account(context: Context[AnyTenantRequest], claims: Claims) -> bool:
    """Whoever has but its own tenants has no account that was there before. Raises StepFailed."""
    return not is_bound(context) or await find_own_account(context, claims) is not None


def is_suspended(claims: Claims) -> bool:
    """Raises StepFailed."""
    return any(spec.wanted.suspended for claim in claims.all if (spec := claim.read_spec()))


def refuse_suspended(claims: Claims) -> None:
    """Raises StepFailed."""
    if is_suspended(claims):
        raise StepFailed(Failure("tenant_suspended", f"Tenant {claims.username} is suspended. Nothing was touched."))


async def find_specs(context: Context[AnyRequest], claims: Claims) -> dict[str, Spec]:
    """What each of the tenant's claims says, by its namespace. Raises StepFailed."""
    return {claim.name: await find_spec(claims, claim, context.find_caller) for claim in claims.all}


async def find_spec(claims: Claims, claim: Namespace, find_caller: FindCaller) -> Spec:
    """What a claim says. One of version 0.1.0 does not say it: then what is known of it. Raises StepFailed.

    Its operators and resources are left out: what they were to be is nowhere but in its job's record.
    """
    if spec := claim.read_spec():
        return spec
    known = {"username": claims.username, "namespace": claim.name, "role": FIRST_ROLE, "subjects": (claims.username,)}
    manager = await find_manager(claims, find_caller)
    wanted = make_wanted(known, managed_by=manager, adopted=True)
    return Spec(wanted=wanted, applied=lines_of(claim, claims.username))
