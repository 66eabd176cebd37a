"""The step remove_namespace: each namespace goes, or is let go of; whether it did is seen in the cluster alone."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from contracts.codes import Failure
from contracts.records import Outcome
from handlers.bootstrap.installation import SUBSCRIPTIONS
from handlers.bootstrap.namespace import BINDING
from handlers.bootstrap.quota import LIMITS_NAME, QUOTA_NAME
from handlers.clock import monotonic
from handlers.commands.running import Command, Completed
from handlers.decisions import Decision, Left, Overtaken, Would
from handlers.offboarding.check import check_namespace, refuse_kept
from handlers.offboarding.contents import Contents, find_leaving, look_into
from handlers.offboarding.tenancy import OffboardContext, Target, Tenancy, find_tenancy
from handlers.results import StepFailed, StepResult
from handlers.tenants.claims import Namespace, find_namespace, to_unclaim, write
from handlers.tenants.credentials import find_keepers
from handlers.tools.failures import explain
from handlers.tools.kubectl import Object

_TERMINATION_SECONDS = 300  # as everestctl waits itself (pkg/cli/namespaces/remove.go)
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
_ANEW = "Ask for the offboarding anew, or retry this job from its start: POST /jobs/{job_id}/retry?from=start."
LEFT = "left"  # in what the step found: the namespaces that should have gone and are nobody's any more
_UNCLAIMED = "The claim of namespace {} was taken off amid the job, so the namespace stays, as nobody's."
_BOUND = "The handler keeps its rights in namespace {0}: its RoleBinding {1} could not be deleted ({2})."
_OF_INSTALLER = ("operators_install_failed", "quota_rejected")


@dataclass(frozen=True, slots=True)
class _Part:
    """One namespace that is there still. `commands` make it go, or take off it what goes; none while it terminates."""

    target: Target
    namespace: Namespace
    contents: Contents | None
    commands: tuple[Command, ...]


async def decide_removal(context: OffboardContext) -> Decision:
    """The guard looks once more: what came since the first look is not lost either."""
    tenancy = await find_tenancy(context)
    _check_password(tenancy)
    by_uid = {namespace.uid: namespace for namespace in tenancy.leaving}
    parts = [
        await _look(context, target, by_uid[target.uid]) for target in tenancy.found.targets if target.uid in by_uid
    ]
    unclaimed = [
        target for target in tenancy.found.targets if target.uid not in by_uid and await _is_unclaimed(context, target)
    ]
    would = Would.UPDATE if all(part.target.keeps for part in parts) else Would.REMOVE
    return Decision(
        would if parts else Would.NOTHING,
        partial(_act, context, parts, tenancy.found.targets, unclaimed),
        tuple(command for part in parts for command in (*part.commands, *_to_unbind(context, part.target))),
        warnings=tuple(_warn(tenancy.found.targets)),
        leaves=Left(would.foreseen) if parts else None,
    )


async def _is_unclaimed(context: OffboardContext, target: Target) -> bool:
    """Whether it stands there and is nobody's: an earlier attempt has let go of it, or a person has."""
    found = await find_namespace(context.kubectl, target.name)
    return found is not None and (found.uid, found.owner) == (target.uid, None)


async def _look(context: OffboardContext, target: Target, namespace: Namespace) -> _Part:
    if namespace.is_terminating:
        return _Part(target, namespace, None, ())
    _check_mark(context, namespace)
    refuse_kept(namespace)
    contents = await check_namespace(context, target)
    return _Part(target, namespace, contents, tuple(_decide(context, target, namespace, contents)))


def _check_mark(context: OffboardContext, namespace: Namespace) -> None:
    """Raises StepFailed where a job has declared the tenant anew since its access was revoked: its rights are back."""
    if namespace.offboarded_by != context.job.job_id and not context.foresees:
        reason = f"Namespace {namespace.name} was declared anew since this job revoked the tenant's access."
        raise StepFailed(Failure("generation_conflict", reason, _ANEW))


def _check_password(tenancy: Tenancy) -> None:
    """Raises StepFailed where a job has set the password since: this one would not know the account, nor its Secret."""
    since = set(find_keepers(tenancy.claims)) - set(tenancy.found.keepers)
    if since and not tenancy.staying:
        reason = f"Account {tenancy.claims.username} was given another password since this job looked at it."
        raise StepFailed(Failure("generation_conflict", reason, _ANEW))


def _decide(context: OffboardContext, target: Target, namespace: Namespace, contents: Contents) -> Iterator[Command]:
    if namespace.is_managed or target.keeps:
        # First: everestctl's own hook Job must not be held to the tenant's quota.
        yield context.kubectl.to_delete("resourcequota", QUOTA_NAME, target.name)
        yield context.kubectl.to_delete("limitrange", LIMITS_NAME, target.name)
    if namespace.is_managed:
        everestctl = context.everestctl
        limit_seconds, forces = context.settings.everest_namespace_timeout, bool(contents.databases)
        yield everestctl.to_remove_namespace(target.name, limit_seconds, keeps=target.keeps, forces=forces)
    elif not target.keeps:
        yield context.kubectl.to_delete_exactly(f"/api/v1/namespaces/{target.name}", target.uid, namespace.version)
    if target.keeps:
        yield to_unclaim(context.kubectl, namespace)  # the last: until then the tenant's other steps know of it


