"""The step add_namespace: the namespace is the tenant's, and managed by Everest with the wanted operators."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from contracts.codes import Failure
from contracts.records import Outcome
from contracts.requests import BootstrapRequest
from handlers.bootstrap.declaration import draft_spec
from handlers.bootstrap.installation import PACKAGES, SUBSCRIPTIONS, see_installation
from handlers.bootstrap.releases import (
    Release,
    check_abandoned,
    is_first_of,
    mark_of,
    newest_release,
    next_revision,
)
from handlers.commands.running import Command, Completed
from handlers.decisions import Decision, Left, Would
from handlers.preflight.rights import Right, claim_rights, tenant_rights
from handlers.rbac.enforcer import Enforcer
from handlers.rbac.look import read_policy
from handlers.results import StepFailed, StepResult
from handlers.tenants.access import role_of
from handlers.tenants.claims import (
    INSTALLING,
    ClaimDecision,
    Namespace,
    decide_claim,
    find_namespace,
    write_claim,
)
from handlers.tenants.existing import is_bound
from handlers.tools.compatibility import find_missing_charts
from handlers.tools.failures import explain
from handlers.tools.kubectl import Kubectl, Object, at_once
from handlers.workflow import StepContext

if TYPE_CHECKING:
    from contracts.answers import TenantOperator  # a handler starts without the answers of queries

BINDING = "everest-bootstrap-handler"  # of the handler, in each tenant's namespace
_OF_INSTALLER = ("operators_install_failed", "timed_out")
_WHERE = "See the installer's Job, its pods and OLM: kubectl get jobs,pods,subscriptions,installplans,events -n {}."
_MOST_ACTS = 2  # the label can appear between a look and an act; more is for the next attempt, after a pause


class Installation(NamedTuple):
    """What Everest has put into the namespace, where that is there. `newest`: of Helm's releases."""

    namespace: Namespace | None = None
    newest: Release | None = None
    present: frozenset[str] = frozenset()  # operators with a subscription
    installed: frozenset[str] = frozenset()  # of these, the ones that OLM has installed

    @property
    def is_managed(self) -> bool:
        return self.namespace is not None and self.namespace.is_managed

    @property
    def release(self) -> str | None:
        """Its status."""
        return self.newest.status if self.newest else None

    def has(self, wanted: frozenset[str]) -> bool:
        return self.is_managed and self.release == "deployed" and wanted <= self.installed


async def decide_namespace(context: StepContext) -> Decision:
    """Whose it is comes first: nothing is put into a namespace before the claim is in it."""
    kubectl, request = context.kubectl, context.request
    claim = await decide_claim(
        kubectl, request, context.job.job_id, partial(draft_spec, context), may_adopt=not is_bound(context)
    )
    state = await _look_ahead(context, claim)
    warnings = await _warn_of_takeover(context) if claim.may_have_been_taken else ()
    installing = await _decide_installation(context, state or Installation())
    commands = (
        *((claim.command,) if claim.command else ()),
        *((await _to_bind(context),) if claim.is_first and context.settings.everest_tenant_role else ()),
        *installing,
    )
    would = Would.NOTHING if not commands else Would.CREATE if claim.is_new else Would.UPDATE
    return Decision(
        would,
        partial(_act, context, claim, state, warnings),
        commands,
        diff=claim.diff,
        warnings=(*warnings, *_warn_of_operators(state, find_wanted(request))),
        rights=_find_rights(context, claim, installing),
        changed=claim.spec.changed_by(context.job.job_id),
        leaves=Left(Outcome.UPDATED) if installing and claim.outcome is Outcome.UNCHANGED else None,
        try_out=partial(_try_out, kubectl, claim),
    )


def _find_rights(context: StepContext, claim: ClaimDecision, installing: tuple[Command, ...]) -> tuple[Right, ...]:
    """A mark is a patch as well.

    With a role of the deployment the handler has those in the namespace when it has bound itself there.
    """
    of_claim = claim_rights("create" if claim.is_new else "patch") if claim.command or installing else ()
    if context.settings.everest_tenant_role or not installing:
        return of_claim
    return (*of_claim, *tenant_rights(context.request.namespace))


async def _try_out(kubectl: Kubectl, claim: ClaimDecision, decision: Decision) -> Decision:
    if claim.command:
        await kubectl.try_out(claim.command)
    return decision


async def _act(
    context: StepContext, claim: ClaimDecision, state: Installation | None, warnings: tuple[str, ...]
) -> StepResult:
    request = context.request
    deciding = await write_claim(context.kubectl, claim, request.namespace)
    if context.settings.everest_tenant_role:
        await _bind(context.kubectl, await _to_bind(context))
    if state is None:
        state = await _look(context.kubectl, request.namespace)
    completed, state = await _install(context, state)
    outcome = Outcome.UPDATED if completed and claim.outcome is Outcome.UNCHANGED else claim.outcome
    more = _warn_of_operators(state, find_wanted(request))
    return StepResult(outcome, completed or deciding, (*warnings, *more))


