"""The kubeconfig: where the API is and who asks."""

from __future__ import annotations

from tests.everestctl import json_text, yaml_text
from tests.everestctl.errors import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NOTHING = (
    "invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable"
)


def read_kubeconfig(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Cluster and user of the current context. Raises Failed in client-go's words."""
    config = _read_config(path)
    contexts, clusters, users = (_by_name(config, kind) for kind in ("contexts", "clusters", "users"))
    name = config.get("current-context") or ""
    if not name and not clusters:
        raise Failed(_NOTHING)
    if name not in contexts:
        raise Failed(f'context "{name}" does not exist' if name and contexts else _NOTHING)
    context = contexts[name].get("context") or {}
    wanted = context.get("cluster") or ""
    cluster = (clusters.get(wanted) or {}).get("cluster") or {}
    if not cluster.get("server"):
        missing = (
            f'cluster "{wanted}" does not exist'
            if wanted not in clusters
            else f'no server found for cluster "{wanted}"'
        )
        raise Failed(f"invalid configuration: {missing}" if wanted else _NOTHING)
    user = (users.get(context.get("user") or "") or {}).get("user") or {}
    return cluster, _with_token(user)


def _read_config(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError as error:
        raise Failed(f"open {path}: {explain(error)}\ncould not read kubeconfig file") from None
    try:
        config = json_text.read(text) if text.lstrip().startswith("{") else yaml_text.read(text)
    except ValueError as error:  # of either
        raise Failed(str(error)) from None
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise Failed("couldn't get version/kind; json parse error: json: cannot unmarshal into Go value of type struct")
    return config


def _by_name(config: dict[str, Any], kind: str) -> dict[str, Any]:
    listed = config.get(kind)
    parts = listed if isinstance(listed, list) else []
    return {str(part.get("name", "")): part for part in parts if isinstance(part, dict)}


def _with_token(user: dict[str, Any]) -> dict[str, Any]:
    if "tokenFile" not in user:
        return user
    try:
        with open(user["tokenFile"]) as file:
            return {**user, "token": file.read().strip()}
    except OSError as error:
        raise Failed(f'failed to read token file "{user["tokenFile"]}": {explain(error)}') from None


def explain(error: OSError) -> str:
    """In Go's lower case."""
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]
