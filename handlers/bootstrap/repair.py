"""The repair of a tenant: each step of a bootstrap, with what the claims say, where the cluster differs from that."""

from collections.abc import Iterable, Sequence
from functools import partial

from contracts.codes import Failure
from contracts.records import JobRecord, Outcome
from contracts.requests import BootstrapRequest, RepairRequest
from handlers.decisions import Decision, Left, Would
from handlers.results import StepFailed, StepResult
from handlers.tenants.claims import Claims, Namespace, find_claims
from handlers.tenants.existing import explain_no_tenant
from handlers.workflow import Context, Step, StepContext

RepairContext = Context[RepairRequest]

_OF_THE_TENANT = ("create_account",)  # which it has once, however many its namespaces are
_AGAIN = "Submit what is wanted there (PUT /tenants/{username}/namespaces/{namespace}): then the claim says it."


def to_repair(step: Step[BootstrapRequest]) -> Step[RepairRequest]:
    """The step for every namespace that is to be repaired, one after the other."""
    return Step(step.name, partial(_decide, step))


def summarize(record: JobRecord, request: RepairRequest) -> str:
    """One line: `Tenant alice: apply_resource_quota applied.`"""
    done = [
        f"{step.name} {step.outcome}"
        for step in record.steps
        if step.outcome not in (Outcome.UNCHANGED, Outcome.SKIPPED, Outcome.VERIFIED, Outcome.UNVERIFIED)
    ]
    return f"Tenant {request.username}: {'; '.join(done) or 'nothing differed'}."


async def _decide(step: Step[BootstrapRequest], context: RepairContext) -> Decision:
    """Without the act where nothing differs. What only an act could tell is tried out before.

    That of an account tells of the Secret which an earlier attempt has made for it.
    """
    requests = await _read_requests(context)
    if step.name in _OF_THE_TENANT:
        return await step.decide(_narrow(context, next((one for one in requests if one.account), requests[0])))
    decisions = [await step.decide(_narrow(context, request)) for request in requests]
    return _join([await one.tried() if one.would is Would.APPLY else one for one in decisions])


async def _read_requests(context: RepairContext) -> list[BootstrapRequest]:
    """What the claims want. Raises StepFailed."""
    username, name = context.request.username, context.request.namespace
    chosen = _choose(await find_claims(context.kubectl, username, name or username), name)
    for claim in chosen:
        _refuse_leaving(claim)
    return [_read_request(claim) for claim in chosen]


def _choose(claims: Claims, name: str | None) -> Sequence[Namespace]:
    """Raises StepFailed."""
    chosen = claims.all if name is None else (claims.own,) if claims.own else ()
    if not chosen:
        raise StepFailed(explain_no_tenant(claims.username, name))
    return chosen


def _refuse_leaving(claim: Namespace) -> None:
    """Raises StepFailed where an offboarding has begun: what it took away nobody has asked for again."""
    if claim.offboarded_by is not None:
        reason = f"The job {claim.offboarded_by} has begun to take namespace {claim.name} away. Nothing was touched."
        raise StepFailed(Failure("offboarding_unfinished", reason))


def _read_request(claim: Namespace) -> BootstrapRequest:
    """Raises StepFailed where the claim does not say what is wanted, as those of version 0.1.0."""
    spec = claim.read_spec()
    request = spec.wanted.read_request() if spec else None
    if request is None:
        reason = f"The claim of namespace {claim.name} does not say what is wanted there."
        raise StepFailed(Failure("invalid_request", reason, _AGAIN.format(username=claim.owner, namespace=claim.name)))
    return request


def _narrow(context: RepairContext, request: BootstrapRequest) -> StepContext:
    return Context(
        context.job, request, context.run, context.settings, context.facts, context.find_caller, context.remember
    )


def _join(decisions: Sequence[Decision]) -> Decision:
    """One decision for all namespaces."""
    changing = [one for one in decisions if one.would.changes]
    said = {one.would for one in changing or decisions}
    return Decision(
        said.pop() if len(said) == 1 else Would.UPDATE if changing else Would.NOTHING,
        partial(_act, decisions),
        tuple(command for one in changing for command in one.commands),
        "---\n".join(one.manifest for one in changing if one.manifest) or None,
        "".join(one.diff for one in changing if one.diff) or None,
        _merge(one.warnings for one in decisions),
        tuple(dict.fromkeys(right for one in changing for right in one.rights)),
        tuple(dict.fromkeys(name for one in decisions for name in one.changed)),
        _join_left([one.leaves or Left(one.would.foreseen) for one in changing]),
        partial(_try_out, decisions),
    )


def _join_left(parts: Sequence[Left]) -> Left | None:
    outcomes = {part.outcome for part in parts}
    if not outcomes:
        return None
    outcome = outcomes.pop() if len(outcomes) == 1 else Outcome.UPDATED
    return Left(outcome, "".join(part.policy_diff for part in parts if part.policy_diff))


async def _try_out(decisions: Sequence[Decision], _: Decision) -> Decision:
    return _join([await one.tried() if one.would.changes else one for one in decisions])


async def _act(decisions: Sequence[Decision]) -> StepResult:
    results = [await (_leave(one) if one.would is Would.NOTHING else one.act()) for one in decisions]
    outcomes = {result.outcome for result in results}
    changed = next((result for result in results if result.outcome is not Outcome.UNCHANGED), results[0])
    return StepResult(
        changed.outcome if len(outcomes - {Outcome.UNCHANGED}) < 2 else Outcome.UPDATED,
        next((result.deciding for result in reversed(results) if result.deciding), None),
        _merge(result.warnings for result in results),
        next((result.credentials_secret for result in results if result.credentials_secret), None),
        "---\n".join(result.manifest_preview for result in results if result.manifest_preview) or None,
        rbac_applied=_all(result.rbac_applied for result in results),
        rbac_enforced=_all(result.rbac_enforced for result in results),
        policy_diff="".join(result.policy_diff for result in results if result.policy_diff) or None,
        usable=_all(result.usable for result in results),
    )


async def _leave(decision: Decision) -> StepResult:
    return StepResult(Outcome.UNCHANGED, None, decision.warnings)


def _merge(warnings: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for some in warnings for text in some))


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    """Of every namespace; None where one does not tell."""
    known = list(verdicts)
    return False if False in known else None if None in known else True
