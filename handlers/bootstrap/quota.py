"""The step apply_resource_quota: what the namespace may use in all, and what a container gets that says nothing."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from contracts.records import Outcome
from contracts.requests import Resources
from handlers.decisions import Decision, Left, Would
from handlers.preflight.rights import tenant_rights
from handlers.rbac.differences import diff
from handlers.results import StepFailed, StepResult
from handlers.tools.kubectl import Kubectl, Object, at_once
from handlers.tools.quantities import is_at_least
from handlers.workflow import StepContext

QUOTA_NAME, LIMITS_NAME = "user-quota", "user-limits"
_RESOURCES = ("resourcequotas", "limitranges")

# Everest's smallest preset for one database node.
_SMALLEST_PRESET = Resources(cpu_cores=1, ram_mb=2048, disk_gb=25)


async def decide_quota(context: StepContext) -> Decision:
    settings, resources = context.settings, context.request.resources
    manifest = render_manifest(resources, settings.limit_range_limit_percent, settings.limit_range_request_percent)
    kubectl = context.kubectl
    command = kubectl.to_apply(context.request.namespace, manifest)
    shortage = find_shortage(quota_hard(resources))
    warnings = (shortage,) if shortage else ()

    async def act() -> StepResult:
        return StepResult(Outcome.APPLIED, await kubectl.carry_out(command), warnings, manifest_preview=manifest)

    return Decision(
        Would.APPLY,
        act,
        (command,),
        manifest,
        warnings=warnings,
        rights=() if settings.everest_tenant_role else tenant_rights(context.request.namespace, _RESOURCES),
        try_out=partial(_try_out, context),
    )


async def _try_out(context: StepContext, decision: Decision) -> Decision:
    """What differs, and what the cluster says to it. In a namespace that is not the handler's yet nothing is tried."""
    name = context.request.namespace
    if await context.kubectl.get("ns", name) is None:
        untried = f"The quota could not be tried: there is no namespace {name} yet."
        return replace(decision, would=Would.CREATE, warnings=(*decision.warnings, untried))
    try:
        before, after = await _read(context.kubectl, name), await context.kubectl.try_out_all(*decision.commands)
    except StepFailed as error:
        if error.failure.code != "forbidden" or not context.settings.everest_tenant_role:
            raise
        untried = f"The quota could not be tried: this handler has no rights in namespace {name} before it claims it."
        return replace(decision, warnings=(*decision.warnings, untried))
    # The cluster spells quantities in its own way, so what it would store is compared, and not what it is sent.
    would = Would.UPDATE if before else Would.CREATE
    if list(map(_kept, before)) == list(map(_kept, after)):
        would = Would.NOTHING
    return replace(decision, would=would, diff=diff(_show(before), _show(after)), leaves=Left(Outcome.APPLIED))


async def _read(kubectl: Kubectl, name: str) -> Sequence[Object]:
    """Those of the two that are there, in the order of the manifest. Raises StepFailed."""
    async with at_once() as looks:
        quota_look = looks.create_task(kubectl.get("resourcequota", QUOTA_NAME, name))
        limits_look = looks.create_task(kubectl.get("limitrange", LIMITS_NAME, name))
    return [found for found in (quota_look.result(), limits_look.result()) if found]


def _kept(stored: Object) -> Object:
    """What an apply changes of an object."""
    return {"spec": stored.get("spec"), "annotations": stored["metadata"].get("annotations")}


def _show(stored: Sequence[Object]) -> str:
    return "".join(json.dumps({"kind": one["kind"], "spec": one.get("spec")}, indent=2) + "\n" for one in stored)


def render_manifest(resources: Resources, limit_percent: float, request_percent: float) -> str:
    """Every operator, backup and proxy container without resources of its own takes the LimitRange's defaults."""
    shares = limit_shares(resources, limit_percent, request_percent)
    return f"""\
apiVersion: v1
kind: ResourceQuota
metadata:
  name: {QUOTA_NAME}
spec:
  hard:
{_render(quota_hard(resources), 4)}
---
apiVersion: v1
kind: LimitRange
metadata:
  name: {LIMITS_NAME}
spec:
  limits:
  - type: Container
    default:
{_render(shares["default"], 6)}
    defaultRequest:
{_render(shares["defaultRequest"], 6)}
"""


def quota_hard(resources: Resources) -> dict[str, str]:
    """What the namespace may use in all, as quantities."""
    cpu = f"{resources.cpu_cores:.3f}".rstrip("0").rstrip(".")
    memory, storage = f"{resources.ram_mb}Mi", f"{resources.disk_gb}Gi"
    return {
        "requests.cpu": cpu,
        "requests.memory": memory,
        "requests.storage": storage,
        "limits.cpu": cpu,
        "limits.memory": memory,
    }


def limit_shares(resources: Resources, limit_percent: float, request_percent: float) -> dict[str, dict[str, str]]:
    """What a container gets that says nothing: the LimitRange's `default` and `defaultRequest`."""
    return {"default": _share(resources, limit_percent), "defaultRequest": _share(resources, request_percent)}


def _share(resources: Resources, percent: float) -> dict[str, str]:
    """CPU in millicores and memory in MiB, rounded down, never nothing."""
    cpu = max(1, int(round(resources.cpu_cores * 1000) * percent / 100))
    memory = max(1, int(resources.ram_mb * percent / 100))
    return {"cpu": f"{cpu}m", "memory": f"{memory}Mi"}


def _render(quantities: dict[str, str], indent: int) -> str:
    return "\n".join(f'{" " * indent}{name}: "{quantity}"' for name, quantity in quantities.items())


def find_shortage(hard: dict[str, str]) -> str | None:
    """A warning where a quota holds not even one node; what it does not limit is enough."""
    small = _SMALLEST_PRESET
    if all(is_at_least(hard[name], amount) for name, amount in quota_hard(small).items() if name in hard):
        return None
    return (
        f"The quota is below Everest's smallest preset for one node ({small.cpu_cores:g} CPU, {small.ram_mb} MB, "
        f"{small.disk_gb} GB disk): no database cluster may fit. "
        "Ask for more resources, or set the handlers' EVEREST_DEFAULT_RESOURCES."
    )
