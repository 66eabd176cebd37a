"""What a tenant should have in a namespace: as its claim says, or, of a claim of version 0.1.0, as its last job did."""

from dataclasses import dataclass
from typing import Any

from contracts.requests import BootstrapRequest
from handlers.tenants.access import Lines, first_lines
from handlers.tenants.claims import Namespace
from handlers.tenants.spec import read_inputs


@dataclass(frozen=True, slots=True)
class Expected:
    """`lines` of the policy; `generation` and `wanted` as the claim has them, None where it has none.

    Of a suspended tenant the lines should be comments; `account_disabled`: and its account, which was enabled.
    """

    request: BootstrapRequest
    lines: Lines
    subjects: tuple[str, ...]
    generation: int | None = None
    wanted: dict[str, Any] | None = None
    is_suspended: bool = False
    account_disabled: bool = False
    offboarded_by: str | None = None  # the job that has begun to take the namespace away


def read_expected(name: str, claim: Namespace | None, username: str, last: dict[str, Any]) -> Expected | None:
    """None where nobody knows. `last`: of the tenant's last finished job. Raises StepFailed."""
    spec = claim.read_spec() if claim and claim.owner == username else None
    if spec is not None:
        wanted = spec.wanted.model_dump(mode="json")
        request = spec.wanted.read_request() or _read_last(name, last)
        if request is None:
            return None
        disabled = spec.suspension is not None and spec.suspension.account_disabled
        suspended = spec.wanted.suspended
        return Expected(
            request,
            spec.applied,
            spec.wanted.subjects,
            spec.generation,
            wanted,
            suspended,
            disabled,
            claim.offboarded_by if claim else None,
        )
    request = _read_last(name, last)
    if request is None:
        return None
    lines = first_lines(username, name) if last.get("rbac_applied") else ()
    return Expected(request, lines, (username,))


def _read_last(name: str, last: dict[str, Any]) -> BootstrapRequest | None:
    """What the last finished job asked for, if it was about this namespace."""
    inputs = last.get("inputs") or {}
    return read_inputs(inputs) if inputs.get("namespace") == name else None
