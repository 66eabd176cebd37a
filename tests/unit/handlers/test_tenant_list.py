"""The list of tenants: what is the same for all of them is looked at once, however many are compared."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from contracts.requests import TenantsQuery
from handlers.commands.running import Command, Completed
from handlers.queries.tenant_list import TenantPage, list_tenants
from handlers.results import StepFailed
from handlers.settings import HandlerSettings
from handlers.tools.everestctl import Everestctl
from handlers.tools.kubectl import Kubectl

OWNED = "jsonpath={.items[?(@.metadata.annotations.everest-bootstrap/owner)].metadata}"
POLICY = {"data": {"enabled": "true", "policy.csv": "g, admin, role:admin\n"}}
ACCOUNTS = "USER  CAPABILITIES  ENABLED\nadmin  [login]  true\n"


SPEC = {
    "version": 1,
    "wanted": {
        "role": "developer",
        "subjects": [],
        "managed_by": "admin",
        "username": "nora",
        "namespace": "nora-ns",
        "resources": {},
    },
}


def claim(owner: str, spec: dict[str, Any] | None = None, **metadata: Any) -> str:
    annotations = {"everest-bootstrap/owner": owner, "everest-bootstrap/job": "an-earlier-job"}
    if spec is not None:
        annotations["everest-bootstrap/spec"] = json.dumps(spec)
    identity = {"name": f"{owner}-ns", "uid": owner, "resourceVersion": "1"}
    return json.dumps({**identity, "annotations": annotations, **metadata})


def list_of(
    tenants: int, *claims: str, differs: bool, fails_in: str = "", stderr: bytes = b""
) -> tuple[TenantPage, Counter[str]]:
    """A page, and how often each kind of look was had at a cluster that holds so many bare tenants and these claims."""
    seen: Counter[str] = Counter()

    async def run(command: Command) -> Completed:
        words = [str(word) for word in command.argv]
        seen[" ".join(words[:3])] += 1
        said = json.dumps({"items": []})
        if fails_in and fails_in in words:
            return Completed(command.shown, 1, b"", stderr, False, False, "", "", 0)
        if OWNED in words:
            said = "".join(claim(f"tenant_{number:02}") for number in range(tenants)) + "".join(claims)
        elif words[0] == "everestctl":
            said = ACCOUNTS
        elif "--ignore-not-found" in words:
            said = json.dumps(POLICY) if "configmap" in words else ""
        return Completed(command.shown, 0, said.encode(), b"", False, False, "", "", 0)

    tools = Kubectl(run, 60), Everestctl(run, 60)
    return asyncio.run(list_tenants(*tools, TenantsQuery(differs=differs), HandlerSettings())), seen


def test_accounts_policy_and_claims_are_looked_at_once() -> None:
    """A page compares twenty tenants: four looks for each of their namespaces, and three for all of them."""
    page, seen = list_of(30, differs=True)
    once = ("kubectl get ns", "kubectl get configmap", "everestctl accounts list")
    assert {look: seen.pop(look) for look in once} == dict.fromkeys(once, 1)
    looks = ("kubectl get secret", "kubectl get subscriptions.operators.coreos.com")
    assert seen == dict.fromkeys((*looks, "kubectl get resourcequota", "kubectl get limitrange"), 20)
    assert (page.tenants, page.next_after) == ([], "tenant_19"), "nobody knows what claims of 0.1.0 want"


def test_a_list_alone_needs_the_claims_alone() -> None:
    page, seen = list_of(3, differs=False)
    assert seen == {"kubectl get ns": 1}
    assert [tenant["username"] for tenant in page.tenants] == ["tenant_00", "tenant_01", "tenant_02"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({**SPEC, "version": 2}, "it is of version 2, and 1 is the last one known here"),
        ({**SPEC, "applied": ["p, broken"]}, "applied holds no policy: line 1: a p line has 4 fields"),
    ],
)
def test_a_claim_that_cannot_be_used_hides_no_other_tenant(spec: dict[str, Any], why: str) -> None:
    page, _ = list_of(0, claim("mona", spec), claim("nora", SPEC), differs=True)
    assert [tenant["username"] for tenant in page.tenants] == ["nora"]
    (warning,) = page.warnings
    assert warning.startswith("Tenant mona was not compared: ")
    assert why in warning


def test_a_namespace_that_is_going_is_not_looked_into() -> None:
    """The handler's rights in it may be gone before it is; what it held is no difference of its own."""
    page, seen = list_of(0, claim("nora", SPEC, deletionTimestamp="2026-01-01T00:00:00Z"), differs=True)
    assert sorted(seen) == ["everestctl accounts list", "kubectl get configmap", "kubectl get ns"]
    assert [one["what"] for one in page.tenants[0]["differences"]] == ["account", "namespace"]


def test_a_namespace_that_refuses_the_handler_hides_no_other_tenant() -> None:
    refusal = b'Error from server (Forbidden): secrets is forbidden: User "x" cannot list resource "secrets"\n'
    page, _ = list_of(0, claim("mona", SPEC), claim("nora", SPEC), differs=True, fails_in="mona-ns", stderr=refusal)
    assert [tenant["username"] for tenant in page.tenants] == ["nora"]
    assert page.warnings[0].startswith("Tenant mona was not compared: Error from server (Forbidden)")


def test_a_cluster_that_does_not_answer_is_no_tenants_fault() -> None:
    """An empty list would say that nobody differs."""
    refused = b"The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n"
    with pytest.raises(StepFailed) as raised:
        list_of(0, claim("nora", SPEC), differs=True, fails_in="nora-ns", stderr=refused)
    assert raised.value.failure.code == "cluster_unreachable"
