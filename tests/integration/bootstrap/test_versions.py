"""The workflow beside Everest as it was and as it is today, and the proof that what it made can be used."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.records import Outcome
from tests.simulator import SimulatedEverest, simulated_everest
from tests.support.arrangement import have_tenant
from tests.support.roles import FLAT, USER
from tests.support.workflows import Bench, cut_at, open_bench

BEFORE_THE_MOVE, TODAY = "1.10.0", "1.16.1"  # of the chart repository
LARGE = {"cpu_cores": 4, "ram_mb": 8192, "disk_gb": 100}
POSTGRESQL: dict[str, Any] = {"operators": {"postgresql": True}, "resources": LARGE}
MADE = [Outcome.CREATED, Outcome.CREATED, Outcome.APPLIED, Outcome.APPLIED]


@asynccontextmanager
async def opened(folder: Path, **versions: str) -> AsyncIterator[tuple[SimulatedEverest, Bench]]:
    """A cluster whose Everest enforces RBAC, and a handler's bench for it."""
    async with simulated_everest(folder, job_seconds=0.1, **versions) as everest:  # type: ignore[arg-type]
        await enforce_rbac(everest)
        async with open_bench(everest.variables) as bench:
            yield everest, bench


async def enforce_rbac(everest: SimulatedEverest) -> None:
    change = json.dumps({"data": {"enabled": "true"}})
    argv = ("kubectl", "patch", "configmap", "everest-rbac", "-n", "everest-system", "--type=merge", "-p", change)
    code, _, stderr = await everest.run(*argv)
    assert code == 0, stderr


@pytest.mark.parametrize("version", [pytest.param(BEFORE_THE_MOVE, marks=pytest.mark.slow), TODAY])
async def test_the_workflow_works_beside_every_server(tmp_path: Path, version: str) -> None:
    """New and proved usable, with operators where there were none, taken over, and taken up where a handler died."""
    async with opened(tmp_path, version=version) as (everest, bench):
        made = await bench.onboard("new-1", username="alice", **POSTGRESQL)
        assert made.outcomes == [*MADE, Outcome.VERIFIED]
        assert (made.result("verify_tenant").usable, made.warnings) == (True, [])
        await have_tenant(everest, bench, "plain-1", username="plain")
        more = await bench.onboard("more-1", username="plain", resources=LARGE, operators={"mongodb": True})
        assert (more.outcomes[1], more.result("verify_tenant").usable) == (Outcome.UPDATED, True)
        await everest.run("kubectl", "create", "namespace", "old")
        taken = await bench.onboard("taken-1", username="taken", namespace="old", take_ownership=True, **POSTGRESQL)
        assert (taken.outcomes[1], taken.result("verify_tenant").usable) == (Outcome.UPDATED, True)
        cut = await bench.attempt("cut-1", username="cut", intercept=cut_at(8, 0.1), **POSTGRESQL)
        assert cut.failed_step == "add_namespace"
        assert (await bench.onboard("cut-1", username="cut", **POSTGRESQL)).result("verify_tenant").usable is True
        assert not (await everest.state())["has_server_crashed"]


@pytest.mark.parametrize(("version", "cli_version"), [(TODAY, BEFORE_THE_MOVE), (BEFORE_THE_MOVE, TODAY)])
async def test_across_the_move_all_but_the_installation_works(tmp_path: Path, version: str, cli_version: str) -> None:
    """And that is refused before there is an account, with what to build."""
    async with opened(tmp_path, version=version, cli_version=cli_version) as (_, bench):
        refused = await bench.attempt("operators-1", username="alice", **POSTGRESQL)
        assert (refused.failed_step, refused.code) == ("add_namespace", "unsupported_version")
        assert refused.failure is not None
        assert refused.failure.failure.hint == f"Build the handlers' image with EVERESTCTL_VERSION={version}."
        assert not any("create" in line for line in refused.ran)
        plain = await bench.onboard("plain-1", username="alice")
        assert plain.outcomes == [*MADE, Outcome.UNVERIFIED]
        assert plain.result("verify_tenant").usable is None
        assert f"everestctl is v{cli_version} and Everest is v{version}: use the same minor version." in plain.warnings


