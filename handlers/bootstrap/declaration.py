"""What a bootstrap declares in the claim: the request as it was resolved, and what later jobs must know."""

from collections.abc import Mapping

from contracts.codes import Failure
from contracts.records import Outcome
from handlers.rbac.policy import parse_lines, render_rule
from handlers.rbac.resources import resources_of
from handlers.rbac.roles import InvalidRole, UnknownRole, load_role
from handlers.results import StepFailed
from handlers.tenants.access import FIRST_ROLE, WantedAccess, lines_of, role_of
from handlers.tenants.accounts import find_proof
from handlers.tenants.claims import Claims
from handlers.tenants.credentials import find_keepers
from handlers.tenants.existing import refuse_suspended, was_account_made
from handlers.tenants.managers import find_manager
from handlers.tenants.spec import Spec, make_wanted
from handlers.workflow import StepContext

PROOF = "account_proof"  # of the account that create_account has made, in what it found


async def read_wanted_access(context: StepContext) -> WantedAccess:
    """The request's role, rendered for the Everest that was found. Raises StepFailed."""
    request = context.request
    everestctl = context.everestctl
    versions = await context.facts.read_versions(everestctl)
    holder, resources = role_of(request.username), resources_of(versions.client, versions.server or "")
    try:
        role = load_role(request.role or FIRST_ROLE, context.settings.everest_roles_dir)
    except (UnknownRole, InvalidRole) as error:
        raise StepFailed(Failure("invalid_request", f"role: {error}."), step="apply_rbac_policy") from None
    rendered = role.render(holder, request.namespace, resources)
    members = parse_lines(render_rule("g", subject, holder) for subject in request.subjects)
    return WantedAccess(request.username, (*rendered.rules, *members), rendered.left_out)


async def draft_spec(context: StepContext, claims: Claims) -> Spec:
    """What the claim is to say, given what the tenant's claims say already. Raises StepFailed."""
    refuse_suspended(claims)
    request, own = context.request, claims.own
    before = own.read_spec() if own else None
    specs = [spec for claim in claims.all if (spec := claim.read_spec())]
    made = context.job.step("create_account")
    is_new = made is not None and made.outcome is Outcome.CREATED
    wanted = make_wanted(
        request.lasting,
        managed_by=await find_manager(claims, context.find_caller) or context.job.caller,
        account_created=is_new or was_account_made(claims),
        adopted=before.wanted.adopted if before else claims.namespace is not None,
        suspended=before.wanted.suspended if before else False,
    )
    if before:
        spec = before.with_wanted(wanted, context.job.job_id)
    else:
        spec = Spec.first(wanted, context.job.job_id, applied=lines_of(own, request.username) if own else ())
    if before and (not is_new or before.proves_account_of(context.job.job_id)):
        return spec  # a repeat writes nothing
    if is_new:
        # Later, another job may have set the password.
        found = made.found.get(PROOF) if made and made.found and not before else None
        proof = found or await find_proof(context.kubectl, request.username)
        if before and proof in (None, before.account_proof):
            return spec  # it has, and its Secret is named; or this is a plan, in which `create_account` does that
        return spec.with_credentials((context.job.job_id,)).with_account(proof)
    proof = next((other.account_proof for other in specs if other.account_proof), None)
    return spec.with_credentials(tuple(find_keepers(claims))).with_account(proof)


def declare_account(claims: Claims, specs: Mapping[str, Spec], job_id: str, proof: str | None) -> dict[str, Spec]:
    """What the tenant's claims are to say when the job has made its account: the last that goes takes it along.

    What is wanted in the job's own namespace is declared by a later step, which knows its generation.
    """
    told = {
        name: spec.with_credentials(tuple(dict.fromkeys((job_id, *spec.credentials)))).with_account(proof)
        for name, spec in specs.items()
    }
    for claim in claims.others:
        spec = told[claim.name]
        told[claim.name] = spec.with_wanted(spec.wanted.model_copy(update={"account_created": True}), job_id)
    return told
