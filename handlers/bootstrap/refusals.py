"""What is refused before anything is made: other people's namespaces, roles and tenants."""

from contracts.codes import Failure
from handlers.bootstrap.declaration import read_wanted_access
from handlers.bootstrap.namespace import check_operators
from handlers.decisions import Decision
from handlers.rbac.look import read_policy
from handlers.results import StepFailed
from handlers.tenants.access import decide_access
from handlers.tenants.claims import Claims, check_generation, check_owner, find_claims
from handlers.tenants.existing import check_caller, is_bound, refuse_suspended
from handlers.tools.kubectl import at_once
from handlers.workflow import Decide, StepContext


async def refuse_early(context: StepContext) -> Claims:
    """Each refusal is shown at the step that it is about. Gives the tenant's claims. Raises StepFailed."""
    request, settings = context.request, context.settings
    if request.namespace == settings.everest_credentials_namespace:
        reason = f"namespace: {request.namespace} holds the credentials of all tenants."
        raise StepFailed(Failure("invalid_request", reason), step="add_namespace")
    async with at_once() as looks:
        claims_look = looks.create_task(find_claims(context.kubectl, request.username, request.namespace))
        policy_look = looks.create_task(read_policy(context.kubectl))
    claims, (policy, _) = claims_look.result(), policy_look.result()
    await check_caller(context, claims)
    refuse_suspended(claims)
    try:
        check_owner(claims.namespace, request, may_adopt=not is_bound(context))
        check_generation(claims, request, context.job.job_id)
        await check_operators(context, claims.namespace)
    except StepFailed as refusal:
        raise StepFailed(refusal.failure, refusal.deciding, step="add_namespace") from None
    decide_access(claims, await read_wanted_access(context), policy, **read_permissions(context))
    return claims


def rechecked(decide: Decide) -> Decide:
    """The step of a job that may be taken up long after its first one, which is not run again.

    The tenant, or its namespace, may be another's by then, suspended, or declared anew.
    """

    async def decide_again(context: StepContext) -> Decision:
        if context.job.is_taken_up_again:
            try:
                await refuse_early(context)
            except StepFailed as refusal:
                raise StepFailed(refusal.failure, refusal.deciding) from None
        return await decide(context)

    return decide_again


def read_permissions(context: StepContext) -> dict[str, bool]:
    """What of other people's the job may have. Where no command binds roles, none is taken, whoever has it."""
    binds = bool((context.settings.everest_rbac_apply_cmd or "").strip())
    return {"take_ownership": context.request.take_ownership or not binds, "may_adopt": not is_bound(context)}