async def _look_ahead(context: StepContext, claim: ClaimDecision) -> Installation | None:
    """What is in the namespace; None where the handler may look into it only when it is bound there."""
    if claim.is_new:
        return Installation()
    try:
        return await _look(context.kubectl, context.request.namespace, claim.namespace)
    except StepFailed as error:
        if error.failure.code != "forbidden" or not context.settings.everest_tenant_role:
            raise
    return None


async def _to_bind(context: StepContext) -> Command:
    """The handler's rights in the tenant's namespace, from the role of the deployment."""
    user = await context.facts.read_user(context.kubectl)
    role = context.settings.everest_tenant_role or ""
    return context.kubectl.to_bind_role(context.request.namespace, BINDING, role, user)


async def _bind(kubectl: Kubectl, command: Command) -> None:
    """A policy that asks for the claim may not have seen yet that it was made: admission reads from a cache."""
    for pause_seconds in (0.2, 1.0, 3.0):
        try:
            await kubectl.bind_role(command)
        except StepFailed as error:
            if "ValidatingAdmissionPolicy" not in error.failure.message:
                raise
        else:
            return
        await asyncio.sleep(pause_seconds)
    await kubectl.bind_role(command)


def find_wanted(request: BootstrapRequest) -> frozenset[str]:
    return request.operators.wanted if request.operators else frozenset()


async def check_operators(context: StepContext, namespace: Namespace | None) -> None:
    """Raises StepFailed where wanted operators are not there yet and this everestctl cannot install them."""
    everestctl = context.everestctl
    failure = find_missing_charts(await context.facts.read_versions(everestctl))
    wanted = find_wanted(context.request)
    if failure is None or not wanted:
        return
    if namespace is not None and namespace.is_managed:
        operators = read_operators(await context.kubectl.list(SUBSCRIPTIONS, namespace.name))
        if wanted <= {operator["name"] for operator in operators if operator["installed"]}:
            return
    raise StepFailed(failure)


async def _decide_installation(context: StepContext, state: Installation) -> tuple[Command, ...]:
    """What makes the wanted operators be there; the last is everestctl's. Raises StepFailed."""
    name, wanted = context.request.namespace, find_wanted(context.request)
    if not wanted or state.has(wanted):
        return ()
    everestctl = context.everestctl
    if failure := find_missing_charts(await context.facts.read_versions(everestctl)):
        raise StepFailed(failure)
    limit_seconds = context.settings.everest_namespace_timeout
    first = (*_recover(context, state), *_to_mark(context, state))
    if state.is_managed:
        install = everestctl.to_update_namespace(name, wanted | state.present, limit_seconds)
    else:
        install = everestctl.to_add_namespace(name, wanted, limit_seconds)
    return (*first, replace(install, see_awaited=partial(see_installation, name, wanted)))


def _recover(context: StepContext, state: Installation) -> tuple[Command, ...]:
    """Only the newest release goes, where it is stuck; what it installed is adopted. Raises StepFailed."""
    newest, namespace = state.newest, state.namespace
    if newest is None or namespace is None or not newest.is_pending:
        return ()
    check_abandoned(newest, namespace, context.job.job_id, context.settings.everest_namespace_timeout)
    return (context.kubectl.to_delete("secret", newest.secret, namespace.name),)


def _to_mark(context: StepContext, state: Installation) -> tuple[Command, ...]:
    """Says of the release that is to be made that it is this job's, should the job be killed amid it."""
    job_id, revision = context.job.job_id, next_revision(state.newest)
    mark = mark_of(job_id, revision)
    if is_first_of(job_id, state.namespace, revision) or (state.namespace and state.namespace.installing == mark):
        return ()
    return (_to_write_mark(context, mark),)


def _to_write_mark(context: StepContext, mark: str | None) -> Command:
    return context.kubectl.to_patch("ns", context.request.namespace, {"metadata": {"annotations": {INSTALLING: mark}}})


