"""What the API does to an object before it stores it: validation, canonical forms, quotas, policies that deny."""

import base64
import fnmatch
from typing import Any

from tests.simulator.apiserver import quantities
from tests.simulator.apiserver.resources import BY_PATH, Resource
from tests.simulator.apiserver.store import Cause, Object, Refusal, Store, forbidden

_QUOTAS = BY_PATH["", "v1", "resourcequotas"]


def admit(kind: Resource, value: Object) -> Object:
    """Validation and canonical forms, for the kinds where they matter. Raises Refusal."""
    name = value.get("metadata", {}).get("name", "")
    if kind.kind == "ResourceQuota":
        _admit_quota(kind, name, value)
    elif kind.kind == "LimitRange":
        for index, limit in enumerate(value.get("spec", {}).get("limits", [])):
            for part in ("default", "defaultRequest", "max", "min"):
                for key, text in limit.get(part, {}).items():
                    limit[part][key] = _quantity(kind, name, f"spec.limits[{index}].{part}[{key}]", text)
            _check_default(name, index, limit)
    elif kind.kind == "Secret" and "stringData" in value:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in value.pop("stringData").items()}
        value["data"] = {**value.get("data", {}), **encoded}
    elif kind.kind == "DatabaseCluster":
        _check_paused(name, (value.get("spec") or {}).get("paused", False))
    return value


def check_object_quotas(store: Store, kind: Resource, namespace: str, name: str) -> None:
    """`count/<resource>` of every quota. Raises Refusal."""
    for quota in store.list(_QUOTAS, namespace) if namespace else []:
        key = f"count/{kind.qualified}"
        limited = quota["spec"].get("hard", {}).get(key)
        used = len(store.list(kind, namespace))
        if limited is not None and used >= quantities.read(limited):
            counts = f"requested: {key}=1, used: {key}={used}, limited: {key}={limited}"
            raise forbidden(kind, name, f"exceeded quota: {quota['metadata']['name']}, {counts}")


def check_denials(denials: list[dict[str, str]], verb: str, kind: Resource, name: str) -> None:
    """The fault `denials`: each names `resource`, and may name `verb` and `name` (a glob). Raises Refusal.

    `policy`, `binding` and `message` are those of a ValidatingAdmissionPolicy; `webhook` is one that cannot be reached.
    """
    for denial in denials:
        is_meant = denial["resource"] == kind.plural and denial.get("verb", verb) == verb
        if not is_meant or not fnmatch.fnmatchcase(name, denial.get("name", "*")):
            continue
        if webhook := denial.get("webhook"):
            why = 'Post "https://127.0.0.1:20999/x?timeout=1s": dial tcp 127.0.0.1:20999: connect: connection refused'
            message = f'Internal error occurred: failed calling webhook "{webhook}": failed to call webhook: {why}'
            raise Refusal(500, "InternalError", message)
        policy, binding = denial["policy"], denial.get("binding", denial["policy"])
        why = f"ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {denial['message']}"
        message = f'{kind.qualified} "{name}" is forbidden: {why}'
        raise Refusal(422, "Invalid", message, name, kind.plural, [Cause("", why)])


def _admit_quota(kind: Resource, name: str, value: Object) -> None:
    hard = value.get("spec", {}).get("hard", {})
    value["spec"]["hard"] = {key: _quantity(kind, name, f"spec.hard[{key}]", text) for key, text in hard.items()}
    for key, text in value["spec"]["hard"].items():
        if quantities.read(text) < 0:
            place, why = f"spec.hard[{key}]", f'Invalid value: "{text}": must be greater than or equal to 0'
            raise _invalid(kind.kind, name, Cause(place, why))
    value["status"] = {"hard": value["spec"]["hard"], "used": dict.fromkeys(value["spec"]["hard"], "0")}


def _quantity(kind: Resource, name: str, place: str, text: Any) -> str:
    try:
        return quantities.canonical(str(text))
    except ValueError:
        why = f"quantities must match the regular expression '{quantities.PATTERN}'"
        raise _invalid(kind.kind, name, Cause(place, f'Invalid value: "{text}": {why}')) from None


def _check_default(name: str, index: int, limit: Object) -> None:
    for key, request in limit.get("defaultRequest", {}).items():
        default = limit.get("default", {}).get(key)
        if default and quantities.read(request) > quantities.read(default):
            why = f"default request value {request} is greater than default limit value {default}"
            place = f"spec.limits[{index}].defaultRequest[{key}]"
            raise _invalid("LimitRange", name, Cause(place, f'Invalid value: "{request}": {why}'))


def _check_paused(name: str, paused: Any) -> None:
    if isinstance(paused, bool):
        return
    found = "string" if isinstance(paused, str) else "integer" if isinstance(paused, int) else "object"
    why = f'Invalid value: "{found}": spec.paused in body must be of type boolean: "{found}"'
    unchecked = "some validation rules were not checked because the object was invalid; "
    unchecked += "correct the existing errors to complete validation"
    causes = [Cause("spec.paused", why), Cause("<nil>", f"Invalid value: null: {unchecked}")]
    raise _invalid("DatabaseCluster", name, *causes)


def _invalid(kind: str, name: str, *causes: Cause) -> Refusal:
    listed = [f"{cause.field}: {cause.message}" for cause in causes]
    shown = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    return Refusal(422, "Invalid", f'{kind} "{name}" is invalid: {shown}', name, kind, list(causes))
