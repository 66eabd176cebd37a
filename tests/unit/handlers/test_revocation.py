"""What a suspension says of the rights that it leaves."""

import json
from typing import Any

import pytest

from handlers.rbac.stored_policy import StoredPolicy
from handlers.suspension.revocation import _warn
from handlers.suspension.tenant import Tenant
from handlers.tenants.claims import Claims, Namespace

OURS = ("p, role:alice, namespaces, read, alice", "g, alice, role:alice")
POLICY = {"data": {"enabled": "true", "policy.csv": "".join(f"{line}\n" for line in ("g, admin, role:admin", *OURS))}}


def find_warnings(applied: tuple[str, ...]) -> list[str]:
    """Of a tenant whose claim names these of the lines that stand in the policy."""
    wanted = {"role": "developer", "subjects": ["alice"], "managed_by": "admin"}
    annotations = {
        "everest-bootstrap/owner": "alice",
        "everest-bootstrap/spec": json.dumps({"wanted": wanted, "applied": applied}),
    }
    value: dict[str, Any] = {"metadata": {"name": "alice", "resourceVersion": "1", "annotations": annotations}}
    claim = Namespace.of(value)
    spec = claim.read_spec()
    assert spec is not None
    tenant = Tenant(Claims("alice", claim, ()), {"alice": spec}, StoredPolicy.of(POLICY), "", None, spares_account=True)
    return list(_warn(tenant))


@pytest.mark.parametrize(("applied", "told"), [(OURS, []), ((), ["stays in force", "No right was taken from alice"])])
def test_a_suspension_that_takes_no_right_says_so(applied: tuple[str, ...], told: list[str]) -> None:
    """A claim that was lost and declared anew names no line: those that stand are others' since."""
    warnings = find_warnings(applied)
    assert [text in warning for text, warning in zip(told, warnings, strict=True)] == [True] * len(told)
