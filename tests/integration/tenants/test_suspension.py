"""A tenant suspended and resumed in a cluster: nothing of it works, and everything comes back as it was."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from contracts.records import Outcome
from handlers.bootstrap.steps import STEPS
from handlers.commands.running import Command, Completed
from handlers.rbac.policy import SUSPENSION
from handlers.results import RunCommand, StepResult
from handlers.tenants.claims import JOB, OWNER
from tests.simulator import SimulatedEverest
from tests.support.clusters import open_cluster
from tests.support.tenants import (
    disable,
    look_at,
    make_database,
    make_tenant,
    put,
    read_policy,
    run,
    write_policy,
)
from tests.support.workflows import Attempt, Bench, die_at

pytestmark = pytest.mark.asyncio(loop_scope="module")

DONE, SKIPPED, UNCHANGED = Outcome.UPDATED, Outcome.SKIPPED, Outcome.UNCHANGED


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedEverest]:
    async with open_cluster(tmp_path_factory.mktemp("cluster"), job_seconds=0.1) as running:
        await write_policy(running, await read_policy(running), enabled=True)
        yield running


async def suspend(bench: Bench, name: str, **request: Any) -> Attempt:
    return await bench.attempt(f"suspend-{name}", kind="suspend", username=name, **request)


async def resume(bench: Bench, name: str) -> Attempt:
    return await bench.attempt(f"resume-{name}", kind="resume", username=name)


async def test_a_suspended_tenant_can_do_nothing_and_comes_back_as_it_was(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """The policy byte for byte, with what an administrator has spelt anew; databases that ran, and no others."""
    await make_tenant(everest, "anna", "anna", "anna-two")
    await make_database(everest, "anna", "ran")
    await make_database(everest, "anna-two", "slept", paused=True)
    respelt = (await read_policy(everest)).replace("g, anna, role:anna", 'g,  anna, "role:anna"')
    await write_policy(everest, respelt + "#p, role:anna, namespaces, read, anna\n# the end")
    before = await look_at(everest, "anna", "anna", "anna-two")

    plan = await bench.plan(kind="suspend", username="anna", pause_databases=True)
    assert plan["would"] == "change"
    assert [step["outcome"] for step in plan["steps"]] == ["would update", "would update"]
    assert await look_at(everest, "anna", "anna", "anna-two") == before

    made = await suspend(bench, "anna", pause_databases=True)
    assert made.outcomes == [DONE, DONE], made.failure
    away = await look_at(everest, "anna", "anna", "anna-two")
    assert away.policy.count(SUSPENSION) == len(
        {*before.specs["anna"]["applied"], *before.specs["anna-two"]["applied"]}
    )
    assert away.policy.replace(SUSPENSION, "") == before.policy
    assert (away.is_enabled, away.is_suspended) == (False, {True})
    assert away.paused == {"ran": True, "slept": True}
    assert {spec["generation"] for spec in away.specs.values()} == {2}
    assert await run(everest, "everestctl", "settings", "rbac", "can", "anna", "read", "namespaces", "anna") == "No\n"

    again = await suspend(bench, "anna", pause_databases=True)
    assert again.outcomes == [UNCHANGED, UNCHANGED]
    assert (await bench.plan(kind="suspend", username="anna", pause_databases=True))["would"] == "nothing"

    back = await resume(bench, "anna")
    assert back.outcomes == [DONE, DONE], back.failure
    after = await look_at(everest, "anna", "anna", "anna-two")
    assert (after.policy, after.is_enabled, after.paused) == (before.policy, True, before.paused)
    assert after.is_suspended == {False}
    assert all("suspension" not in spec for spec in after.specs.values())
    assert (await resume(bench, "anna")).outcomes == [UNCHANGED, UNCHANGED]


async def test_until_it_is_resumed_nothing_is_made_for_it(everest: SimulatedEverest, bench: Bench) -> None:
    """Nor by a job that failed before and is taken up again, wherever it was."""
    await make_tenant(everest, "bert")
    assert (await suspend(bench, "bert")).outcomes == [DONE, SKIPPED]
    before = await look_at(everest, "bert")
    for number in range(len(STEPS) - 1):
        done = Attempt({step.name: StepResult(UNCHANGED) for step in STEPS[:number]})
        refused = await bench.attempt("again", username="bert", done=done, run_number=1 + (number > 0))
        assert refused.code == "tenant_suspended"
        assert not any(command.changes for command in refused.commands)
    refused = await bench.attempt("another", username="bert", namespace="bert-more")
    assert (refused.code, await everest.get("namespace", "bert-more")) == ("tenant_suspended", None)
    assert await look_at(everest, "bert") == before
    assert (await bench.plan(username="bert"))["steps"][-1]["outcome"] == "refused: tenant_suspended"
    await resume(bench, "bert")
    assert (await bench.attempt("now", username="bert")).failure is None


async def test_what_a_suspension_did_not_take_is_not_given_back(everest: SimulatedEverest, bench: Bench) -> None:
    """An account that was disabled before; a database that somebody made anew under the old name."""
    await make_tenant(everest, "carl")
    await make_database(everest, "carl", "first")
    users = await disable(everest, "carl")
    assert "enabled: false" in users
    await suspend(bench, "carl", pause_databases=True)
    await run(everest, "kubectl", "delete", "databaseclusters.everest.percona.com", "first", "-n", "carl")
    await make_database(everest, "carl", "first", paused=True)
    back = await resume(bench, "carl")
    after = await look_at(everest, "carl")
    assert (after.is_enabled, after.paused) == (False, {"first": True})
    assert any("first" in warning for warning in back.warnings)


async def test_a_database_that_is_made_anew_meanwhile_is_looked_at_anew(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """The patch is of the very object that was seen; another one of its name is written down first, too."""
    await make_tenant(everest, "cora")
    await make_database(everest, "cora", "db")
    replaced = False

    def intercept(execute: RunCommand) -> RunCommand:
        async def replace_it(command: Command) -> Completed:
            nonlocal replaced
            if "patch databaseclusters" in command.shown and not replaced:
                replaced = True
                await run(everest, "kubectl", "delete", "databaseclusters.everest.percona.com", "db", "-n", "cora")
                await make_database(everest, "cora", "db")
            return await execute(command)

        return replace_it

    made = await bench.attempt("c", kind="suspend", username="cora", pause_databases=True, intercept=intercept)
    assert (made.outcomes, replaced) == ([DONE, DONE], True), made.failure
    away = await look_at(everest, "cora")
    found = await everest.get("databaseclusters.everest.percona.com", "db", "-n", "cora")
    assert away.specs["cora"]["suspension"]["paused"] == {"db": found["metadata"]["uid"]}
    assert away.paused == {"db": True}


async def test_a_right_of_somebody_else_stays_and_the_policy_valid(everest: SimulatedEverest, bench: Bench) -> None:
    await make_tenant(everest, "dora")
    foreign = "p, role:dora, backup-storages, read, dora/*\n"
    await write_policy(everest, foreign + (await read_policy(everest)).rstrip("\n"))
    before = await read_policy(everest)
    made = await suspend(bench, "dora")
    assert "g, role:dora, role:dora" in (await read_policy(everest)).split("\n")
    assert any(foreign.strip() in warning for warning in made.warnings)
    assert "Valid" in await run(everest, "everestctl", "settings", "rbac", "validate")
    await resume(bench, "dora")
    assert await read_policy(everest) == before


@pytest.mark.parametrize("command", ["", "/bin/true --file {file} {withdraw}"])
async def test_another_command_suspends_nobody(everest: SimulatedEverest, bench: Bench, command: str) -> None:
    name = "emil" if command else "ella"
    await make_tenant(everest, name)
    before = await look_at(everest, name)
    refused = await suspend(bench.having(EVEREST_RBAC_APPLY_CMD=command), name)
    assert refused.code == "withdraw_unsupported"
    assert await look_at(everest, name) == before


@pytest.mark.parametrize(
    ("after", "points"),
    [
        (True, (2, 4)),
        pytest.param(False, range(5), marks=pytest.mark.slow),
        pytest.param(True, range(5), marks=pytest.mark.slow),
    ],
)
async def test_killed_anywhere_it_ends_as_if_it_was_not(
    everest: SimulatedEverest, bench: Bench, after: bool, points: Sequence[int]
) -> None:
    """Suspended whole by whoever goes on, and resumed byte for byte."""
    name = f"kill_{after}_{len(points)}".lower()
    namespace = name.replace("_", "-")
    await make_tenant(everest, name, namespace)
    await make_database(everest, namespace, "db")
    before = await look_at(everest, name, namespace)
    suspended = None
    for number in points:  # claim, policy, account, names of the databases, database; and back
        cut = die_at(number, after=after)
        made = await bench.attempt("s", kind="suspend", username=name, pause_databases=True, intercept=cut)
        assert made.failed_step is not None, "there is a change of that number"
        ended = await bench.finish("s", made, kind="suspend", username=name, pause_databases=True)
        assert (ended.failure, ended.outcomes) == (None, [DONE, DONE]), "it says what was done before the kill"
        assert "+#everest-bootstrap" in (ended.result("revoke_access").policy_diff or "")
        away = await look_at(everest, name, namespace)
        suspended = suspended or away
        assert (away.policy, away.is_enabled, away.paused) == (suspended.policy, False, {"db": True})
        assert away.specs[namespace]["suspension"] == suspended.specs[namespace]["suspension"]
        made = await bench.attempt("r", kind="resume", username=name, intercept=die_at(number, after=after))
        assert made.failed_step is not None
        ended = await bench.finish("r", made, kind="resume", username=name)
        assert ended.outcomes == [DONE, DONE]
        assert "-#everest-bootstrap" in (ended.result("restore_access").policy_diff or "")
        back = await look_at(everest, name, namespace)
        assert (ended.failure, back.policy, back.is_enabled, back.paused) == (None, before.policy, True, before.paused)
        assert "suspension" not in back.specs[namespace]


async def test_tenants_of_version_0_1_0_and_of_single_sign_on(everest: SimulatedEverest, bench: Bench) -> None:
    """The first bear no spec yet and get one; the second have no account."""
    await make_tenant(everest, "fritz", account=False)
    old = {"name": "fritz-old", "annotations": {OWNER: "fritz", JOB: "an-old-job"}}
    await put(everest, {"apiVersion": "v1", "kind": "Namespace", "metadata": old})
    before = await read_policy(everest)
    assert (await suspend(bench, "fritz")).failure is None
    away = await look_at(everest, "fritz", "fritz", "fritz-old")
    assert (away.is_enabled, away.is_suspended) == (None, {True})
    assert json.loads(json.dumps(away.specs["fritz-old"]["wanted"]))["adopted"] is True
    await resume(bench, "fritz")
    assert await read_policy(everest) == before


async def test_nobody_suspends_who_is_not_there_or_another_callers(everest: SimulatedEverest, bench: Bench) -> None:
    for kind in ("suspend", "resume"):
        made = await bench.attempt(kind, kind=kind, username="nobody_here")
        assert made.code == "tenant_not_found"
    await make_tenant(everest, "greta")
    bound = bench.called_by("another", is_bound=True)
    assert (await suspend(bound, "greta")).code == "tenant_managed_by_another"
