"""Releases of the chart everest-db-namespace: their Secrets, their objects, and the hook Jobs that Helm waits for."""

from __future__ import annotations

import os
import time

from tests.everestctl.errors import ApiError, Failed
from tests.everestctl.namespaces.operators import OLM, OPERATORS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tests.everestctl.context import Context
    from tests.everestctl.kube.api import Api, Object

    _Rules = list[dict[str, list[str]]]

INSTALLER = "everest-operators-installer"
PRE_DELETE = "everest-helm-pre-delete-hook"

_RBAC = "rbac.authorization.k8s.io"
_LONGEST_NAME = 53
_HISTORY = 3
_READ = ["get", "list", "watch"]


class Hook:
    """`name` of its service account, role and binding; `job`'s; what its role grants and its maker must hold."""

    def __init__(self, name: str, job: str, rules: _Rules) -> None:
        self.name = name
        self.job = job
        self.rules = rules


def _rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, list[str]]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


_INSTALLER_RULES = [
    _rule("", ["namespaces"], ["get", "list", "patch", "update"]),
    _rule(OLM, ["installplans"], ["get", "list", "patch", "update", "watch"]),
    _rule(OLM, ["subscriptions", "clusterserviceversions"], _READ),
]
_PRE_DELETE_RULES = [_rule(OLM, ["clusterserviceversions", "subscriptions"], ["list", "delete"])]


def install(context: Context, api: Api, namespace: str, operators: list[str]) -> None:
    """Installs or upgrades the release. Waits for the hook Job without any limit, as Helm is told to."""
    if len(namespace) > _LONGEST_NAME:
        raise Failed(f"releaseContent: Release name is invalid: {namespace}")
    context.console.log(
        f"Installing DB namespace Helm chart in namespace {namespace}", "namespaces/add.go:402", "namespace-adder"
    )
    releases = list_releases(api, namespace)
    newest = releases[-1] if releases else None
    if newest and _labels(newest)["status"].startswith("pending"):
        raise Failed("another operation (install/upgrade/rollback) is in progress")
    context.pause_race()
    if not newest and api.get(f"/api/v1/namespaces/{namespace}") is None:
        identity = {"apiVersion": "v1", "kind": "Namespace"}
        api.ensure("/api/v1/namespaces", {**identity, **_named(namespace, {"name": namespace})})
    _forget_oldest(api, namespace, releases)
    number = int(_labels(newest)["version"]) + 1 if newest else 1
    release = _create_release(api, namespace, number, "pending-upgrade" if newest else "pending-install")
    _create_objects(api, namespace, operators)
    _run_installer(context, api, namespace, release, is_upgrade=newest is not None)
    if newest:
        _set_status(api, namespace, newest["metadata"]["name"], "superseded")
    _set_status(api, namespace, release, "deployed")


def uninstall(context: Context, api: Api, namespace: str) -> None:
    """In whatever state the release is; where there is none, nothing is done and the operators stay."""
    releases = list_releases(api, namespace)
    if not releases:
        return
    _set_status(api, namespace, releases[-1]["metadata"]["name"], "uninstalling")
    hook = Hook(PRE_DELETE, f"{PRE_DELETE}-{int.from_bytes(os.urandom(3), 'big') % 900000 + 100000}", _PRE_DELETE_RULES)
    try:
        _create_hook(context, api, namespace, hook)
    except ApiError as error:
        why = f"1 error occurred:\n\t* {error}\n\n"
        raise Failed(f"warning: Hook pre-delete everest-db-namespace/templates/hooks.yaml failed: {why}") from None
    if not _wait_for_job(context, api, namespace, hook.job):
        raise Failed(f"1 error occurred:\n\t* job {hook.job} failed: BackoffLimitExceeded\n\n")
    _delete_hook(api, namespace, hook)
    try:
        _delete_if_there(api, f"/apis/{OLM}/v1/namespaces/{namespace}/operatorgroups/everest-databases")
    except ApiError:
        raise Failed(f"failed to delete release: {namespace}") from None
    for release in releases:
        _delete_if_there(api, f"/api/v1/namespaces/{namespace}/secrets/{release['metadata']['name']}")


def list_releases(api: Api, namespace: str) -> list[Object]:
    """The oldest first."""
    found = api.list(f"/api/v1/namespaces/{namespace}/secrets?labelSelector=owner%3Dhelm,name%3D{namespace}")
    return sorted(found, key=lambda secret: int(_labels(secret)["version"]))


def _forget_oldest(api: Api, namespace: str, releases: list[Object]) -> None:
    """So that no more than the history remain; what is deployed is never forgotten."""
    surplus = max(0, len(releases) - _HISTORY + 1)
    for release in [one for one in releases if _labels(one)["status"] != "deployed"][:surplus]:
        _delete_if_there(api, f"/api/v1/namespaces/{namespace}/secrets/{release['metadata']['name']}")


def _labels(secret: Object) -> dict[str, str]:
    return dict(secret["metadata"]["labels"])


def _named(name: str, labels: dict[str, str] | None = None) -> Object:
    return {"metadata": {"name": name, **({"labels": labels} if labels else {})}}


def _create_release(api: Api, namespace: str, number: int, status: str) -> str:
    secret = f"sh.helm.release.v1.{namespace}.v{number}"
    labels = {"owner": "helm", "name": namespace, "status": status, "version": str(number)}
    body = {
        **_named(secret, {**labels, "modifiedAt": str(int(time.time()))}),
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "data": {"release": "c2ltdWxhdGVk"},
    }
    try:
        api.call("POST", f"/api/v1/namespaces/{namespace}/secrets", body)
    except ApiError as error:
        if error.reason == "AlreadyExists":
            raise Failed("release: already exists") from None
        raise Failed(f"create: failed to create: {error}") from None
    return secret


