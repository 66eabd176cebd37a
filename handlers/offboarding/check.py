"""The step check_tenant: whose it is and what would be lost, before anything is touched."""

from collections.abc import Iterator
from dataclasses import replace

from contracts.codes import Failure
from contracts.records import Outcome
from handlers.decisions import Decision, settle
from handlers.offboarding.contents import Contents, look_into, refuse_contents
from handlers.offboarding.tenancy import (
    CHECK,
    Found,
    OffboardContext,
    Target,
    Tenancy,
    find_all_claims,
    find_out,
)
from handlers.offboarding.withdrawal import find_withdrawal
from handlers.preflight.reviews import find_missing
from handlers.preflight.rights import removal_rights
from handlers.results import StepFailed, StepResult
from handlers.tenants.claims import Namespace
from handlers.tenants.existing import check_caller, is_bound


async def decide_check(context: OffboardContext) -> Decision:
    """A look and nothing else; whatever is refused is refused here."""
    claims = await find_all_claims(context)
    try:
        found = await find_out(context, claims)
    except StepFailed as refusal:
        found = _recall(context, refusal)
    await check_caller(context, claims)
    tenancy = Tenancy(claims, found)
    leaving = {claim.uid: claim for claim in tenancy.leaving}
    targets = [target for target in found.targets if target.uid in leaving]
    for target in targets:
        refuse_kept(leaving[target.uid])
    for target in targets:
        if not leaving[target.uid].is_terminating:
            await check_namespace(context, target)
    (await find_withdrawal(context, tenancy)).refuse_unsupported()
    result = StepResult(Outcome.UNCHANGED, None, tuple(_warn(context, found)), found=found.document)
    return settle(result)


def _recall(context: OffboardContext, refusal: StepFailed) -> Found:
    """What an earlier run of the job saw, whose namespaces went before it failed. Raises StepFailed.

    One that could not tell the account from another that was made since leaves it alone.
    """
    seen = context.job.found_before(CHECK)
    if seen is None or refusal.failure.code != "tenant_not_found":
        raise refusal
    found = Found.read(seen)
    return replace(found, is_account_ours=found.account_proof is not None)


def refuse_kept(namespace: Namespace) -> None:
    """Raises StepFailed."""
    if namespace.is_kept:
        reason = f"Namespace {namespace.name} is marked to be kept."
        hint = f"Take the mark off first: kubectl annotate namespace {namespace.name} everest-bootstrap/keep-"
        raise StepFailed(Failure("namespace_kept", reason, hint))


async def check_namespace(context: OffboardContext, target: Target) -> Contents:
    """What is in it. Raises StepFailed where it would be lost unconfirmed, or where a right is missing."""
    contents = await look_into(context.kubectl, target.name)
    is_confirmed = context.request.delete_databases and context.request.is_confirmed
    if not is_confirmed:
        refuse_contents(target.name, contents, keeps=target.keeps)
    forces = is_confirmed and bool(contents.databases)
    missing = await find_missing(context.kubectl, removal_rights(target.name, keeps=target.keeps, forces=forces))
    if missing:
        names = ", ".join(map(str, missing))
        raise StepFailed(
            Failure("forbidden", f"This handler may not: {names}.", "Grant it, as our chart does; --check names all.")
        )
    return contents


def _warn(context: OffboardContext, found: Found) -> Iterator[str]:
    name = context.request.namespace or context.request.username
    goes = "only an administrator can have it go" if is_bound(context) else f"with confirm={name} it goes too"
    for target in found.targets:
        if target.keeps and not context.request.keep_namespace:
            yield f"Namespace {target.name} was there before it was claimed, so it stays; {goes}."