async def test_a_version_2_is_refused_on_either_side(tmp_path: Path) -> None:
    async with opened(tmp_path / "cli", version=TODAY, cli_version="2.0.0-dev.1") as (_, bench):
        made = await bench.attempt("cli-1", username="alice")
        assert (made.failed_step, made.code) == ("create_account", "unsupported_version")
        assert made.failure is not None
        assert "everestctl is v2.0.0-dev.1" in made.failure.failure.message
    async with opened(tmp_path / "server", version="2.0.0-dev.4", cli_version=TODAY) as (_, bench):
        made = await bench.attempt("server-1", username="alice")
        assert (made.failed_step, made.code) == ("create_account", "unsupported_version")


async def test_an_engine_without_versions_is_not_usable(tmp_path: Path) -> None:
    """It is waited for; the job succeeds all the same, unless the deployment says otherwise."""
    async with opened(tmp_path, version=TODAY) as (everest, bench):
        await everest.set_faults(no_version_service=True)
        made = await bench.onboard("offline-1", username="offline", **POSTGRESQL)
        result = made.result("verify_tenant")
        assert (result.outcome, result.usable) == (Outcome.UNVERIFIED, False)
        assert any("check.percona.com" in warning for warning in made.warnings)
        strict = bench.having(EVEREST_REQUIRE_USABLE="true")
        refused = await strict.attempt("offline-2", only="verify_tenant", username="offline", **POSTGRESQL)
        assert (refused.failed_step, refused.code) == ("verify_tenant", "not_usable")
        patient = bench.having(EVEREST_READY_TIMEOUT="60")
        waits = patient.attempt("offline-3", only="verify_tenant", username="offline", **POSTGRESQL)
        await everest.set_faults()
        assert (await waits).result("verify_tenant").usable is True


async def test_a_tenant_without_its_role_is_not_usable(tmp_path: Path) -> None:
    async with opened(tmp_path, version=TODAY) as (_, bench):
        made = await bench.having(EVEREST_RBAC_APPLY_CMD="").onboard("roleless-1", username="roleless", **POSTGRESQL)
        assert made.result("verify_tenant").usable is False
        assert "roleless may not create databases in namespace roleless" in " ".join(made.warnings)


@pytest.mark.slow
async def test_without_the_right_to_look_at_engines_nothing_is_said(tmp_path: Path) -> None:
    roles = []
    for number, manifest in enumerate(FLAT.manifests):
        lines = manifest.read_text().splitlines(keepends=True)
        roles.append(tmp_path / f"{number}.yaml")
        roles[-1].write_text("".join(line for line in lines if "databaseengines" not in line))
    async with simulated_everest(tmp_path, roles=roles, user=USER, job_seconds=0.1, version=TODAY) as everest:
        handler = dict(everest.variables)
        everest.kubeconfig = everest.admin_kubeconfig
        await enforce_rbac(everest)
        async with open_bench(handler, **FLAT.settings) as bench:
            made = await bench.onboard("blind-1", username="blind", **POSTGRESQL)
    result = made.result("verify_tenant")
    assert (result.outcome, result.usable) == (Outcome.UNVERIFIED, None)
    (warning,) = result.warnings
    assert "Grant the handler list on databaseengines in API group 'everest.percona.com'" in warning


async def test_a_policy_of_the_cluster_that_denies_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as (everest, bench):
        why = "a namespace needs a team label"
        denial = {"resource": "namespaces", "verb": "create", "policy": "teams.example", "binding": "everywhere"}
        await everest.set_faults(denials=[{**denial, "message": why}])
        made = await bench.attempt("denied-1", username="denied")
        assert (made.failed_step, made.code) == ("add_namespace", "forbidden")
        assert made.failure is not None
        assert why in made.failure.failure.message
        assert "ValidatingAdmissionPolicy teams.example (binding everywhere)" in made.failure.failure.hint


async def test_a_failed_installation_says_where_to_look(tmp_path: Path) -> None:
    """In the tenant's namespace, by its name."""
    async with opened(tmp_path) as (everest, bench):
        await everest.set_faults(job_fails=9)
        made = await bench.attempt("broken-1", username="broken", **POSTGRESQL)
        assert (made.failed_step, made.code) == ("add_namespace", "operators_install_failed")
        assert made.failure is not None
        assert made.failure.failure.hint.endswith("kubectl get jobs,pods,subscriptions,installplans,events -n broken.")
