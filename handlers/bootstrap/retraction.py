"""An account that this job has made, taken away again where the job ends for good: nobody would use it."""

from dataclasses import replace

from contracts.codes import CODES, Nature
from contracts.records import Outcome
from handlers.commands.secret import Secret
from handlers.results import StepFailed
from handlers.tenants.accounts import find_proof, remove_opened
from handlers.tenants.claims import find_claims
from handlers.tools.kubectl import Kubectl
from handlers.workflow import StepContext

_STEP = "create_account"


async def retract_account(context: StepContext, refusal: StepFailed) -> StepFailed:
    """The refusal as the job is to end with it. A tenant that has a namespace keeps its account.

    An earlier attempt may have died at any point of this, or before it could tell that it had made the account: its
    Secret says so. Raises StepFailed.
    """
    request, made = context.request, context.job.step(_STEP)
    kubectl = context.kubectl
    credentials = context.credentials_of(context.job.job_id, request.username)
    if CODES[refusal.failure.code].nature is not Nature.PERMANENT or not request.account:
        return refusal
    was_made = made is not None and made.outcome == Outcome.CREATED
    try:
        kept = await credentials.find()
    except StepFailed:
        if was_made or context.job.is_taken_up_again:
            raise
        return refusal  # which says more than that nobody can look whether there was an attempt before
    password = kept.password if kept else None
    if password is None and not was_made:
        return refusal
    claims = await find_claims(kubectl, request.username, request.namespace)
    was_there = None if claims.all else await _take_away(kubectl, request.username, password)
    if was_there is None:
        return refusal
    await credentials.drop()
    if not was_there and not was_made:
        return refusal  # there was a Secret alone
    message = f"{refusal.failure.message} The account that this job had made was taken away again."
    failure = replace(refusal.failure, message=message)
    return StepFailed(failure, refusal.deciding, step=refusal.step, undone=(_STEP,))


async def _take_away(kubectl: Kubectl, username: str, password: Secret | None) -> bool | None:
    """Whether there was one; None where one stays: the password does not open it, so it is somebody else's by now."""
    if password is not None and await remove_opened(kubectl, username, password) is not None:
        return True
    return False if await find_proof(kubectl, username) is None else None
