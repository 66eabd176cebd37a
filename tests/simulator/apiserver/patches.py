"""Patches: merge patches, strategic ones as far as they are merge patches, and JSON patches."""

import copy
from typing import Any


def merge(target: Any, patch: Any) -> Any:
    """A merge patch; of a strategic one, the directives are left out and lists are replaced."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def apply_operations(target: Any, operations: list[dict[str, Any]]) -> Any:
    """A JSON patch of add, replace, remove and test. Raises ValueError where one has nothing to apply to."""
    changed = copy.deepcopy(target)
    for operation in operations:
        *parents, last = [_read_pointer(part) for part in operation["path"].split("/")[1:]]
        try:
            parent = changed
            for part in parents:
                parent = parent[int(part)] if isinstance(parent, list) else parent[part]
            _apply(parent, last, operation)
        except (IndexError, KeyError, TypeError):
            raise ValueError(f"the server rejected our request: {operation['op']} {operation['path']}") from None
    return changed


def _apply(parent: Any, last: str, operation: dict[str, Any]) -> None:
    at: Any = last
    if isinstance(parent, list):
        at = len(parent) if last == "-" else int(last)
    match operation["op"]:
        case "add" if isinstance(parent, list):
            parent.insert(at, operation["value"])
        case "add":
            parent[at] = operation["value"]
        case "replace":
            if isinstance(parent, dict) and at not in parent:
                raise KeyError(last)
            parent[at] = operation["value"]
        case "remove":
            del parent[at]
        case "test":
            if parent[at] != operation["value"]:
                raise KeyError(last)


def _read_pointer(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")
