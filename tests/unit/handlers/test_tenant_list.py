"""The list of tenants: what is the same for all of them is looked at once, however many are compared."""

import asyncio
import json
from collections import Counter

from contracts.requests import TenantsQuery
from handlers.commands.running import Command, Completed
from handlers.queries.tenant_list import TenantPage, list_tenants
from handlers.settings import HandlerSettings
from handlers.tools.everestctl import Everestctl
from handlers.tools.kubectl import Kubectl

OWNED = "jsonpath={.items[?(@.metadata.annotations.everest-bootstrap/owner)].metadata}"
POLICY = {"data": {"enabled": "true", "policy.csv": "g, admin, role:admin\n"}}
ACCOUNTS = "USER  CAPABILITIES  ENABLED\nadmin  [login]  true\n"


def claim(owner: str) -> str:
    annotations = {"everest-bootstrap/owner": owner, "everest-bootstrap/job": "an-earlier-job"}
    return json.dumps({"name": f"{owner}-ns", "uid": owner, "resourceVersion": "1", "annotations": annotations})


def list_of(tenants: int, *, differs: bool) -> tuple[TenantPage, Counter[str]]:
    """A page, and how often each kind of look was had at a cluster that holds so many bare tenants."""
    seen: Counter[str] = Counter()

    async def run(command: Command) -> Completed:
        words = [str(word) for word in command.argv]
        seen[" ".join(words[:3])] += 1
        said = json.dumps({"items": []})
        if OWNED in words:
            said = "".join(claim(f"tenant_{number:02}") for number in range(tenants))
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
