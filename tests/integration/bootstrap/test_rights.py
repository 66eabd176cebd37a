"""Whose lines are whose: what a bootstrap adds to the policy and takes from it, seen through Everest's own answers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts.records import Outcome
from handlers.tenants.access import first_lines
from handlers.tenants.claims import JOB, LABEL, OWNER, SPEC
from tests.simulator import SimulatedEverest, simulated_everest
from tests.support.arrangement import have_tenant
from tests.support.clusters import open_cluster
from tests.support.workflows import Bench, cut_at, open_bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEED = "g, admin, role:admin\n"
DATABASES = "database-clusters"
ACCESS = "apply_rbac_policy"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedEverest]:
    async with open_cluster(tmp_path_factory.mktemp("cluster"), job_seconds=0.1) as running:
        await edit(running, lambda _: SEED, enabled="true")
        yield running


async def read_policy(everest: SimulatedEverest) -> str:
    found = await everest.get("configmap", "everest-rbac", "-n", "everest-system")
    return str(found["data"]["policy.csv"])


async def edit(everest: SimulatedEverest, change: Any, **data: str) -> None:
    """As an administrator does."""
    found = await everest.get("configmap", "everest-rbac", "-n", "everest-system")
    found["data"] |= {"policy.csv": change(found["data"]["policy.csv"]), **data}
    await everest.replace(found)
    assert not (await everest.state())["has_server_crashed"]


async def grant(everest: SimulatedEverest, *lines: str) -> None:
    await edit(everest, lambda policy: policy + "".join(f"{line}\n" for line in lines))


async def may(everest: SimulatedEverest, subject: str, action: str, name: str, resource: str = DATABASES) -> bool:
    """What `everestctl settings rbac can` says of the cluster's policy."""
    code, stdout, stderr = await everest.run("everestctl", "settings", "rbac", "can", subject, action, resource, name)
    assert code == 0, stderr
    return stdout == "Yes\n"


async def read_spec(everest: SimulatedEverest, name: str) -> dict[str, Any]:
    metadata = (await everest.get("ns", name))["metadata"]
    assert metadata["labels"][LABEL] == "true"
    return dict(json.loads(metadata["annotations"][SPEC]))


async def put_claim(everest: SimulatedEverest, name: str, owner: str, **spec: Any) -> None:
    """As an earlier job left it; without a spec, one of version 0.1.0."""
    annotations = {OWNER: owner, JOB: f"{owner}-0"} | ({SPEC: json.dumps(spec)} if spec else {})
    metadata = {"name": name, "labels": {"name": name}, "annotations": annotations}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    await everest.create(manifest)


# Nobody loses a line.


async def test_a_second_namespace_leaves_the_rights_in_the_first(everest: SimulatedEverest, bench: Bench) -> None:
    await have_tenant(everest, bench, "alice-1", username="alice")
    second = await bench.onboard("alice-2", username="alice", namespace="alice2")
    assert second.outcomes[-2] is Outcome.APPLIED
    for name in ("alice", "alice2"):
        assert await may(everest, "alice", "read", f"{name}/db1")
        assert await may(everest, "alice", "delete", f"{name}/db1")
        assert not await may(everest, "stranger", "read", f"{name}/db1")
    assert not await may(everest, "alice", "read", "alice3/db1")
    assert (await read_policy(everest)).count("g, alice, role:alice\n") == 1


