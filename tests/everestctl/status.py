"""`everestctl status`, new in 1.15: written from its source, not from a recording."""

from __future__ import annotations

import sys

from tests.everestctl.errors import ApiError, Failed
from tests.everestctl.version import SYSTEM, read_server_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.everestctl.arguments import Flags
    from tests.everestctl.context import Context
    from tests.everestctl.kube.api import Api


class Component:
    def __init__(self, name: str, namespace: str, is_ready: bool, message: str) -> None:
        self.name = name
        self.namespace = namespace
        self.is_ready = is_ready
        self.message = message


def show_status(context: Context, _: Flags) -> None:
    api = context.open_api()
    try:
        version = f"v{read_server_version(api)}"
    except ApiError as error:
        raise Failed(f"failed to get Everest version: {error}") from None
    found = [_look(api, SYSTEM, name) for name in ("everest-server", "everest-operator")]
    is_healthy = all(one.is_ready for one in found)
    if context.console.is_json:
        listed = [
            {"name": one.name, "namespace": one.namespace, "ready": one.is_ready, "message": one.message}
            for one in found
        ]
        value = {"everestVersion": version, "healthy": is_healthy, "components": listed, "operators": None}
        import json

        sys.stdout.write(json.dumps(value, indent=2) + "\n")
        return
    sys.stdout.write(
        f"{'✅' if is_healthy else '❌'} Everest {version} {'is healthy' if is_healthy else 'has issues'}\n\n"
    )
    sys.stdout.write("\nComponents:\n")
    rows = [(one.name, one.namespace, "✅ Ready" if one.is_ready else "❌ Not Ready", one.message) for one in found]
    for row in [("NAME", "NAMESPACE", "STATUS", "MESSAGE"), *rows]:
        sys.stdout.write("  " + "".join(cell.ljust(20) for cell in row[:3]) + row[3] + "\n")


def _look(api: Api, namespace: str, name: str) -> Component:
    found = api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
    if found is None:
        return Component(name, namespace, False, "not found")
    ready = (found.get("status") or {}).get("availableReplicas") or 0
    return Component(name, namespace, ready > 0, "" if ready else f"{ready}/1 ready")
