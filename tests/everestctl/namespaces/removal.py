"""`namespaces remove`: refuses where databases run, and destroys all else of the namespace without a question."""

from __future__ import annotations

import time

from tests.everestctl.errors import ApiError, Failed
from tests.everestctl.namespaces.helm import uninstall
from tests.everestctl.namespaces.names import MANAGED, find_namespace, is_managed, read_names
from tests.everestctl.namespaces.steps import run_steps
from tests.everestctl.version import check_everest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from functools import partial

    from tests.everestctl.arguments import Flags
    from tests.everestctl.context import Context
    from tests.everestctl.kube.api import Api, Object
    from tests.everestctl.namespaces.steps import Step
else:
    from _functools import partial  # what functools has it from

_CONTENT_LIMIT_SECONDS = 900
_NAMESPACE_LIMIT_SECONDS = 300
_POLL_SECONDS = 0.05  # 5 in the real one: the fault `poll_seconds` brings them back

_TOO_LATE = "context deadline exceeded"
_DATABASES_TOO_LATE = "client rate limiter Wait returned an error: rate: Wait(n=1) would exceed context deadline"


def remove(context: Context, flags: Flags, text: str) -> None:
    names = read_names(text)
    api = context.open_api()
    for name in names:
        _check_namespace(api, name)
        if not flags["force"]:
            _refuse_databases(api, name)
    check_everest(api)
    keeps = flags["keep-namespace"]
    run_steps(context, "namespace-remover", [step for name in names for step in _steps(context, api, name, keeps)])


def _check_namespace(api: Api, name: str) -> None:
    found = find_namespace(api, name)
    if found is None:
        raise Failed(f"'{name}': namespace does not exist")
    if not is_managed(found):
        raise Failed(f"'{name}': namespace is not managed by Everest")


def _refuse_databases(api: Api, name: str) -> None:
    try:
        found = api.list(_content(name, "databaseclusters"))
    except ApiError as error:
        raise Failed(f"{error}\nfailed to check if databases exist in namespace='{name}'") from None
    if found:
        raise Failed(
            "cannot remove namespace with running database clusters. "
            "HINT: use --force to remove the namespace and all its resources"
        )


def _steps(context: Context, api: Api, name: str, keeps: bool) -> Iterator[Step]:
    for plural, words in (
        ("databaseclusters", "database clusters"),
        ("backupstorages", "backup storages"),
        ("monitoringconfigs", "monitoring instances"),
    ):
        yield f"Deleting {words} in namespace '{name}'", partial(_delete_all, context, api, name, plural)
    if keeps:
        yield f"Deleting resources from namespace '{name}'", partial(_release, context, api, name)
    else:
        yield f"Deleting database namespace '{name}'", partial(_delete_namespace, context, api, name)


def _delete_all(context: Context, api: Api, name: str, plural: str) -> None:
    """Deletes again and again what there is, also what came meanwhile."""
    path = _content(name, plural)
    found = api.list(path)
    if not found:
        return
    api.call("DELETE", path)

    def is_done() -> bool:
        left = api.list(path)
        if left:
            api.call("DELETE", path)
        return not left

    is_database = plural == "databaseclusters"
    factor = max(1, len(found) // 3) if is_database else 1
    _wait(context, is_done, _CONTENT_LIMIT_SECONDS * factor, _DATABASES_TOO_LATE if is_database else _TOO_LATE)


def _uninstall(context: Context, api: Api, name: str) -> None:
    try:
        uninstall(context, api, name)
    except (Failed, ApiError) as error:
        raise Failed(f"{error}\nfailed to uninstall helm chart") from None


def _release(context: Context, api: Api, name: str) -> None:
    """Takes Everest's label off and nothing else."""
    _uninstall(context, api, name)
    path = f"/api/v1/namespaces/{name}"
    namespace: Object = api.call("GET", path)
    (namespace["metadata"].get("labels") or {}).pop(MANAGED, None)
    api.call("PUT", path, namespace)


def _delete_namespace(context: Context, api: Api, name: str) -> None:
    """Waits until nothing of that name is there: a namespace that somebody makes anew is waited for in vain."""
    _uninstall(context, api, name)
    path = f"/api/v1/namespaces/{name}"
    api.call("DELETE", path)
    _wait(context, lambda: api.get(path) is None, _NAMESPACE_LIMIT_SECONDS, _TOO_LATE)


def _wait(context: Context, is_done: Callable[[], bool], limit_seconds: float, too_late: str) -> None:
    """Looks after a while, not at once. The fault `removal_limit_seconds` shortens every limit."""
    ends_at = time.monotonic() + context.faults.get("removal_limit_seconds", limit_seconds)
    poll_seconds = context.faults.get("poll_seconds", _POLL_SECONDS)
    while True:
        _sleep(context, min(poll_seconds, ends_at - time.monotonic()))
        context.wait_to_be_let_go("poll")
        if is_done():
            return
        if time.monotonic() >= ends_at:
            raise Failed(too_late)


def _sleep(context: Context, seconds: float) -> None:
    ends_at = time.monotonic() + seconds
    while (left := ends_at - time.monotonic()) > 0:
        if context.spinner:
            context.spinner.turn()
        time.sleep(min(left, 0.05))


def _content(namespace: str, plural: str) -> str:
    return f"/apis/everest.percona.com/v1alpha1/namespaces/{namespace}/{plural}"
