"""The step add_namespace: the namespace is the tenant's, and managed by Everest with the wanted operators."""

import asyncio
from dataclasses import dataclass

from contracts.codes import Failure
from contracts.records import Outcome
from handlers.access import find_roles_with_access
from handlers.commands import Completed
from handlers.everestctl import Everestctl
from handlers.failures import explain
from handlers.kubectl import Kubectl
from handlers.ownership import Claim, claim_namespace, find_namespace
from handlers.workflow import StepContext, StepFailed, StepResult

# Operators by the name of their OLM package, which is the subscription's name (chart everest-db-namespace).
_PACKAGES = {
    "percona-server-mongodb-operator": "mongodb",
    "percona-postgresql-operator": "postgresql",
    "percona-xtradb-cluster-operator": "xtradb_cluster",
}
_SUBSCRIPTIONS = "subscriptions.operators.coreos.com"
_BINDING = "everest-bootstrap-handler"
_MOST_ACTS = 2  # the label can appear between a look and an act; more is another attempt's


@dataclass(frozen=True, slots=True)
class Installation:
    """What Everest has put into the namespace. `release` is the newest Helm release's status, `pending` its Secret."""

    is_managed: bool
    release: str | None
    pending: str | None
    present: frozenset[str]  # operators with a subscription
    installed: frozenset[str]  # of these, the ones that OLM has installed

    def has(self, wanted: frozenset[str]) -> bool:
        return self.is_managed and self.release == "deployed" and wanted <= self.installed


async def ensure_namespace(context: StepContext) -> StepResult:
    kubectl = Kubectl(context.run, context.settings.subprocess_timeout)
    request = context.request
    claim = await claim_namespace(kubectl, request, context.job.job_id)
    if context.settings.everest_tenant_role:
        user = await context.facts.read_user(kubectl)
        await kubectl.bind_role(request.namespace, _BINDING, context.settings.everest_tenant_role, user)
    warnings = await _warn_of_takeover(kubectl, request.namespace) if claim.was_taken_over else ()
    wanted = request.operators.wanted if request.operators else frozenset()
    if not wanted:
        return await _keep_plain(kubectl, context, claim, warnings)
    return await _install(kubectl, context, claim, wanted, warnings)


async def _keep_plain(kubectl: Kubectl, context: StepContext, claim: Claim, warnings: tuple[str, ...]) -> StepResult:
    """Everest refuses to install no operator, so the claimed namespace stays as it is."""
    if claim.namespace is not None and claim.namespace.is_managed:
        present = ", ".join(sorted((await _look(kubectl, context.request.namespace)).present))
        note = f"No operators were asked for; those that are installed stay: {present or 'none'}."
    else:
        note = (
            "No operators were asked for: the namespace is not managed by Everest yet. Submit again with an operator."
        )
    return StepResult(_outcome(context, claim, has_acted=False), claim.deciding, (*warnings, note))


async def _install(
    kubectl: Kubectl, context: StepContext, claim: Claim, wanted: frozenset[str], warnings: tuple[str, ...]
) -> StepResult:
    """Look, recover, act, look again. The exit code of everestctl says nothing that the cluster does not say better."""
    name = context.request.namespace
    everestctl = Everestctl(context.run, context.settings.subprocess_timeout)
    limit_seconds = context.settings.everest_namespace_timeout
    completed: Completed | None = None
    for act in range(_MOST_ACTS + 1):
        state = await _look(kubectl, name)
        if state.has(wanted):
            outcome = _outcome(context, claim, has_acted=completed is not None)
            return StepResult(outcome, completed or claim.deciding, (*warnings, *_warn_of_kept(state, wanted)))
        if act == _MOST_ACTS or (completed is not None and not _may_act_again(completed, state)):
            break
        if state.pending is not None:
            # Its everestctl is dead: this job holds the tenant. Only the newest, and what it installed is adopted.
            await kubectl.delete("secret", state.pending, name)
        if state.is_managed:
            completed = await everestctl.update_namespace(name, wanted | state.present, limit_seconds)
        else:
            completed = await everestctl.add_namespace(name, wanted, limit_seconds)
    assert completed is not None, "the loop acts before it ends"
    raise StepFailed(_explain_unfinished(completed, state, wanted), completed)


def _may_act_again(completed: Completed, state: Installation) -> bool:
    """Only when the state moved under us: a failure that would come again is the next attempt's, after a pause."""
    return completed.exit_code != 0 and not completed.timed_out and explain(completed).code in (
        "conflict",
        "operation_in_progress",
    )  # fmt: skip


def _explain_unfinished(completed: Completed, state: Installation, wanted: frozenset[str]) -> Failure:
    if completed.exit_code != 0:
        return explain(completed)
    missing = ", ".join(sorted(wanted - state.installed)) or "none"
    reason = f"everestctl said that it succeeded; release is {state.release}, operators not installed: {missing}."
    return Failure("operators_install_failed", reason)


async def _look(kubectl: Kubectl, name: str) -> Installation:
    namespace, releases, subscriptions = await asyncio.gather(
        find_namespace(kubectl, name),
        kubectl.list("secret", name, f"owner=helm,name={name}"),
        kubectl.list(_SUBSCRIPTIONS, name),
    )
    if namespace is None or namespace.is_terminating:
        raise StepFailed(Failure("namespace_terminating", f"Namespace {name} was deleted meanwhile."))
    newest = max(releases, key=lambda secret: int(secret["metadata"]["labels"].get("version", 0)), default=None)
    status = newest["metadata"]["labels"].get("status", "") if newest else None
    known = [(_PACKAGES.get(item["metadata"]["name"]), item) for item in subscriptions]
    return Installation(
        namespace.is_managed,
        status,
        newest["metadata"]["name"] if newest and status and status.startswith("pending") else None,
        frozenset(operator for operator, _ in known if operator),
        frozenset(operator for operator, item in known if operator and (item.get("status") or {}).get("installedCSV")),
    )


def _warn_of_kept(state: Installation, wanted: frozenset[str]) -> tuple[str, ...]:
    kept = ", ".join(sorted(state.present - wanted))
    return (f"Operators that were not asked for stay, because Everest does not remove them: {kept}.",) if kept else ()


async def _warn_of_takeover(kubectl: Kubectl, name: str) -> tuple[str, ...]:
    """The RBAC lines of whoever had the namespace still grant access: a person must know."""
    try:
        roles = await find_roles_with_access(kubectl, name)
    except StepFailed as error:
        return (f"Namespace {name} was taken over; who still has access could not be read: {error.failure.message}",)
    if not roles:
        return (f"Namespace {name} was taken over.",)
    return (f"Namespace {name} was taken over; these still have access to it by everest-rbac: {', '.join(roles)}.",)


def _outcome(context: StepContext, claim: Claim, *, has_acted: bool) -> Outcome:
    """Created by this job, in this attempt or an interrupted one; else changed, or found as wanted."""
    made_by_us = claim.namespace is None or (
        claim.namespace.job == context.job.job_id and not context.request.take_ownership
    )
    if made_by_us:
        return Outcome.CREATED
    return Outcome.UPDATED if has_acted or claim.deciding is not None else Outcome.UNCHANGED