def _set_status(api: Api, namespace: str, secret: str, status: str) -> None:
    """Helm updates without a version, so that the last writer wins; it has no right to patch."""
    path = f"/api/v1/namespaces/{namespace}/secrets/{secret}"
    try:
        release = api.call("GET", path)
        release["metadata"]["labels"]["status"] = status
        release["metadata"].pop("resourceVersion")
        api.call("PUT", path, release)
    except ApiError as error:
        raise Failed(f"update: failed to update: {error}") from None


def _create_objects(api: Api, namespace: str, operators: list[str]) -> None:
    group = {"apiVersion": f"{OLM}/v1", "kind": "OperatorGroup", "spec": {"targetNamespaces": [namespace]}}
    path = f"/apis/{OLM}/v1/namespaces/{namespace}/operatorgroups"
    api.ensure(path, {**_named("everest-databases"), **group})
    for wanted in operators:
        operator = OPERATORS[wanted]
        spec = {"name": operator.package, "channel": operator.channel, "installPlanApproval": "Manual"}
        metadata = {"name": operator.package, "annotations": {"helm.sh/resource-policy": "keep"}}
        subscription = {"metadata": metadata, "spec": {**spec, "source": "everest-catalog"}}
        identity = {"apiVersion": f"{OLM}/v1alpha1", "kind": "Subscription"}
        api.ensure(f"/apis/{OLM}/v1alpha1/namespaces/{namespace}/subscriptions", {**identity, **subscription})


def _run_installer(context: Context, api: Api, namespace: str, release: str, is_upgrade: bool) -> None:
    hook = Hook(INSTALLER, INSTALLER, _INSTALLER_RULES)
    _create_hook(context, api, namespace, hook, is_fresh=False)
    if not _wait_for_job(context, api, namespace, hook.job):
        _set_status(api, namespace, release, "failed")
        moment = "post-upgrade hooks failed" if is_upgrade else "failed post-install"
        raise Failed(f"{moment}: 1 error occurred:\n\t* job {hook.job} failed: BackoffLimitExceeded\n\n")
    _delete_hook(api, namespace, hook)


def _create_hook(context: Context, api: Api, namespace: str, hook: Hook, is_fresh: bool = True) -> None:
    """With what it needs. `is_fresh`: what an earlier run left is deleted first, which two at once do to each other."""
    create = api.ensure
    if is_fresh:
        for path in _hook_parts(namespace, hook.name):
            _delete_if_there(api, f"{path}/{hook.name}")
        context.pause_race()

        def create(path: str, body: Object) -> None:
            api.call("POST", path, body)

    accounts, roles, bindings = _hook_parts(namespace, hook.name)
    create(accounts, {"apiVersion": "v1", "kind": "ServiceAccount", **_named(hook.name)})
    create(roles, {"apiVersion": f"{_RBAC}/v1", "kind": "Role", **_named(hook.name), "rules": hook.rules})
    reference = {"apiGroup": _RBAC, "kind": "Role", "name": hook.name}
    subjects = [{"kind": "ServiceAccount", "name": hook.name, "namespace": namespace}]
    identity = {"apiVersion": f"{_RBAC}/v1", "kind": "RoleBinding", **_named(hook.name)}
    create(bindings, {**identity, "roleRef": reference, "subjects": subjects})
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    _delete_if_there(api, f"{jobs}/{hook.job}")
    create(jobs, {"apiVersion": "batch/v1", "kind": "Job", **_named(hook.job), "spec": {"template": _pod(hook)}})


def _hook_parts(namespace: str, name: str) -> tuple[str, str, str]:
    rbac = f"/apis/{_RBAC}/v1/namespaces/{namespace}"
    return f"/api/v1/namespaces/{namespace}/serviceaccounts", f"{rbac}/roles", f"{rbac}/rolebindings"


def _pod(hook: Hook) -> dict[str, Any]:
    container = {"name": "hook", "image": "percona/everest-helmtools:0.0.1"}
    return {"spec": {"serviceAccountName": hook.name, "restartPolicy": "OnFailure", "containers": [container]}}


def _wait_for_job(context: Context, api: Api, namespace: str, name: str) -> bool:
    """Whether it succeeded; one that somebody deletes has. Who may not list Jobs waits for ever, as with Helm."""
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs?fieldSelector=metadata.name%3D{name}"
    while True:
        try:
            jobs = api.list(path)
        except ApiError as error:
            if error.reason != "Forbidden":
                raise
            jobs = [{}]
        status = (jobs[0].get("status") or {}) if jobs else {"succeeded": 1}
        if status.get("succeeded") or status.get("failed"):
            return not status.get("failed")
        if context.spinner:
            context.spinner.turn()
        time.sleep(0.02)


def _delete_hook(api: Api, namespace: str, hook: Hook) -> None:
    accounts, roles, bindings = _hook_parts(namespace, hook.name)
    parts = [f"/apis/batch/v1/namespaces/{namespace}/jobs/{hook.job}"]
    parts += [f"{path}/{hook.name}" for path in (accounts, bindings, roles)]
    for path in parts:
        try:
            api.delete(path)
        except ApiError:  # Helm goes on, too
            continue


def _delete_if_there(api: Api, path: str) -> None:
    try:
        api.delete(path)
    except ApiError as error:
        if error.reason != "NotFound":
            raise
