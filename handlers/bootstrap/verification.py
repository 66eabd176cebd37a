"""The step verify_tenant: proves that the tenant can create a database, and that a stranger cannot."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from contracts.codes import Failure
from contracts.records import Outcome
from handlers.bootstrap.access import UNENFORCED
from handlers.bootstrap.declaration import read_wanted_access
from handlers.bootstrap.namespace import find_wanted
from handlers.bootstrap.quota import QUOTA_NAME, find_shortage
from handlers.clock import monotonic
from handlers.decisions import Decision, Would
from handlers.results import StepFailed, StepResult
from handlers.tenants.accounts import DISABLED, ENABLE, is_enabled
from handlers.tools.compatibility import find_difference
from handlers.tools.everestctl import Everestctl
from handlers.tools.kubectl import Object
from handlers.workflow import StepContext

ENGINES = "databaseengines.everest.percona.com"
# Everest's word for each of the request's operators: `spec.type` of its DatabaseEngine (everest-operator).
_ENGINE_TYPES = {"mongodb": "psmdb", "postgresql": "postgresql", "xtradb_cluster": "pxc"}
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 10.0
_DATABASES = "database-clusters"
_STRANGER = "everest-bootstrap-stranger"  # nobody, and a namespace that is none
_NO_VERSIONS = (
    "The engine {engine} offers no version, so no {name} database can be created: Everest's pods must reach its "
    "version service (https://check.percona.com); see their DNS and egress."
)
_NOT_INSTALLED = "The engine {engine} is {state}: see kubectl get {engines},pods,csv -n {namespace}."
_NO_RIGHT = (
    "{subject} may not {action} databases in namespace {namespace}: the policy everest-rbac does not give it. Set "
    "EVEREST_RBAC_APPLY_CMD and submit the same request again."
)


class Doubt(NamedTuple):
    """Something that was not proved, and why. `usable` is what it says of the tenant; None: it does not tell."""

    usable: bool | None
    warning: str = ""  # empty where an earlier step has said it


async def decide_verification(context: StepContext) -> Decision:
    """A proof changes nothing, and there is nothing to prove before the steps in front of it have acted."""
    return Decision(Would.VERIFY, partial(verify_tenant, context))


async def verify_tenant(context: StepContext) -> StepResult:
    """Fails nothing by itself, unless EVEREST_REQUIRE_USABLE asks for it."""
    wanted = find_wanted(context.request)
    is_required = context.settings.everest_require_usable
    doubts = [
        *await _see(_check_account(context), is_required),
        *await _see(_check_engines(context, wanted), is_required),
        *await _see(_check_quota(context, wanted), is_required),
        *await _see(_check_access(context), is_required),
    ]
    usable = _conclude(doubts)
    if usable is False and is_required:
        reasons = " ".join(doubt.warning for doubt in doubts if doubt.usable is False)
        raise StepFailed(Failure("not_usable", reasons))
    warnings = (*await _warn_of_versions(context), *(doubt.warning for doubt in doubts if doubt.warning))
    return StepResult(Outcome.UNVERIFIED if doubts else Outcome.VERIFIED, None, warnings, usable=usable)


def _conclude(doubts: Iterable[Doubt]) -> bool | None:
    verdicts = {doubt.usable for doubt in doubts}
    return False if False in verdicts else None if None in verdicts else True


async def _see(look: Awaitable[Sequence[Doubt]], is_required: bool) -> Sequence[Doubt]:
    """A failed look proves nothing, and is a failure only where the proof is required."""
    try:
        return await look
    except StepFailed as error:
        if is_required:
            raise
        failure = error.failure
        return (Doubt(None, f"Whether the tenant can be used could not be seen: {failure.message} {failure.hint}"),)


async def _warn_of_versions(context: StepContext) -> tuple[str, ...]:
    """Said in the last step, so that it is true of the handler that ends the job."""
    try:
        difference = find_difference(await context.facts.read_versions(context.everestctl))
    except StepFailed:
        return ()  # not known, and no doubt about the tenant
    return (difference,) if difference else ()


async def _check_account(context: StepContext) -> Sequence[Doubt]:
    """Who is asked to log in with one must be able to."""
    username = context.request.username
    if not context.request.account:
        return ()
    enabled = await is_enabled(context.kubectl, username)
    if enabled is None:
        return (Doubt(False, f"Account {username} is gone: submit again."),)
    return () if enabled else (Doubt(False, f"{DISABLED} {ENABLE}".format(username=username)),)


async def _check_engines(context: StepContext, wanted: frozenset[str]) -> Sequence[Doubt]:
    """Waits for the wanted ones: their operators report a while after they are installed."""
    if not wanted:
        return (Doubt(None),)
    namespace = context.request.namespace
    ends_at = monotonic() + context.settings.everest_ready_timeout
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        doubts = _find_unready(await context.kubectl.list(ENGINES, namespace), namespace, wanted)
        left_seconds = ends_at - monotonic()
        if not doubts or left_seconds <= 0:
            return doubts
        await asyncio.sleep(min(pause_seconds, left_seconds))
        pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


def _find_unready(engines: list[Object], namespace: str, wanted: frozenset[str]) -> Sequence[Doubt]:
    by_type = {(engine.get("spec") or {}).get("type"): engine for engine in engines}
    doubts = []
    for name in sorted(wanted):
        engine = by_type.get(_ENGINE_TYPES[name], {})
        status = engine.get("status") or {}
        known = {"engine": engine.get("metadata", {}).get("name", name), "name": name}
        if status.get("status") != "installed":
            state = status.get("status") or ("not installed" if engine else "not there")
            warning = _NOT_INSTALLED.format(**known, state=state, engines=ENGINES, namespace=namespace)
            doubts.append(Doubt(False, warning))
        elif not (status.get("availableVersions") or {}).get("engine"):
            doubts.append(Doubt(False, _NO_VERSIONS.format(**known)))
    return doubts


async def _check_quota(context: StepContext, wanted: frozenset[str]) -> Sequence[Doubt]:
    if not wanted:
        return ()
    namespace = context.request.namespace
    quota = await context.kubectl.get("resourcequota", QUOTA_NAME, namespace)
    if quota is None:
        return (Doubt(False, f"ResourceQuota {QUOTA_NAME} is gone from namespace {namespace}: submit again."),)
    shortage = find_shortage((quota.get("spec") or {}).get("hard") or {})
    return (Doubt(False, shortage),) if shortage else ()


async def _check_access(context: StepContext) -> Sequence[Doubt]:
    """By what Everest itself says of the stored policy."""
    policy = await context.kubectl.get("configmap", "everest-rbac", "everest-system")
    if ((policy or {}).get("data") or {}).get("enabled") != "true":
        return (Doubt(None, UNENFORCED),)
    wanted, namespace = await read_wanted_access(context), context.request.namespace
    subject = wanted.subjects[0]
    doubts = []
    for action in wanted.actions_on(_DATABASES):
        if not await context.everestctl.can(subject, action, _DATABASES, f"{namespace}/any"):
            warning = _NO_RIGHT.format(subject=subject, action=action, namespace=namespace)
            doubts.append(Doubt(False, warning))
    return (*doubts, *await _check_strangers(context.everestctl, wanted.role, namespace))


async def _check_strangers(everestctl: Everestctl, role: str, namespace: str) -> Sequence[Doubt]:
    """Nobody else here, and the tenant nowhere else. Does not keep the tenant from its own."""
    doubts = []
    for subject, where in ((_STRANGER, namespace), (role, _STRANGER)):
        if await everestctl.can(subject, "read", _DATABASES, f"{where}/any"):
            who = "Everybody" if subject == _STRANGER else role
            place = f"namespace {where}" if where == namespace else "every namespace"
            doubts.append(Doubt(True, f"{who} may read the databases of {place}: see the policy everest-rbac."))
    return doubts
