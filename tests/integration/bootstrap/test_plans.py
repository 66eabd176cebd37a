"""A plan says what the job then does, and changes nothing. `make plans` tries a hundred random states."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from handlers.commands.secret import MASK
from tests.laboratory.plans import draw_state, read_versions, try_state
from tests.simulator import SimulatedEverest
from tests.support.arrangement import have_tenant
from tests.support.clusters import open_cluster
from tests.support.roles import FLAT, USER
from tests.support.workflows import Bench, open_bench

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "seed", [5, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (*range(111, 130), 156, 180))]
)
async def test_the_job_does_what_its_plan_says(everest: SimulatedEverest, bench: Bench, seed: int) -> None:
    """New with operators, suspended, taken away, the same again; more by `make slow`."""
    assert (await try_state(everest, bench, draw_state(seed))).differences == []


async def test_what_a_plan_tells(everest: SimulatedEverest, bench: Bench) -> None:
    """Of a tenant who is new: every command, the quota, the policy's lines, and what could not be tried."""
    before = await read_versions(everest)
    plan = await bench.plan(username="seen", operators={"postgresql": True})
    assert await read_versions(everest) == before
    assert plan["would"] == "change"
    assert (plan["inputs"]["role"], plan["inputs"]["resources"]["ram_mb"]) == ("developer", 2048)
    steps = {step["name"]: step for step in plan["steps"]}
    assert [step["outcome"] for step in steps.values()] == [
        *["would create"] * 3,
        "would update",
        "would verify",
    ]
    assert steps["create_account"]["commands"] == [
        "kubectl create -f -",
        f"everestctl accounts create -u seen -p {MASK}",
    ]
    assert steps["add_namespace"]["commands"][-1].startswith("everestctl namespaces add seen --operator.mongodb=false")
    assert "kind: ResourceQuota" in steps["apply_resource_quota"]["manifest_preview"]
    assert "\n+g, seen, role:seen\n" in steps["apply_rbac_policy"]["diff"]
    assert "The quota could not be tried: there is no namespace seen yet." in plan["warnings"]
    assert [step["error"] for step in steps.values()] == [None] * 5


async def test_a_plan_says_what_would_be_refused_and_at_which_step(everest: SimulatedEverest, bench: Bench) -> None:
    await have_tenant(everest, bench, "owner-1", username="owner_of_it", namespace="taken")
    plan = await bench.plan(username="latecomer", namespace="taken")
    assert plan["would"] == "fail"
    (step,) = plan["steps"]
    assert (step["name"], step["outcome"]) == ("add_namespace", "refused: namespace_owned_by_another")
    assert step["error"]["message"] == "Namespace taken belongs to owner_of_it."


async def test_an_admission_that_would_refuse_is_heard_by_a_dry_run(everest: SimulatedEverest, bench: Bench) -> None:
    words = "a namespace needs a cost centre"
    denial = {"resource": "namespaces", "name": "costly", "policy": "costs", "message": words}
    await everest.set_faults(denials=[denial])
    try:
        plan = await bench.plan(username="costly")
    finally:
        await everest.set_faults()
    step = plan["steps"][-1]
    assert (plan["would"], step["name"], step["outcome"]) == ("fail", "add_namespace", "refused: forbidden")
    assert words in step["error"]["message"]


async def test_a_policy_that_is_invalid_already_is_told(everest: SimulatedEverest, bench: Bench) -> None:
    found: dict[str, Any] = await everest.get("configmap", "everest-rbac", "-n", "everest-system")
    good = found["data"]["policy.csv"]
    await write_policy(everest, good + "p, role:nobody, database-clusters, read, */*\n")
    try:
        plan = await bench.plan(username="unlucky")
    finally:
        await write_policy(everest, good)
    assert (plan["would"], plan["steps"][-1]["outcome"]) == ("fail", "refused: stored_policy_invalid")


async def write_policy(everest: SimulatedEverest, text: str) -> None:
    found = await everest.get("configmap", "everest-rbac", "-n", "everest-system")
    found["data"]["policy.csv"] = text
    await everest.replace(found)


async def test_the_rights_that_a_handler_lacks_are_named(tmp_path: Path) -> None:
    """By access reviews, which are answered also about a namespace that is not there."""
    less = tmp_path / "roles.yaml"
    roles = list(yaml.safe_load_all(FLAT.manifests[0].read_text()))
    for rule in [rule for role in roles for rule in (role or {}).get("rules", ())]:
        if "resourcequotas" in rule["resources"]:
            rule["verbs"] = ["get"]
    less.write_text(yaml.safe_dump_all(roles))
    async with (
        open_cluster(tmp_path, roles=[less], user=USER) as everest,
        open_bench(everest.variables) as bench,
    ):
        plan = await bench.plan(username="rightless")
    step = plan["steps"][-1]
    assert (plan["would"], step["name"], step["outcome"]) == ("fail", "apply_resource_quota", "refused: forbidden")
    assert "create resourcequotas in rightless" in step["error"]["message"]
