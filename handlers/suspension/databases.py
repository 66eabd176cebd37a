"""The steps pause_databases and resume_databases: those that ran are written down, paused, and started again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from contracts.codes import Failure
from contracts.records import Outcome
from contracts.requests import ResumeRequest, SuspendRequest
from handlers.commands.running import Command
from handlers.decisions import Decision, Left, Overtaken, Would, settle, to_change
from handlers.offboarding.contents import DATABASES
from handlers.preflight.reviews import find_missing
from handlers.preflight.rights import database_rights
from handlers.results import StepFailed, StepResult
from handlers.tenants.claims import Claims, Namespace, to_write_specs, write_all, write_specs
from handlers.tenants.existing import AnyTenantRequest, find_specs, find_tenant
from handlers.tenants.spec import Spec, Suspension
from handlers.tools.kubectl import Kubectl, Object
from handlers.workflow import Context


@dataclass(frozen=True, slots=True)
class _Database:
    namespace: str
    name: str
    uid: str
    is_paused: bool

    @classmethod
    def of(cls, value: Object) -> "_Database":
        metadata = value["metadata"]
        is_paused = (value.get("spec") or {}).get("paused") is True
        return cls(metadata["namespace"], metadata["name"], metadata["uid"], is_paused)

    @property
    def shown(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class _Look:
    claims: Claims
    specs: dict[str, Spec]
    databases: tuple[_Database, ...]

    def paused_in(self, namespace: str) -> Mapping[str, str]:
        """What a suspension has written down."""
        suspension = self.specs[namespace].suspension
        return suspension.paused if suspension else {}

    @property
    def recorded(self) -> tuple[_Database, ...]:
        """Those that are written down and still there: another one of such a name is not."""
        return tuple(one for one in self.databases if self.paused_in(one.namespace).get(one.name) == one.uid)


async def check_rights(kubectl: Kubectl, claims: Claims) -> None:
    """Raises StepFailed, with the names of the rights, where databases could not be paused or started."""
    missing = await find_missing(kubectl, [right for claim in claims.all for right in database_rights(claim.name)])
    if missing:
        reason = f"This handler may not {', nor '.join(map(str, missing))}. Nothing was touched."
        raise StepFailed(Failure("forbidden", reason))


async def decide_pause(context: Context[SuspendRequest]) -> Decision:
    """A database that is paused already is not ours to start again."""
    if not context.request.pause_databases:
        return settle(StepResult(Outcome.SKIPPED))
    kubectl = context.kubectl
    look = await _look(context)
    running = [database for database in look.databases if not database.is_paused]
    specs = {name: _note(spec, name, running) for name, spec in look.specs.items()}
    marks = to_write_specs(kubectl, look.claims, specs)
    patches = tuple(_to_pause(kubectl, database, paused=True) for database in running)
    return to_change(Would.UPDATE, partial(_pause, context, marks, patches), (*marks, *patches))


async def _pause(
    context: Context[SuspendRequest], marks: tuple[Command, ...], patches: tuple[Command, ...]
) -> StepResult:
    """The names are written down first."""
    deciding = await write_specs(context.kubectl, context.request.username, marks)
    deciding = await write_all(context.kubectl, "A database", patches) or deciding
    after = await _look(context) if patches else None
    if after and not all(database.is_paused for database in after.databases):
        raise Overtaken(f"A database of {context.request.username}")
    return StepResult(Outcome.UPDATED if deciding else Outcome.UNCHANGED, deciding)


async def decide_start(context: Context[ResumeRequest]) -> Decision:
    """Exactly those that the suspension paused."""
    kubectl = context.kubectl
    claims = await find_tenant(context)
    specs = await find_specs(context, claims)
    if not any(spec.suspension for spec in specs.values()):
        return settle(StepResult(Outcome.UNCHANGED))
    look = _Look(claims, specs, await _list(kubectl, claims.all))
    patches = tuple(_to_pause(kubectl, database, paused=False) for database in look.recorded if database.is_paused)
    forgotten = {name: _with_paused(spec, {}) for name, spec in specs.items()}
    marks = to_write_specs(kubectl, claims, forgotten)
    warnings = tuple(_warn(look))
    return Decision(
        Would.UPDATE if patches or marks else Would.NOTHING,
        partial(_start, context, patches, marks, warnings),
        (*patches, *marks),
        warnings=warnings,
        leaves=Left(Outcome.UPDATED) if patches else None,
    )


async def _start(
    context: Context[ResumeRequest],
    patches: tuple[Command, ...],
    marks: tuple[Command, ...],
    warnings: tuple[str, ...],
) -> StepResult:
    """The names are forgotten last."""
    deciding = await write_all(context.kubectl, "A database", patches)
    if patches and any(database.is_paused for database in (await _look(context)).recorded):
        raise Overtaken(f"A database of {context.request.username}")
    marked = await write_specs(context.kubectl, context.request.username, marks)
    return StepResult(Outcome.UPDATED if deciding else Outcome.UNCHANGED, deciding or marked, warnings)


async def _look(context: Context[AnyTenantRequest]) -> _Look:
    """Raises StepFailed."""
    claims = await find_tenant(context)
    return _Look(claims, await find_specs(context, claims), await _list(context.kubectl, claims.all))


async def _list(kubectl: Kubectl, namespaces: tuple[Namespace, ...]) -> tuple[_Database, ...]:
    """One that is deleted already is past pausing."""
    found = [value for namespace in namespaces for value in await kubectl.list(DATABASES, namespace.name)]
    return tuple(_Database.of(value) for value in found if "deletionTimestamp" not in value["metadata"])


def _note(spec: Spec, namespace: str, running: list[_Database]) -> Spec:
    before = spec.suspension.paused if spec.suspension else {}
    return _with_paused(spec, before | {one.name: one.uid for one in running if one.namespace == namespace})


def _with_paused(spec: Spec, paused: Mapping[str, str]) -> Spec:
    before = spec.suspension or Suspension()
    return spec.with_suspension(before.model_copy(update={"paused": paused}))


def _to_pause(kubectl: Kubectl, database: _Database, *, paused: bool) -> Command:
    """Of this very object: with its UID in the patch another one of its name stays as it is."""
    change = {"metadata": {"uid": database.uid}, "spec": {"paused": paused}}
    return kubectl.to_patch(DATABASES, database.name, change, database.namespace)


def _warn(look: _Look) -> Iterator[str]:
    there = {(database.namespace, database.name) for database in look.recorded}
    for namespace in look.specs:
        gone = sorted(name for name in look.paused_in(namespace) if (namespace, name) not in there)
        if gone:
            yield f"These databases of namespace {namespace} were paused and are not there any more: {', '.join(gone)}."