async def _act(
    context: OffboardContext, parts: list[_Part], targets: tuple[Target, ...], unclaimed: list[Target]
) -> StepResult:
    deciding: Completed | None = None
    left = [target.name for target in unclaimed if not target.keeps]
    found = {LEFT: left} if left else None
    warnings = [*_warn(targets), *(_UNCLAIMED.format(name) for name in left)]
    for part in parts:
        if part.target.keeps and not part.namespace.is_terminating:
            deciding = await _release(context, part) or deciding
            if part.namespace.is_managed and await context.kubectl.list(SUBSCRIPTIONS, part.target.name):
                warnings.append(f"Operators stay in namespace {part.target.name}: Everest's release was not there.")
        else:
            deciding = await _remove(context, part) or deciding
    for target in (*unclaimed, *(part.target for part in parts if part.target.keeps)):
        warnings += await _unbind(context, target)
    if not parts:
        return StepResult(Outcome.UNCHANGED, None, tuple(warnings), found=found)
    outcome = Outcome.UPDATED if all(part.target.keeps for part in parts) else Outcome.REMOVED
    return StepResult(outcome, deciding, tuple(warnings), found=found)


def _to_unbind(context: OffboardContext, target: Target) -> tuple[Command, ...]:
    """Of what is let go of; with a namespace that goes its bindings go."""
    if not (context.settings.everest_tenant_role and target.keeps):
        return ()
    return (context.kubectl.to_delete("rolebinding", BINDING, target.name),)


async def _unbind(context: OffboardContext, target: Target) -> tuple[str, ...]:
    """Lets go of the handler's own rights there, which end with this; gives what is to be said where it cannot."""
    kubectl = context.kubectl
    try:
        for command in _to_unbind(context, target):
            if await kubectl.get("rolebinding", BINDING, target.name) is not None:
                await kubectl.carry_out(command)
    except StepFailed as error:
        return (_BOUND.format(target.name, BINDING, error.failure.message),)
    return ()


async def _remove(context: OffboardContext, part: _Part) -> Completed | None:
    """Until it is gone. Raises StepFailed, Overtaken."""
    completed: Completed | None = None
    for command in part.commands:
        completed = await _carry_out(context, part, command)
    found = await _find(context, part.target)
    if found is not None and "deletionTimestamp" not in found["metadata"]:
        raise await _explain(context, part, completed)
    await _wait_until_gone(context, part.target, found)
    return completed


async def _release(context: OffboardContext, part: _Part) -> Completed | None:
    """Takes off it what is not to stay. Raises StepFailed, Overtaken."""
    *commands, _ = part.commands
    completed: Completed | None = None
    for command in commands:
        completed = await _carry_out(context, part, command)
    namespace = await find_namespace(context.kubectl, part.target.name)
    if namespace is None or namespace.uid != part.target.uid:
        raise Overtaken(f"Namespace {part.target.name}")
    if namespace.is_managed:
        raise await _explain(context, part, completed)
    unclaimed = await write(context.kubectl, f"Namespace {part.target.name}", to_unclaim(context.kubectl, namespace))
    return completed if part.namespace.is_managed else unclaimed


async def _carry_out(context: OffboardContext, part: _Part, command: Command) -> Completed:
    """What everestctl exits with says nothing that the cluster does not say better."""
    if command.argv[0] == "everestctl":
        return await context.run(command)
    return await write(context.kubectl, f"Namespace {part.target.name}", command)


async def _explain(context: OffboardContext, part: _Part, completed: Completed | None) -> StepFailed | Overtaken:
    """Why a namespace is still there and does not even terminate."""
    name = part.target.name
    if leaving := await find_leaving(context.kubectl, name):
        held = ", ".join(f"{one['metadata']['name']} ({_finalizers(one)})" for one in leaving)
        return StepFailed(
            Failure("database_stuck", f"In namespace {name} these are deleted and do not go: {held}."), completed
        )
    contents = await look_into(context.kubectl, name)
    if contents.databases and not (part.contents and part.contents.databases):
        return Overtaken(f"Namespace {name}")  # one was made meanwhile: the guard looks again
    if completed is None or completed.exit_code == 0:
        reason = f"everestctl said that it succeeded, and namespace {name} is as it was."
        return StepFailed(Failure("removal_failed", reason), completed)
    failure = explain(completed)
    if failure.code == "conflict":
        return Overtaken(f"Namespace {name}")
    if failure.code in _OF_INSTALLER:
        hint = f"See its Job, and the Job's pods: kubectl get jobs,pods,events -n {name}"
        failure = replace(failure, code="removal_failed", hint=hint)
    return StepFailed(failure, completed)


async def _wait_until_gone(context: OffboardContext, target: Target, found: Object | None) -> None:
    """A terminating namespace can only be waited for."""
    limit_seconds = min(context.settings.everest_namespace_timeout, _TERMINATION_SECONDS)
    ends_at, pause_seconds = monotonic() + limit_seconds, _FIRST_PAUSE_SECONDS
    while found is not None:
        if monotonic() >= ends_at:
            raise StepFailed(_explain_stuck(target.name, found))
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
        found = await _find(context, target)


async def _find(context: OffboardContext, target: Target) -> Object | None:
    """None where it is gone, or another one is there under its name."""
    found = await context.kubectl.get("ns", target.name)
    return found if found is not None and found["metadata"].get("uid", "") == target.uid else None


def _explain_stuck(name: str, found: Object) -> Failure:
    conditions = (found.get("status") or {}).get("conditions") or []
    said = "; ".join(one["message"] for one in conditions if one.get("status") == "True" and one.get("message"))
    hint = (
        f"See what holds it: kubectl get namespace {name} -o yaml (status.conditions). When it is gone, retry the job."
    )
    return Failure("namespace_stuck", f"Namespace {name} stays terminating: {said or 'nothing says why'}.", hint)


def _finalizers(value: Object) -> str:
    return ", ".join(value["metadata"].get("finalizers") or ()) or "no finalizer"


def _warn(targets: tuple[Target, ...]) -> Iterator[str]:
    for target in targets:
        if target.keeps:
            yield f"Namespace {target.name} stays without Everest, quota and limit range, and is nobody's any more."
