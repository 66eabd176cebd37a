"""`settings rbac validate` and `can`: of a file, or of the policy in the cluster."""

from __future__ import annotations

import sys

from tests.everestctl import yaml_text
from tests.everestctl.errors import ApiError, Failed, Usage
from tests.everestctl.kube.kubeconfig import explain
from tests.everestctl.rbac.policy import Policy, check_policy, read_policy
from tests.everestctl.usage import CAN_USAGE
from tests.everestctl.version import SYSTEM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.everestctl.arguments import Flags
    from tests.everestctl.context import Context

_ACTIONS = ("create", "read", "update", "delete", "*")


def validate(context: Context, flags: Flags) -> int:
    try:
        _load(context, flags)
    except (Failed, ApiError) as error:
        shown = str(error).replace("\n", " - ")
        sys.stdout.write(f"❌ Invalid\npolicy syntax error - {shown}\n")
        return 1
    sys.stdout.write("✅ Valid\n\n")
    return 0


def can(context: Context, flags: Flags, subject: str, action: str, resource: str, name: str) -> None:
    if action not in _ACTIONS:
        raise Usage(f"invalid action '{action}'. Supported actions: create,read,update,delete,*", CAN_USAGE)
    from tests.everestctl.rbac.enforcer import is_allowed  # which imports `re`

    policy, is_enforced = _load(context, flags)
    allowed = not is_enforced or is_allowed(policy, context.version.minor, subject, action, resource, name)
    sys.stdout.write("Yes\n" if allowed else "No\n")


def _load(context: Context, flags: Flags) -> tuple[Policy, bool]:
    """The policy and whether it is enforced. Raises Failed where it is invalid."""
    path = flags["policy-file"]
    text, is_enforced = (_read_file(path), True) if path else _read_stored(context)
    policy = read_policy(text)
    check_policy(policy, context.version.minor)
    return policy, is_enforced


def _read_stored(context: Context) -> tuple[str, bool]:
    stored = context.open_api().call("GET", f"/api/v1/namespaces/{SYSTEM}/configmaps/everest-rbac")
    return stored["data"]["policy.csv"], stored["data"].get("enabled") == "true"


def _read_file(path: str) -> str:
    """A policy, or a ConfigMap that holds one: its content decides."""
    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except OSError as error:
        raise Failed(f"open {path}: {explain(error)}") from None
    if "ConfigMap" not in text:
        return text
    try:
        value = yaml_text.read(text)
    except yaml_text.BadYaml:
        return text
    is_map = isinstance(value, dict) and value.get("kind") == "ConfigMap"
    return str(value["data"]["policy.csv"]) if is_map else text