async def test_what_an_administrator_adds_to_a_tenants_role_survives_every_job(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """Everest's own documents tell administrators to do so."""
    await have_tenant(everest, bench, "added-1", username="added")
    theirs = ("p, role:added, database-cluster-backups, *, added/*", "g, helper, role:added", "# as agreed")
    await grant(everest, *theirs)
    before = await read_policy(everest)
    for job_id in ("added-1", "added-2"):
        assert (await bench.attempt(job_id, only=ACCESS, username="added")).failure is None
    assert await read_policy(everest) == before
    assert await may(everest, "helper", "create", "added/b", "database-cluster-backups")


async def test_a_role_that_is_somebodys_is_not_taken_over(everest: SimulatedEverest, bench: Bench) -> None:
    """Bob would gain the new tenant's rights, and lose his own."""
    await grant(everest, f"p, role:devteam, {DATABASES}, *, dev/*", "g, bob, role:devteam")
    before = await read_policy(everest)
    refused = await bench.attempt("devteam-1", username="devteam")
    assert (refused.failed_step, refused.code) == ("apply_rbac_policy", "role_taken")
    assert refused.failure is not None
    assert "`g, bob, role:devteam`" in refused.end.failure.message
    assert await read_policy(everest) == before
    assert await everest.get("ns", "devteam") is None
    assert "devteam" not in (await everest.run("everestctl", "accounts", "list"))[1]
    adopted = await bench.onboard("devteam-2", username="devteam", take_ownership=True)
    (warning,) = (one for one in adopted.warnings if "adopted" in one)
    assert "Its members: bob" in warning
    assert (await read_policy(everest)).startswith(before)
    assert await may(everest, "bob", "delete", "dev/db1")
    again = await bench.onboard("devteam-3", username="devteam")
    assert again.code is None, "the claim explains the role now"


@pytest.mark.slow
async def test_what_others_gave_a_tenants_name_is_told(everest: SimulatedEverest, bench: Bench) -> None:
    """A new account of that name holds it as well: an old employee's rights, or a group's."""
    right = f"p, oncall, {DATABASES}, *, */*"
    await grant(everest, right)
    made = await bench.onboard("oncall-1", username="oncall")
    assert [one for one in made.warnings if "oncall may do more than was asked for" in one and f"`{right}`" in one]


async def test_a_publisher_is_given_nobodys_name_and_nobodys_role(everest: SimulatedEverest, bench: Bench) -> None:
    """An account named like a group holds what the group holds: of administrators, everything."""
    await grant(
        everest, "g, platform_admins, role:admin", f"p, role:keepers, {DATABASES}, *, kept/*", "g, x, role:keepers"
    )
    before = await read_policy(everest)
    for username, namespace in (("platform_admins", "platform"), ("keepers", "keepers")):
        request: dict[str, Any] = {"username": username, "namespace": namespace, "take_ownership": True}
        for one in (bench.called_by("portal"), bench.called_by("team", is_bound=True)):
            job_id = f"portal.{username}" if one.caller == "portal" else f"{username}-1"
            refused = await one.attempt(job_id, **request)
            assert (refused.failed_step, refused.code) == ("apply_rbac_policy", "role_taken")
        assert await everest.get("ns", namespace) is None
        assert username not in (await everest.run("everestctl", "accounts", "list"))[1]
    assert await read_policy(everest) == before
    made = await bench.onboard("admins-1", username="platform_admins", namespace="platform")
    assert any("platform_admins may do more than was asked for" in one for one in made.warnings)


@pytest.mark.slow
async def test_where_no_role_is_bound_none_is_taken(everest: SimulatedEverest, bench: Bench) -> None:
    """Without a command people write the policy, and may call their roles as they like."""
    await bench.having(EVEREST_RBAC_APPLY_CMD="").onboard("byhand-1", username="byhand")
    await grant(everest, f"p, role:byhand, {DATABASES}, *, elsewhere/*", "g, byhand, role:byhand")
    again = await bench.having(EVEREST_RBAC_APPLY_CMD="").onboard("byhand-2", username="byhand")
    assert again.result("apply_rbac_policy").outcome is Outcome.SKIPPED
    assert not any("adopted" in one for one in again.warnings)


@pytest.mark.slow
async def test_a_role_with_nothing_but_what_is_asked_for_is_nobodys_loss(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """Left from a tenant of that name, or written by hand. Not ours: nobody may take it away again."""
    await grant(everest, *first_lines("leftover", "leftover"))
    await bench.onboard("leftover-1", username="leftover")
    assert (await read_spec(everest, "leftover"))["applied"] == []


# What the claim says.


async def test_the_claim_says_what_is_wanted_and_what_was_written(everest: SimulatedEverest, bench: Bench) -> None:
    await bench.called_by("portal").onboard("spec-1", username="spec_user", namespace="spec")
    spec = await read_spec(everest, "spec")
    assert (spec["version"], spec["generation"]) == (1, 1)
    assert tuple(spec["applied"]) == first_lines("spec_user", "spec")
    wanted = spec["wanted"]
    assert (wanted["role"], wanted["subjects"], wanted["managed_by"]) == ("developer", ["spec_user"], "portal")
    assert (wanted["account_created"], wanted["adopted"], wanted["suspended"]) == (True, False, False)
    assert (wanted["username"], wanted["namespace"], wanted["resources"]["ram_mb"]) == ("spec_user", "spec", 2048)
    version = (await everest.get("ns", "spec"))["metadata"]["resourceVersion"]
    await bench.onboard("spec-2", username="spec_user", namespace="spec")
    assert (await everest.get("ns", "spec"))["metadata"]["resourceVersion"] == version, "a repeat writes nothing"
    await bench.onboard("spec-3", username="spec_user", namespace="spec", resources={"ram_mb": 4096})
    changed = await read_spec(everest, "spec")
    assert (changed["generation"], changed["wanted"]["resources"]["ram_mb"]) == (2, 4096)
    assert (changed["wanted"]["managed_by"], changed["wanted"]["account_created"]) == ("portal", True)


async def test_members_of_a_later_version_are_kept(everest: SimulatedEverest, bench: Bench) -> None:
    await have_tenant(everest, bench, "later-1", username="later")
    spec = await read_spec(everest, "later")
    spec["notes"] = {"by": "a later version"}
    spec["wanted"]["colour"] = "blue"
    await annotate(everest, "later", spec)
    await bench.onboard("later-2", username="later", resources={"disk_gb": 99})
    kept = await read_spec(everest, "later")
    assert (kept["notes"], kept["wanted"]["colour"], kept["generation"]) == (spec["notes"], "blue", 2)


async def annotate(everest: SimulatedEverest, name: str, spec: dict[str, Any]) -> None:
    argv = ("kubectl", "annotate", "ns", name, f"{SPEC}={json.dumps(spec)}", "--overwrite")
    code, _, stderr = await everest.run(*argv)
    assert code == 0, stderr


OF_LATER = '{"version": 2, "wanted": {"role": "x", "subjects": [], "managed_by": "y"}}'


@pytest.mark.parametrize(("name", "text"), [("half", "{"), ("listed", "[]"), ("later-version", OF_LATER)])
async def test_a_spec_that_cannot_be_read_is_never_overwritten(
    everest: SimulatedEverest, bench: Bench, name: str, text: str
) -> None:
    username = name.replace("-", "_")
    await put_claim(everest, name, username)
    await everest.run("kubectl", "annotate", "ns", name, f"{SPEC}={text}")
    refused = await bench.attempt(f"{name}-1", username=username, namespace=name)
    assert refused.code == "unsupported_version"
    assert (await everest.get("ns", name))["metadata"]["annotations"][SPEC] == text


@pytest.mark.slow
async def test_a_claim_of_the_first_version_is_taken_for_what_it_wrote(everest: SimulatedEverest, bench: Bench) -> None:
    """The brief's eight lines; a second namespace does not take them away, and who claimed it is not the account."""
    await put_claim(everest, "old-ns", "old")
    await grant(everest, *first_lines("old", "old-ns"))
    await bench.onboard("old-1", username="old", namespace="old-ns2")
    assert await may(everest, "old", "update", "old-ns/db1")
    await bench.onboard("old-2", username="old", namespace="old-ns")
    spec = await read_spec(everest, "old-ns")
    assert tuple(spec["applied"]) == first_lines("old", "old-ns")
    assert (spec["wanted"]["managed_by"], spec["wanted"]["adopted"]) == ("admin", True)
    assert "account_created" not in spec["wanted"] or spec["wanted"]["account_created"]


async def test_lines_that_are_not_wanted_any_more_go_in_the_same_write(everest: SimulatedEverest, bench: Bench) -> None:
    """Ours, and in this namespace: what another of the tenant's namespaces needs stays, and so does all else."""
    await have_tenant(everest, bench, "less-1", username="less")
    await have_tenant(everest, bench, "less-2", username="less", namespace="less2")
    extra = f"p, role:less, {DATABASES}, *, less/*"
    await grant(everest, extra, "p, role:less, backup-storages, read, less/*", "g, less, role:shared")
    spec = await read_spec(everest, "less")
    spec["applied"] += [extra, "g, less, role:less"]
    await annotate(everest, "less", spec)
    before = await read_policy(everest)
    made = await bench.attempt("less-3", only=ACCESS, username="less")
    assert await read_policy(everest) == before.replace(f"{extra}\n", "")
    assert made.result("apply_rbac_policy").policy_diff == diff_of(before, f"-{extra}")
    assert (await read_spec(everest, "less"))["applied"] == list(first_lines("less", "less"))


def diff_of(before: str, *changes: str) -> str:
    """The changes at the place where they are, with the lines around them."""
    lines = before.splitlines()
    at = lines.index(changes[0][1:])
    around = (
        [f" {line}" for line in lines[at - 3 : at]] + list(changes) + [f" {line}" for line in lines[at + 1 : at + 4]]
    )
    old, new = len(around), len(around) - len(changes)
    head = f"--- stored\n+++ merged\n@@ -{at - 2},{old} +{at - 2},{new} @@\n"
    return head + "".join(f"{line}\n" for line in around)


async def test_another_command_is_given_what_to_take_away_where_it_asks(
    everest: SimulatedEverest, bench: Bench, tmp_path: Path
) -> None:
    """Without {withdraw} it could not: then the lines are named, and the claim goes on knowing them."""
    program = tmp_path / "take"
    program.write_text('#!/bin/sh\ncat "$2" > "$(dirname "$0")/gone"\n')
    program.chmod(0o755)
    extra = f"p, role:other, {DATABASES}, *, other/*"
    await have_tenant(everest, bench, "other-1", username="other")
    await grant(everest, extra)
    spec = await read_spec(everest, "other")
    await annotate(everest, "other", spec | {"applied": [*spec["applied"], extra]})
    unable = bench.having(EVEREST_RBAC_APPLY_CMD=f"{program} {{file}} /dev/null")
    made = await unable.attempt("other-2", only=ACCESS, username="other")
    (warning,) = (one for one in made.warnings if "not wanted any more" in one)
    assert f"`{extra}`" in warning
    assert "{withdraw}" in warning
    unset = await bench.having(EVEREST_RBAC_APPLY_CMD="").attempt("other-3", only=ACCESS, username="other")
    assert any(f"`{extra}`" in one for one in unset.warnings)
    assert extra in (await read_spec(everest, "other"))["applied"]
    able = bench.having(EVEREST_RBAC_APPLY_CMD=f"{program} {{file}} {{withdraw}}")
    assert (await able.attempt("other-4", only=ACCESS, username="other")).failure is None
    assert (tmp_path / "gone").read_text() == f"{extra}\n"
    assert extra not in (await read_spec(everest, "other"))["applied"]


@pytest.mark.parametrize("after_seconds", [0.0, pytest.param(0.02, marks=pytest.mark.slow), 60])
async def test_a_kill_anywhere_in_the_step_forgets_no_line(
    everest: SimulatedEverest, bench: Bench, after_seconds: float
) -> None:
    """Whatever stands in the policy, the claim knows it: old lines beside the new until the step has ended."""
    name = f"killed{round(after_seconds * 100)}"
    await have_tenant(everest, bench, f"{name}-0", username=name)
    extra = f"p, role:{name}, {DATABASES}, *, {name}/*"
    await grant(everest, extra)
    spec = await read_spec(everest, name)
    await annotate(everest, name, spec | {"applied": [extra]})
    for number in range(5):
        cut_here = cut_at(number, after_seconds)
        cut = await bench.attempt(f"{name}-1", only=ACCESS, intercept=cut_here, username=name)
        assert cut.failed_step == "apply_rbac_policy", number
        applied = set((await read_spec(everest, name))["applied"])
        ours = {extra, *first_lines(name, name)} & set((await read_policy(everest)).splitlines())
        assert ours - set(first_lines(name, name)) <= applied, cut.failed_step
    await bench.onboard(f"{name}-1", username=name)
    assert extra not in await read_policy(everest)


# Whose tenant it is.


async def test_a_publisher_changes_its_own_tenants_alone(everest: SimulatedEverest, bench: Bench) -> None:
    """By name of its account, which the server proves: two tokens. Others manage all tenants."""
    portal, billing = bench.called_by("portal"), bench.called_by("billing")
    await have_tenant(everest, portal, "portal.order-1", username="owned", resources={"cpu_cores": 8})
    before = await everest.get("ns", "owned")
    for request in ({"username": "owned", "resources": {"cpu_cores": 0.1}}, {"username": "owned", "namespace": "mine"}):
        refused = await billing.attempt("billing.order-1", **request)
        assert (refused.failed_step, refused.code) == ("create_account", "tenant_managed_by_another")
        assert not any("create" in line or "apply" in line for line in refused.ran)
    assert await everest.get("ns", "owned") == before
    assert await everest.get("ns", "mine") is None
    await portal.onboard("portal.order-2", username="owned", namespace="owned2")
    await bench.called_by("admin").onboard("by-admin", username="owned", namespace="owned3")
    assert (await read_spec(everest, "owned3"))["wanted"]["managed_by"] == "portal"
    limited = await bench.called_by("team", is_bound=True).attempt("by-key", username="owned")
    assert limited.code == "tenant_managed_by_another", "a key with scopes that name no admin"
    await billing.having(TENANTS_SHARED="true").onboard("billing.order-2", username="owned")


async def test_an_import_that_waits_for_others_costs_no_attempt(
    everest: SimulatedEverest, bench: Bench, tmp_path: Path
) -> None:
    """It ends with an exit code of its own, and is run again until it is its turn."""
    program = tmp_path / "handlers.rbac_import"
    turns = "[ -e third ] && exit 0\n[ -e second ] && touch third\ntouch second\nexit 75\n"
    program.write_text(f'#!/bin/sh\ncd "$(dirname "$0")"\n{turns}')
    program.chmod(0o755)
    made = await bench.having(EVEREST_RBAC_APPLY_CMD=str(program)).attempt("turn-1", username="turn")
    assert made.failure is None
    assert sum(line.startswith(str(program)) for line in made.ran) == 3
    other = await bench.having(EVEREST_RBAC_APPLY_CMD="sh -c 'exit 75'").attempt("turn-2", username="turn")
    assert other.code == "rbac_command_failed", "of another command the code means what it means"


async def test_a_claim_of_the_first_version_is_managed_by_whoever_asked_for_it(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """As the record of its job says; the administrator's where that is gone."""
    bench.callers["kept-0"] = "portal"
    await put_claim(everest, "kept", "kept")
    await put_claim(everest, "gone", "gone")
    await bench.called_by("portal").onboard("portal.kept", username="kept")
    assert (await read_spec(everest, "kept"))["wanted"]["managed_by"] == "portal"
    refused = await bench.called_by("portal").attempt("portal.gone", username="gone")
    assert refused.code == "tenant_managed_by_another"


@asynccontextmanager
async def suspended(everest: SimulatedEverest, name: str) -> AsyncIterator[None]:
    spec = await read_spec(everest, name)
    await annotate(everest, name, spec | {"wanted": spec["wanted"] | {"suspended": True}})
    yield
    await annotate(everest, name, spec)


async def test_a_suspended_tenant_is_left_alone(everest: SimulatedEverest, bench: Bench) -> None:
    await have_tenant(everest, bench, "asleep-1", username="asleep")
    async with suspended(everest, "asleep"):
        refused = await bench.attempt("asleep-2", username="asleep", namespace="asleep2")
        assert (refused.failed_step, refused.code) == ("create_account", "tenant_suspended")
    await bench.onboard("asleep-3", username="asleep")


# Roles and subjects.


async def test_a_team_logs_in_by_sso(everest: SimulatedEverest, bench: Bench) -> None:
    """A group of the identity provider holds the role: nobody gets a password, and strangers nothing."""
    groups = ["DB Admins", "CN=dba,OU=Groups", "/Keycloak/dba"]
    made = await bench.onboard("team-1", username="team-payments", account=False, subjects=groups, role="owner")
    assert made.outcomes[0] is Outcome.SKIPPED
    assert not any("accounts create" in line or "bootstrap-team" in line for line in made.ran)
    assert "team-payments" not in (await everest.run("everestctl", "accounts", "list"))[1]
    policy = await read_policy(everest)
    assert 'g, "CN=dba,OU=Groups", role:team-payments\n' in policy
    assert "g, team-payments, role:team-payments" not in policy
    for group in groups:
        assert await may(everest, group, "create", "team-payments/b", "database-cluster-backups")
    assert not await may(everest, "team-payments", "read", "team-payments/db")
    assert not await may(everest, "stranger", "read", "team-payments/db")
    wanted = (await read_spec(everest, "team-payments"))["wanted"]
    assert (wanted["subjects"], wanted["account"], wanted["account_created"]) == (groups, False, False)
    await bench.onboard("team-2", username="team-payments", account=False, subjects=groups[1:], role="viewer")
    assert not await may(everest, "DB Admins", "read", "team-payments/db"), "not named any more"
    assert await may(everest, "/Keycloak/dba", "read", "team-payments/db")
    assert not await may(everest, "/Keycloak/dba", "delete", "team-payments/db"), "a viewer only reads"
    assert not await may(everest, "/Keycloak/dba", "read", "team-payments/db", "database-cluster-credentials")


async def test_an_account_that_is_not_asked_for_any_more_stays_and_is_named(
    everest: SimulatedEverest, bench: Bench
) -> None:
    await have_tenant(everest, bench, "kept-account-1", username="kept_account", namespace="kept-account")
    request = {"username": "kept_account", "namespace": "kept-account", "account": False, "subjects": ["sso-group"]}
    made = await bench.onboard("kept-account-2", **request)
    assert any(one.startswith("Account kept_account is there and stays") for one in made.warnings)
    assert not await may(everest, "kept_account", "read", "kept-account/db")
    assert await may(everest, "sso-group", "read", "kept-account/db")


async def test_subjects_of_two_namespaces_hold_one_role(everest: SimulatedEverest, bench: Bench) -> None:
    """Their g lines serve all of the tenant's namespaces: a line goes when none of them names it."""
    await have_tenant(everest, bench, "shared-1", username="sharing", subjects=["group-a"])
    await have_tenant(
        everest, bench, "shared-2", username="sharing", namespace="sharing2", subjects=["group-a", "group-b"]
    )
    await bench.onboard("shared-3", username="sharing")
    assert await may(everest, "group-a", "read", "sharing2/db")
    await bench.onboard("shared-4", username="sharing", namespace="sharing2")
    assert not await may(everest, "group-a", "read", "sharing2/db")
    assert await may(everest, "sharing", "read", "sharing2/db")


@pytest.mark.slow
async def test_roles_are_files_and_a_deployment_has_its_own(
    everest: SimulatedEverest, bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "auditor.csv").write_text("p, {role}, database-clusters, read, {namespace}/*\n")
    (tmp_path / "broken.csv").write_text("p, role:other, database-clusters, read, {namespace}/*\n")
    own = bench.having(EVEREST_ROLES_DIR=str(tmp_path), EVEREST_DEFAULT_ROLE="auditor")
    await own.onboard("auditor-1", username="auditor")
    assert await may(everest, "auditor", "read", "auditor/db")
    assert not await may(everest, "auditor", "create", "auditor/db")
    assert (await read_spec(everest, "auditor"))["wanted"]["role"] == "auditor"
    await own.onboard("auditor-2", username="auditor", role="developer")
    assert await may(everest, "auditor", "create", "auditor/db")
    for role, words in (("nobody", "known: auditor, broken, developer, owner, viewer"), ("broken", "line 1")):
        refused = await own.attempt(f"{role}-1", username="unknownrole", role=role)
        assert (refused.failed_step, refused.code) == ("apply_rbac_policy", "invalid_request")
        assert words in refused.end.failure.message
    assert await everest.get("ns", "unknownrole") is None


@pytest.mark.slow
async def test_what_an_older_everest_does_not_know_is_left_out(tmp_path: Path) -> None:
    """One unknown resource would end its server."""
    async with simulated_everest(tmp_path, version="1.6.0") as everest, open_bench(everest.variables) as bench:
        made = await bench.onboard("older-1", username="older", role="owner")
        (warning,) = (one for one in made.warnings if one.startswith("Left out"))
        assert "`p, role:older, data-import-jobs, *, older/*`" in warning
        assert "pod-scheduling-policies" not in await read_policy(everest)
        assert "p, role:older, monitoring-instances, *, older/*" in await read_policy(everest)
        assert not (await everest.state())["has_server_crashed"]
