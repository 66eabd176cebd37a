"""A repair makes the cluster what a tenant's claims say, and touches nothing else."""

import json
from typing import Any

import pytest

from contracts.records import Outcome
from handlers.tenants.claims import JOB, OWNER, SPEC
from tests.laboratory.plans import compare, read_versions
from tests.simulator import SimulatedEverest
from tests.support.arrangement import have_tenant
from tests.support.workflows import Bench, die

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTHING = [Outcome.UNCHANGED] * 4 + [Outcome.UNVERIFIED]  # RBAC is off


async def do(everest: SimulatedEverest, *argv: str, stdin: str = "") -> None:
    code, _, stderr = await everest.run(*argv, stdin=stdin)
    assert code == 0, stderr


async def test_what_differs_is_mended_in_all_namespaces(everest: SimulatedEverest, bench: Bench) -> None:
    """As its plan says; and a second repair finds nothing to do."""
    await have_tenant(everest, bench, "mended-1", username="mended", role="owner", operators={"postgresql": True})
    await have_tenant(everest, bench, "mended-2", username="mended", namespace="mended-2", resources={"ram_mb": 4096})
    specs = [await read_spec(everest, name) for name in ("mended", "mended-2")]
    await everest.delete("limitrange", "user-limits", "-n", "mended")
    await everest.delete("resourcequota", "user-quota", "-n", "mended-2")
    await do(everest, "everestctl", "accounts", "delete", "-u", "mended")
    policy = await everest.get("configmap", "everest-rbac", "-n", "everest-system")
    lines = policy["data"]["policy.csv"].splitlines(keepends=True)
    policy["data"]["policy.csv"] = "".join(line for line in lines if "mended-2/" not in line)
    await everest.replace(policy)

    before = await read_versions(everest)
    plan = await bench.plan(kind="repair", username="mended")
    assert await read_versions(everest) == before
    assert [step["outcome"] for step in plan["steps"]] == [
        "would create",  # and the claims say where the new password is
        "unchanged",
        *["would update"] * 2,
        "would verify",
    ]
    made = await bench.attempt("mended-3", kind="repair", username="mended")
    assert compare(plan, made, changed=True) == []
    assert made.result("create_account").credentials_secret is not None, "its password is new"
    assert (await everest.get("limitrange", "user-limits", "-n", "mended"))["spec"]["limits"]
    hard = (await everest.get("resourcequota", "user-quota", "-n", "mended-2"))["spec"]["hard"]
    assert hard["limits.memory"] == "4Gi"
    restored = (await everest.get("configmap", "everest-rbac", "-n", "everest-system"))["data"]["policy.csv"]
    assert set(restored.splitlines(keepends=True)) == set(lines)
    assert [await read_spec(everest, name) for name in ("mended", "mended-2")] == specs, "nobody wants anything else"

    before = await read_versions(everest)
    settled = await bench.plan(kind="repair", username="mended")
    assert settled["would"] == "nothing", json.dumps(settled["steps"])
    again = await bench.attempt("mended-4", kind="repair", username="mended")
    assert again.outcomes == NOTHING
    assert [command.shown for command in again.commands if command.changes] == []
    assert await read_versions(everest) == before


async def read_spec(everest: SimulatedEverest, name: str) -> dict[str, Any]:
    spec = json.loads((await everest.get("ns", name))["metadata"]["annotations"][SPEC])
    return {member: spec[member] for member in ("generation", "wanted", "applied")}


async def test_one_namespace_alone_is_mended(everest: SimulatedEverest, bench: Bench) -> None:
    await have_tenant(everest, bench, "alone-1", username="alone")
    await have_tenant(everest, bench, "alone-2", username="alone", namespace="alone-2")
    for name in ("alone", "alone-2"):
        await everest.delete("limitrange", "user-limits", "-n", name)
    request: dict[str, Any] = {"kind": "repair", "username": "alone", "namespace": "alone-2"}
    cut = await bench.attempt("alone-3", intercept=die("kubectl apply", after=True), **request)
    assert cut.failed_step == "apply_resource_quota"
    made = await bench.finish("alone-3", cut, **request)
    assert made.outcomes[2] is Outcome.APPLIED, "it says what was done before the kill"
    assert await everest.get("limitrange", "user-limits", "-n", "alone-2")
    assert await everest.get("limitrange", "user-limits", "-n", "alone") is None


async def test_an_account_that_any_namespace_wants_is_made_again(everest: SimulatedEverest, bench: Bench) -> None:
    """Also where the first does without; then nothing is left to repair."""
    await have_tenant(everest, bench, "any-1", username="any", namespace="any-a", account=False, subjects=["any"])
    await have_tenant(everest, bench, "any-2", username="any", namespace="any-b")
    await do(everest, "everestctl", "accounts", "delete", "-u", "any")
    assert (await bench.plan(kind="repair", username="any"))["steps"][0]["outcome"] == "would create"
    cut = await bench.attempt("any-3", kind="repair", intercept=die("accounts create", after=True), username="any")
    assert cut.failed_step == "create_account"
    made = await bench.finish("any-3", cut, kind="repair", username="any")
    assert made.outcomes[0] is Outcome.CREATED
    assert made.result("create_account").credentials_secret is not None
    assert (await bench.attempt("any-4", kind="repair", username="any")).outcomes == NOTHING


@pytest.mark.parametrize(
    ("name", "annotations", "code"),
    [
        ("nobody", {}, "tenant_not_found"),
        ("first", {OWNER: "first", JOB: "an-earlier-job"}, "invalid_request"),
        (
            "quiet",
            {
                OWNER: "quiet",
                JOB: "an-earlier-job",
                SPEC: json.dumps(
                    {
                        "version": 1,
                        "wanted": {
                            "username": "quiet",
                            "role": "owner",
                            "subjects": ["quiet"],
                            "managed_by": "tests",
                            "resources": {},
                            "suspended": True,
                        },
                    }
                ),
            },
            "tenant_suspended",
        ),
    ],
)
async def test_what_cannot_be_repaired_is_left_alone(
    everest: SimulatedEverest, bench: Bench, name: str, annotations: dict[str, str], code: str
) -> None:
    metadata = {"name": f"left-{name}", "annotations": annotations}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    await everest.create(manifest)
    before = await read_versions(everest)
    made = await bench.attempt(f"{name}-1", kind="repair", username=name)
    assert made.code == code
    assert await read_versions(everest) == before