async def _install(context: StepContext, state: Installation) -> tuple[Completed | None, Installation]:
    """Recover, act, look again. What everestctl exits with says nothing that the cluster does not say better."""
    name, wanted = context.request.namespace, find_wanted(context.request)
    everestctl = context.everestctl
    completed: Completed | None = None
    revision = 0
    for _ in range(_MOST_ACTS):
        commands = await _decide_installation(context, state)
        if not commands:
            return completed, state
        for first in commands[:-1]:
            await context.kubectl.carry_out(first)
        revision = next_revision(state.newest)
        completed = await everestctl.carry_out(commands[-1])
        state = await _look(context.kubectl, name)
        if not _was_overtaken(completed):
            break
    if completed and not _has_begun(completed, state, revision) and state.namespace and state.namespace.installing:
        await context.kubectl.carry_out(_to_write_mark(context, None))
    if completed is None or state.has(wanted):
        return completed, state
    raise StepFailed(_explain_unfinished(completed, state, wanted, name), completed)


def _has_begun(completed: Completed, state: Installation, revision: int) -> bool:
    """Whether everestctl has made that revision; where Helm refused, it is somebody else's."""
    was_refused = completed.exit_code != 0 and explain(completed).code == "operation_in_progress"
    return state.newest is not None and state.newest.revision >= revision and not was_refused


def _was_overtaken(completed: Completed) -> bool:
    """Whether the act was refused because the label came or went after the look. A second act may do then.

    An operation in progress is none of ours, and maybe alive: for the next attempt, after a pause.
    """
    return completed.exit_code != 0 and explain(completed).code == "conflict"


def _explain_unfinished(completed: Completed, state: Installation, wanted: frozenset[str], name: str) -> Failure:
    if completed.exit_code != 0:
        failure = explain(completed)
        return replace(failure, hint=_WHERE.format(name)) if failure.code in _OF_INSTALLER else failure
    missing = ", ".join(sorted(wanted - state.installed)) or "none"
    reason = f"everestctl said that it succeeded; the release is {state.release}, operators not installed: {missing}."
    return Failure("operators_install_failed", reason, _WHERE.format(name))


async def _look(kubectl: Kubectl, name: str, seen: Namespace | None = None) -> Installation:
    """`seen`: the namespace, where it was looked at a moment ago."""
    async with at_once() as looks:
        namespace_look = looks.create_task(_find_unless(seen, kubectl, name))
        releases_look = looks.create_task(kubectl.list("secret", name, f"owner=helm,name={name}"))
        subscriptions_look = looks.create_task(kubectl.list(SUBSCRIPTIONS, name))
    namespace = namespace_look.result()
    if namespace is None or namespace.is_terminating:
        raise StepFailed(Failure("namespace_terminating", f"Namespace {name} was deleted meanwhile."))
    operators = read_operators(subscriptions_look.result())
    return Installation(
        namespace,
        newest_release(releases_look.result()),
        frozenset(operator["name"] for operator in operators),
        frozenset(operator["name"] for operator in operators if operator["installed"]),
    )


async def _find_unless(seen: Namespace | None, kubectl: Kubectl, name: str) -> Namespace | None:
    return seen or await find_namespace(kubectl, name)


def read_operators(subscriptions: list[Object]) -> "list[TenantOperator]":
    """Everest's operators among the subscriptions, by the request's names."""
    operators: list[TenantOperator] = []
    for item in subscriptions:
        if name := PACKAGES.get(item["metadata"]["name"]):
            installed = (item.get("status") or {}).get("installedCSV") or ""
            version = installed.partition(".")[2] or None  # percona-postgresql-operator.v2.7.0
            operators.append({"name": name, "installed": bool(installed), "version": version})
    return sorted(operators, key=lambda operator: operator["name"])


def _note_no_operators(state: Installation) -> str:
    """Everest refuses to install no operator, so a plain namespace stays plain."""
    if state.is_managed:
        present = ", ".join(sorted(state.present)) or "none"
        unfinished = (
            "" if state.release == "deployed" else " Their installation is not finished: submit again with one."
        )
        return f"No operators were asked for; those that are there stay: {present}.{unfinished}"
    return "No operators were asked for: the namespace is not managed by Everest yet. Submit again with an operator."


def _warn_of_operators(state: Installation | None, wanted: frozenset[str]) -> tuple[str, ...]:
    if state is None:
        return ()
    if not wanted:
        return (_note_no_operators(state),)
    kept = ", ".join(sorted(state.present - wanted))
    return (f"Operators that were not asked for stay, because Everest does not remove them: {kept}.",) if kept else ()


async def _warn_of_takeover(context: StepContext) -> tuple[str, ...]:
    """The RBAC lines of whoever had the namespace still grant access: a person must know."""
    name, username = context.request.namespace, context.request.username
    policy, unseen = await read_policy(context.kubectl)
    if unseen:
        return (f"Who else has access to namespace {name} could not be read: {unseen}",)
    expected = {"admin", username, role_of(username)}
    subjects = sorted(Enforcer(policy.rules).find_subjects(name) - expected)
    if not subjects:
        return ()
    return (f"Namespace {name} was there before; these still have access to it: {', '.join(subjects)}.",)
