"""The four steps against the simulated cluster: real commands, the real kubectl, every state that a trial has met."""

import asyncio
import base64
import gzip
import json
import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from contracts.codes import CODES, Nature
from contracts.names import credentials_secret_name, second_secret_name
from contracts.records import CredentialsSecret, Outcome
from handlers.commands.outputs import show
from handlers.commands.running import Command, Completed, RunCommand
from handlers.commands.secret import MASK, Secret
from handlers.preflight.checking import make_runner
from handlers.tenants.accounts_file import proves
from handlers.tenants.claims import INSTALLING
from handlers.tools.everestctl import Everestctl
from tests.simulator import SimulatedEverest
from tests.support.arrangement import have_tenant
from tests.support.clusters import open_cluster
from tests.support.tenants import read_accounts
from tests.support.workflows import RBAC_IMPORT, Attempt, Bench, cut_at, die, open_bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

POSTGRESQL = {"postgresql": True}
PACKAGE = "percona-postgresql-operator"
ALL_NEW = [Outcome.CREATED, Outcome.CREATED, Outcome.APPLIED, Outcome.APPLIED, Outcome.UNVERIFIED]  # RBAC is off
REPEATED = [Outcome.UNCHANGED, Outcome.UNCHANGED, Outcome.APPLIED, Outcome.APPLIED, Outcome.UNVERIFIED]
FLAGS = "--operator.mongodb=false --operator.postgresql=true --operator.xtradb-cluster=false"
JOB = "3f0f3a3e-6f43-4d0b-8a2f-0a3a9d3b1c11"
INSTALLER = "everest-operators-installer"
HELM_SECRET = "helm.sh/release.v1"


# What the cluster holds.


async def put(everest: SimulatedEverest, *manifests: dict[str, Any]) -> None:
    """As a person would, or an earlier handler."""
    for manifest in manifests:
        if manifest.get("type") == HELM_SECRET:
            manifest |= {"data": {"release": await write_release(everest, manifest["metadata"])}}
        await everest.create(manifest)


def namespace(name: str, owner: str = "", managed: bool = False, **annotations: str) -> dict[str, Any]:
    labels = {"name": name} | ({"app.kubernetes.io/managed-by": "everest"} if managed else {})
    claim = {"everest-bootstrap/owner": owner, "everest-bootstrap/job": "an-earlier-job"} if owner else {}
    metadata = {"name": name, "labels": labels, "annotations": claim | annotations}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def release(name: str, version: int, status: str) -> dict[str, Any]:
    labels = {"owner": "helm", "name": name, "status": status, "version": str(version)}
    metadata = {"name": f"sh.helm.release.v1.{name}.v{version}", "namespace": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Secret", "type": HELM_SECRET, "metadata": metadata}


async def write_release(everest: SimulatedEverest, metadata: dict[str, Any]) -> str:
    """A release's payload as Helm stores it: without one, a real everestctl can read none of them."""
    server = await everest.get("deployment", "everest-server", "-n", "everest-system")
    version = server["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
    chart = {"metadata": {"apiVersion": "v2", "name": "everest-db-namespace", "version": version}}
    labels = metadata["labels"]
    identity = {"name": labels["name"], "namespace": labels["name"], "version": int(labels["version"])}
    value = {**identity, "info": {"status": labels["status"]}, "chart": chart, "config": {}, "manifest": ""}
    packed = base64.b64encode(gzip.compress(json.dumps(value).encode()))
    return base64.b64encode(packed).decode()


def subscription(name: str, package: str = PACKAGE, installed: bool = True) -> dict[str, Any]:
    status = {"status": {"installedCSV": f"{package}.v1"}} if installed else {}
    owned = {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": name}
    labels = {"app.kubernetes.io/managed-by": "Helm"}
    metadata = {"name": package, "namespace": name, "labels": labels, "annotations": owned}
    return {"apiVersion": "operators.coreos.com/v1alpha1", "kind": "Subscription", "metadata": metadata, **status}


async def assert_onboarded(everest: SimulatedEverest, username: str, name: str, *packages: str) -> None:
    """The four things that a bootstrap makes true, looked at from outside."""
    assert username in await read_accounts(everest)
    await assert_namespace(everest, username, name, *packages)
    assert (await everest.get("resourcequota", "user-quota", "-n", name))["spec"]["hard"]["requests.storage"]
    assert await everest.get("limitrange", "user-limits", "-n", name)
    policy = (await everest.get("configmap", "everest-rbac", "-n", "everest-system"))["data"]["policy.csv"]
    assert f"p, role:{username}, namespaces, read, {name}\n" in policy
    assert f"g, {username}, role:{username}\n" in policy
    assert not (await everest.state())["has_server_crashed"]


async def assert_namespace(everest: SimulatedEverest, username: str, name: str, *packages: str) -> None:
    """It is the tenant's, and managed by Everest with these operators installed."""
    found = await everest.get("ns", name)
    assert found["metadata"]["annotations"]["everest-bootstrap/owner"] == username
    is_managed = found["metadata"]["labels"].get("app.kubernetes.io/managed-by") == "everest"
    assert is_managed == bool(packages)
    subscriptions = await everest.get("subscriptions.operators.coreos.com", "-n", name) or {"items": []}
    installed = {one["metadata"]["name"] for one in subscriptions["items"] if one.get("status", {}).get("installedCSV")}
    assert installed == set(packages)
    if packages:
        releases = (await everest.get("secret", "-n", name, "-l", f"owner=helm,name={name}"))["items"]
        newest = max(releases, key=lambda one: int(one["metadata"]["labels"]["version"]))
        assert newest["metadata"]["labels"]["status"] == "deployed"


async def read_password(everest: SimulatedEverest, job_id: str) -> str | None:
    """By the line that the result names; None where there is no Secret."""
    found = await everest.get("secret", credentials_secret_name(job_id), "-n", "everest-system")
    return base64.b64decode(found["data"]["password"]).decode() if found else None


# A tenant who is new.


async def test_the_default_request_makes_a_plain_namespace(everest: SimulatedEverest, bench: Bench) -> None:
    """Everest refuses to install no operator; the warning says how to add one."""
    made = await bench.onboard("default-1", username="default_one", namespace="default-one")
    assert made.outcomes == ALL_NEW
    await assert_onboarded(everest, "default_one", "default-one")
    assert made.warnings[0].startswith("No operators were asked for: the namespace is not managed by Everest yet.")
    assert "Submit again with an operator." in made.warnings[0]
    # the request's own default is below Everest's smallest preset, by its disk
    assert "below Everest's smallest preset" in made.warnings[1]
    secret = made.result("create_account").credentials_secret
    assert secret is not None
    code, password, _ = await everest.run("sh", "-c", secret.read_command)
    assert (code, password) == (0, await read_password(everest, "default-1"))


async def test_a_request_with_an_operator_makes_a_managed_namespace(everest: SimulatedEverest, bench: Bench) -> None:
    made = await bench.onboard("postgres-1", username="postgres", operators=POSTGRESQL, resources={"disk_gb": 50})
    assert made.outcomes == ALL_NEW
    assert [warning for warning in made.warnings if "RBAC" not in warning] == []
    await assert_onboarded(everest, "postgres", "postgres", PACKAGE)


@pytest.mark.slow
async def test_the_operators_of_the_deployment_are_used_where_none_are_named(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """Absence is not `false`."""
    deployed = bench.having(EVEREST_DEFAULT_OPERATORS="postgresql")
    await deployed.onboard("by-default", username="bydefault")
    await assert_onboarded(everest, "bydefault", "bydefault", PACKAGE)
    await deployed.onboard("by-wish", username="bywish", operators={})
    await assert_onboarded(everest, "bywish", "bywish")


async def test_the_resources_of_the_deployment_are_used_where_none_are_given(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """Member by member: a deployment's default can hold a database, a caller's wish is kept."""
    deployed = bench.having(EVEREST_DEFAULT_RESOURCES="cpu_cores=4,ram_mb=8192,disk_gb=100")
    made = await deployed.onboard("roomy", username="roomy", resources={"ram_mb": 4096})
    quota = await everest.get("resourcequota", "user-quota", "-n", "roomy")
    assert quota is not None
    hard = quota["spec"]["hard"]
    assert (hard["limits.cpu"], hard["limits.memory"], hard["requests.storage"]) == ("4", "4Gi", "100Gi")
    assert [warning for warning in made.warnings if "smallest preset" in warning] == []


async def test_a_repeat_changes_nothing(everest: SimulatedEverest, bench: Bench) -> None:
    """The same job again proves its password; another job says that the account was there."""
    request: dict[str, Any] = {"username": "again", "operators": POSTGRESQL}
    await have_tenant(everest, bench, "again-1", **request)
    password = await read_password(everest, "again-1")
    accounts = await everest.get("secret", "everest-accounts", "-n", "everest-system")
    other = await bench.onboard("again-2", **request)
    assert other.outcomes == REPEATED
    assert other.result("create_account").credentials_secret is None
    assert "Account again existed before this job; its password was not touched." in other.warnings
    same = await bench.onboard("again-1", **request)
    assert same.outcomes[0] is Outcome.CREATED
    assert same.result("create_account").credentials_secret is not None
    changing = [line for line in other.ran + same.ran if "accounts create" in line or "namespaces " in line]
    assert changing == []
    assert await read_password(everest, "again-1") == password
    assert await read_password(everest, "again-2") is None
    assert await everest.get("secret", "everest-accounts", "-n", "everest-system") == accounts


async def test_operators_come_later_and_those_that_are_there_stay(everest: SimulatedEverest, bench: Bench) -> None:
    await have_tenant(everest, bench, "later-1", username="later")
    request: dict[str, Any] = {"username": "later", "operators": POSTGRESQL}
    cut = await bench.attempt("later-2", intercept=die("namespaces add", after=True), **request)
    assert cut.failed_step == "add_namespace"
    more = await bench.finish("later-2", cut, **request)
    assert more.outcomes[:2] == [Outcome.UNCHANGED, Outcome.UPDATED]
    await assert_onboarded(everest, "later", "later", PACKAGE)
    other = await bench.onboard("later-3", username="later", operators={"mongodb": True})
    assert other.outcomes[1] is Outcome.UPDATED
    assert "Operators that were not asked for stay, because Everest does not remove them: postgresql." in other.warnings
    (update,) = (line for line in other.ran if "namespaces update" in line)
    assert "--operator.mongodb=true --operator.postgresql=true --operator.xtradb-cluster=false" in update
    await assert_onboarded(everest, "later", "later", PACKAGE, "percona-server-mongodb-operator")
    none = await bench.onboard("later-4", username="later")
    assert none.outcomes[1] is Outcome.UNCHANGED
    assert "No operators were asked for; those that are there stay: mongodb, postgresql." in none.warnings


# Whose namespace it is.


async def test_a_foreign_namespace_is_refused_before_anything_is_made(everest: SimulatedEverest, bench: Bench) -> None:
    await put(everest, namespace("theirs"))
    before = await everest.get("ns", "theirs")
    refused = await bench.attempt("theirs-1", username="thief", namespace="theirs")
    assert (refused.failed_step, refused.code) == ("add_namespace", "namespace_exists")
    assert "take_ownership" in refused.end.failure.hint
    assert await everest.get("ns", "theirs") == before
    assert "thief" not in (await everest.run("everestctl", "accounts", "list"))[1]
    assert await read_password(everest, "theirs-1") is None


async def test_who_has_but_its_own_tenants_adopts_nothing(everest: SimulatedEverest, bench: Bench) -> None:
    """A quota of its choice would stand in the way of whatever runs there. An administrator adopts, and hands over."""
    await put(everest, namespace("quarry"))
    before = await everest.get("ns", "quarry")
    wanted: dict[str, Any] = {"username": "miner", "namespace": "quarry", "take_ownership": True}
    portal = bench.called_by("portal")
    for one, job_id in ((portal, "portal.quarry-1"), (bench.called_by("team", is_bound=True), "quarry-1")):
        refused = await one.attempt(job_id, **wanted)
        assert (refused.failed_step, refused.code) == ("add_namespace", "namespace_exists")
        assert "POST /tenants/miner/manager" in refused.end.failure.hint
    assert await everest.get("ns", "quarry") == before
    assert "miner" not in (await everest.run("everestctl", "accounts", "list"))[1]
    await bench.called_by("admin").onboard("quarry-2", **wanted)
    handed = await bench.called_by("admin").attempt("quarry-3", kind="handover", username="miner", caller="portal")
    assert handed.failure is None
    await portal.onboard("portal.quarry-2", **wanted)
    await put(everest, namespace("shared"))
    shared = portal.having(TENANTS_SHARED="true")
    await shared.onboard("portal.shared-1", username="sharer", namespace="shared", take_ownership=True)


async def test_a_namespace_that_appears_meanwhile_is_not_adopted_either(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """The account's step found none; the claim looks again."""
    limited = bench.called_by("team", is_bound=True)
    wanted: dict[str, Any] = {"username": "latecomer", "namespace": "sudden", "take_ownership": True}
    made = await limited.attempt("sudden-1", intercept=die("create -f -", after=False, times=2), **wanted)
    assert list(made.results) == ["create_account"]
    await put(everest, namespace("sudden"))
    refused = await limited.finish("sudden-1", made, **wanted)
    assert (refused.failed_step, refused.code) == ("add_namespace", "namespace_exists")
    assert "everest-bootstrap/owner" not in str(await everest.get("ns", "sudden"))


async def test_a_foreign_namespace_is_taken_when_that_is_asked_for(everest: SimulatedEverest, bench: Bench) -> None:
    """All else of it stays, its quota's other entries too, and whoever still has access is named."""
    await put(everest, namespace("adopted", team="red"))
    hard = {"pods": "3", "requests.cpu": "1"}
    quota = {
        "kind": "ResourceQuota",
        "metadata": {"name": "user-quota", "namespace": "adopted"},
        "spec": {"hard": hard},
    }
    await put(everest, {"apiVersion": "v1", **quota})
    await have_tenant(everest, bench, "adopted-0", username="before", namespace="before-ns")
    await grant(everest, "p, role:before, database-clusters, read, adopted/*")
    request: dict[str, Any] = {
        "username": "adopter",
        "namespace": "adopted",
        "take_ownership": True,
        "operators": POSTGRESQL,
    }
    made = await bench.onboard("adopted-1", **request)
    assert made.outcomes == [Outcome.CREATED, Outcome.UPDATED, *ALL_NEW[2:]]
    await assert_onboarded(everest, "adopter", "adopted", PACKAGE)
    found = await everest.get("ns", "adopted")
    assert found["metadata"]["annotations"]["team"] == "red"
    after = (await everest.get("resourcequota", "user-quota", "-n", "adopted"))["spec"]["hard"]
    assert (after["pods"], after["requests.cpu"]) == ("3", "2")
    (warning,) = (one for one in made.warnings if "was there before" in one)
    assert "these still have access to it: before, role:before." in warning


async def grant(everest: SimulatedEverest, line: str) -> None:
    """Adds a line to the stored policy, as an administrator would."""
    found = await everest.get("configmap", "everest-rbac", "-n", "everest-system")
    found["data"]["policy.csv"] += f"{line}\n"
    await everest.replace(found)


async def test_a_namespace_that_everest_manages_already_is_taken_and_updated(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """`add` refuses it, with and without its flag."""
    code, *_ = await everest.run("everestctl", "namespaces", "add", "managed", *FLAGS.split())
    assert code == 0
    request: dict[str, Any] = {"username": "manager", "namespace": "managed", "operators": {"mongodb": True}}
    refused = await bench.attempt("managed-1", **request)
    assert (refused.failed_step, refused.code) == ("add_namespace", "namespace_exists")
    made = await bench.onboard("managed-2", **request, take_ownership=True)
    assert made.outcomes[1] is Outcome.UPDATED
    assert not any("namespaces add" in line for line in made.ran)
    await assert_onboarded(everest, "manager", "managed", PACKAGE, "percona-server-mongodb-operator")
    again = await bench.onboard("managed-3", **request)
    assert again.outcomes == REPEATED


async def test_a_tenants_namespace_is_never_anothers(everest: SimulatedEverest, bench: Bench) -> None:
    await put(everest, namespace("owned", owner="first_one"))
    before = await everest.get("ns", "owned")
    request: dict[str, Any] = {"username": "second_one", "namespace": "owned", "take_ownership": True}
    refused = await bench.attempt("owned-1", **request)
    assert (refused.failed_step, refused.code) == ("add_namespace", "namespace_owned_by_another")
    assert "first_one" in refused.end.failure.message
    assert await everest.get("ns", "owned") == before
    assert "second_one" not in (await everest.run("everestctl", "accounts", "list"))[1]


async def test_another_spelling_of_a_job_id_reaches_nobodys_secret(everest: SimulatedEverest, bench: Bench) -> None:
    """Whoever may choose ids could ask for another tenant's password, or have it deleted."""
    aliases = (JOB.upper(), JOB.replace("-", ""), f"{{{JOB}}}", f"urn:uuid:{JOB}")
    assert credentials_secret_name(JOB) not in {credentials_secret_name(alias) for alias in aliases}
    assert credentials_secret_name(JOB) == f"bootstrap-{JOB}"
    await have_tenant(everest, bench, JOB, username="victim")
    secret = await everest.get("secret", credentials_secret_name(JOB), "-n", "everest-system")
    assert secret["metadata"]["annotations"]["everest-bootstrap/job"] == JOB
    made = await bench.attempt(aliases[0], only="create_account", username="victim")
    assert made.result("create_account").credentials_secret is None
    assert await everest.get("secret", credentials_secret_name(JOB), "-n", "everest-system") == secret


async def test_a_secret_of_another_job_is_neither_read_nor_deleted(everest: SimulatedEverest, bench: Bench) -> None:
    """By its mark, whatever its name."""
    kept = {"username": "marked", "password": "never-used-1"}
    mark = {"everest-bootstrap/job": "another"}
    metadata = {"name": credentials_secret_name("marked-1"), "namespace": "everest-system", "annotations": mark}
    await put(everest, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": kept})
    made = await bench.attempt("marked-1", only="create_account", username="marked")
    assert made.outcomes[0] is Outcome.CREATED
    assert made.result("create_account").credentials_secret != CredentialsSecret(
        "everest-system", credentials_secret_name("marked-1")
    )
    assert await read_password(everest, "marked-1") == "never-used-1"


async def test_a_namespace_that_is_being_deleted_is_waited_for(everest: SimulatedEverest, bench: Bench) -> None:
    await put(everest, namespace("dying", owner="dying"))
    await everest.set_faults(namespace_stays=True)
    await everest.run("kubectl", "delete", "ns", "dying", "--wait=false")
    refused = await bench.attempt("dying-1", username="dying", operators=POSTGRESQL)
    assert (refused.failed_step, refused.code) == ("add_namespace", "namespace_terminating")
    assert refused.end.failure.retryable
    await everest.set_faults()
    while await everest.get("ns", "dying"):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    assert (await bench.onboard("dying-1", username="dying", operators=POSTGRESQL)).outcomes == ALL_NEW


async def test_the_namespace_of_the_credentials_is_nobodys(bench: Bench) -> None:
    elsewhere = bench.having(EVEREST_CREDENTIALS_NAMESPACE="vault")
    refused = await elsewhere.attempt("vault-1", username="burglar", namespace="vault", take_ownership=True)
    assert (refused.failed_step, refused.code) == ("add_namespace", "invalid_request")
    assert not any("create" in line for line in refused.ran)


async def test_a_namespace_for_the_credentials_that_is_not_there_is_no_race(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """A deployment's fault: jobs wait, and nothing is made."""
    made = await bench.having(EVEREST_CREDENTIALS_NAMESPACE="nowhere").attempt("nowhere-1", username="homeless")
    assert (made.failed_step, made.code) == ("create_account", "credentials_namespace_missing")
    assert made.end.failure.nature is Nature.INFRASTRUCTURE
    assert made.end.failure.hint == "Make it: kubectl create namespace nowhere"
    users = (await everest.run("everestctl", "accounts", "list", "--columns=user", "--no-headers"))[1].split()
    assert "homeless" not in users


# What an interrupted handler leaves.

STATES: dict[str, list[dict[str, Any]]] = {
    "claimed, no release": [],
    "unlabelled, pending-install": [release("NS", 1, "pending-install")],
    "labelled, pending-install, operators unfinished": [
        release("NS", 1, "pending-install"),
        subscription("NS", installed=False),
    ],
    "labelled, pending-install, operators finished": [release("NS", 1, "pending-install"), subscription("NS")],
    "labelled, failed": [release("NS", 1, "failed"), subscription("NS", installed=False)],
    "labelled, deployed, pending-upgrade": [
        release("NS", 1, "deployed"),
        release("NS", 2, "pending-upgrade"),
        subscription("NS"),
    ],
    "labelled, no release": [],
    "labelled, deployed, operator missing": [release("NS", 1, "deployed")],
    "labelled, superseded and deployed, ten releases": [
        *(release("NS", version, "superseded") for version in range(1, 10)),
        release("NS", 10, "pending-upgrade"),
        subscription("NS"),
    ],
}


@pytest.mark.parametrize("state", STATES)
async def test_every_interrupted_state_is_recovered(everest: SimulatedEverest, bench: Bench, state: str) -> None:
    """Only the newest pending release is deleted; nobody is asked to do anything."""
    name = f"state-{list(STATES).index(state)}"
    username = name.replace("-", "_")
    written = json.loads(json.dumps(STATES[state]).replace("NS", name))
    revision = max((int(one["metadata"]["labels"].get("version", 0)) for one in written), default=0)
    mark = {INSTALLING: f"{name}-job {revision}"}
    await put(everest, namespace(name, owner=username, managed=state.startswith("labelled"), **mark), *written)
    request: dict[str, Any] = {"username": username, "namespace": name, "operators": POSTGRESQL}
    made = await bench.attempt(f"{name}-job", only="add_namespace", **request)
    assert made.failure is None, made.failure
    await assert_namespace(everest, username, name, PACKAGE)
    deleted = [line for line in made.ran if line.startswith("kubectl delete secret sh.helm")]
    newest = written[-1 if "operator" not in state and written else 0]["metadata"]["name"] if written else ""
    pending = [one for one in written if "pending" in one["metadata"].get("labels", {}).get("status", "")]
    expected = [
        f"kubectl delete secret {one['metadata']['name']} -n {name} --wait=false --ignore-not-found" for one in pending
    ]
    assert deleted == expected, newest


async def test_the_release_of_an_upgrade_that_somebody_runs_is_left_alone(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """It fails for the time being; a job that is killed amid its own is taken up at once, and its mark says so."""
    release_of = [release("upgraded", 1, "deployed"), release("upgraded", 2, "pending-upgrade")]
    await put(everest, namespace("upgraded", owner="upgraded", managed=True), *release_of, subscription("upgraded"))
    request: dict[str, Any] = {"username": "upgraded", "operators": POSTGRESQL}
    first = await bench.attempt("upgraded-1", **request)
    assert (first.failed_step, first.code, first.end.failure.retryable) == (
        "add_namespace",
        "operation_in_progress",
        True,
    )
    secret = release_of[1]["metadata"]["name"]
    assert await everest.get("secret", secret, "-n", "upgraded"), "its Secret is there"
    for status in ("superseded", "deployed"):  # the upgrade has ended
        name = secret if status == "deployed" else release_of[0]["metadata"]["name"]
        label = f"status={status}"
        await everest.run("kubectl", "label", "secret", name, "-n", "upgraded", label, "--overwrite")
    more = {**request, "operators": {"mongodb": True}}
    cut = await bench.attempt("upgraded-2", intercept=die("namespaces update", after=False), **more)
    assert cut.failed_step == "add_namespace"
    found = await everest.get("ns", "upgraded")
    assert found["metadata"]["annotations"][INSTALLING] == "upgraded-2 3"
    await put(everest, release("upgraded", 3, "pending-upgrade"))  # as everestctl leaves it
    made = await bench.attempt("upgraded-2", done=cut, **more)
    assert made.failure is None
    assert any(line.startswith("kubectl delete secret sh.helm.release.v1.upgraded.v3") for line in made.ran)


async def test_a_deployed_namespace_with_all_that_is_wanted_is_left_alone(
    everest: SimulatedEverest, bench: Bench
) -> None:
    await put(everest, namespace("whole", owner="whole", managed=True), release("whole", 1, "deployed"))
    await put(everest, subscription("whole"))
    made = await bench.onboard("whole-1", username="whole", operators=POSTGRESQL)
    assert made.outcomes[1] is Outcome.UNCHANGED
    assert made.result("add_namespace").deciding is None


async def test_a_failed_installation_is_repaired_by_the_next_attempt(everest: SimulatedEverest, bench: Bench) -> None:
    await everest.set_faults(job_fails=1)
    request: dict[str, Any] = {"username": "jobfails", "operators": POSTGRESQL}
    first = await bench.attempt("jobfails-1", **request)
    assert (first.failed_step, first.code) == ("add_namespace", "operators_install_failed")
    assert "BackoffLimitExceeded" in first.end.failure.message
    assert first.end.failure.retryable
    second = await bench.attempt("jobfails-1", done=first, **request)
    assert second.failure is None
    assert any("namespaces update" in line for line in second.ran)
    await assert_onboarded(everest, "jobfails", "jobfails", PACKAGE)


async def test_an_installation_that_hangs_is_ended_and_taken_up_again(everest: SimulatedEverest, bench: Bench) -> None:
    """everestctl waits for its Job without any limit."""
    await everest.set_faults(job_hangs=True)
    request: dict[str, Any] = {"username": "jobhangs", "operators": POSTGRESQL}
    first = await bench.having(EVEREST_NAMESPACE_TIMEOUT="2").attempt("jobhangs-1", **request)
    assert (first.failed_step, first.code) == ("add_namespace", "timed_out")
    assert first.end.deciding is not None
    assert first.end.deciding.exit_code is None
    await everest.set_faults()
    assert (await bench.attempt("jobhangs-1", done=first, **request)).failure is None
    await assert_onboarded(everest, "jobhangs", "jobhangs", PACKAGE)


async def test_an_exit_code_of_0_is_no_success(everest: SimulatedEverest, bench: Bench) -> None:
    """everestctl answers SIGTERM with 0, and has installed nothing."""
    await everest.set_faults(job_hangs=True)
    request: dict[str, Any] = {"username": "termed", "operators": POSTGRESQL}
    work = asyncio.create_task(bench.attempt("termed-1", **request))
    while not await everest.get("job", INSTALLER, "-n", "termed"):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    os.kill(find_process("namespaces", "add", "termed"), signal.SIGTERM)
    first = await work
    assert (first.failed_step, first.code) == ("add_namespace", "operators_install_failed")
    assert first.end.deciding is not None
    assert first.end.deciding.exit_code == 0
    assert "the release is pending-install, operators not installed: postgresql" in first.end.failure.message
    await everest.set_faults()
    assert (await bench.attempt("termed-1", done=first, **request)).failure is None
    await assert_onboarded(everest, "termed", "termed", PACKAGE)


def find_process(*words: str) -> int:
    """The one of ours whose command line holds these words one after the other."""
    wanted = "\0".join(words).encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if wanted in path.read_bytes():
                return int(path.parent.name)
        except OSError:
            continue  # it has ended meanwhile
    raise AssertionError(f"there is no process of {words}")


COMMANDS = 22  # of a whole onboarding, where the versions are known: see test_the_commands_are_exactly_these


async def cut_and_go_on(everest: SimulatedEverest, bench: Bench, number: int, after_seconds: float) -> None:
    name = f"cut-{number}-{round(after_seconds * 1000)}"
    request: dict[str, Any] = {"username": name.replace("-", "_"), "namespace": name, "operators": POSTGRESQL}
    job_id = f"{name}-job"
    cut = await bench.attempt(job_id, intercept=cut_at(number, after_seconds), **request)
    assert cut.failed_step is not None, "nothing was cut"
    rest = cut
    for _ in range(3):
        rest = await bench.attempt(job_id, done=rest, **request)
        if rest.failure is None:
            break
        assert rest.end.failure.retryable, rest.failure
    assert rest.failure is None, rest.failure
    await assert_onboarded(everest, request["username"], name, PACKAGE)
    await assert_password_opens(everest, job_id, request["username"])
    assert rest.outcomes == ALL_NEW, "a job that was interrupted made what it made"


async def assert_password_opens(everest: SimulatedEverest, job_id: str, username: str) -> None:
    """The stored hash is that of the Secret's password."""
    accounts = await everest.get("secret", "everest-accounts", "-n", "everest-system")
    users = base64.b64decode(accounts["data"]["users.yaml"]).decode()
    salt = (await everest.get("ns", "everest-system"))["metadata"]["uid"]
    password = await read_password(everest, job_id)
    assert password is not None
    assert proves(users, salt, username, password)


@pytest.mark.parametrize("after_seconds", [0.02, pytest.param(0.08, marks=pytest.mark.slow)])
async def test_a_handler_that_dies_at_any_command_costs_nothing(
    everest: SimulatedEverest, bench: Bench, after_seconds: float
) -> None:
    """Every fifth command, killed while it runs; the slow tests do it to every one at many instants."""
    await bench.facts.read_versions(Everestctl(make_runner(bench.commands), 60))
    numbers = range(round(after_seconds * 1000) % 5 + 1, COMMANDS, 5)
    await asyncio.gather(*(cut_and_go_on(everest, bench, number, after_seconds) for number in numbers))


@pytest.mark.slow
@pytest.mark.parametrize("after_seconds", [0.001, 0.05, 0.1, 0.15, 0.25, 60])
async def test_a_handler_that_dies_at_any_instant_costs_nothing(
    everest: SimulatedEverest, bench: Bench, after_seconds: float
) -> None:
    """The last: after the command has ended, and before anything is made of it."""
    await bench.facts.read_versions(Everestctl(make_runner(bench.commands), 60))
    for first in range(0, COMMANDS, 4):
        numbers = range(first, min(first + 4, COMMANDS))
        await asyncio.gather(*(cut_and_go_on(everest, bench, number, after_seconds) for number in numbers))


# The account and its password.


async def test_an_account_that_was_there_keeps_its_password(everest: SimulatedEverest, bench: Bench) -> None:
    await everest.run("everestctl", "accounts", "create", "-u", "oldtimer", "-p", "Their_own_pw1")
    before = await everest.get("secret", "everest-accounts", "-n", "everest-system")
    made = await bench.attempt("oldtimer-1", only="create_account", username="oldtimer")
    assert made.outcomes[0] is Outcome.UNCHANGED
    assert made.result("create_account").credentials_secret is None
    assert await everest.get("secret", "everest-accounts", "-n", "everest-system") == before
    assert await read_password(everest, "oldtimer-1") is None


async def test_an_account_that_somebody_else_made_meanwhile_leaves_no_secret_that_lies(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """The Secret was kept, then another made the account: its password opens nothing."""
    kept = {"username": "meanwhile", "password": "never-used-1"}
    metadata = {"name": credentials_secret_name("meanwhile-1"), "namespace": "everest-system"}
    await put(everest, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": kept})
    await everest.run("everestctl", "accounts", "create", "-u", "meanwhile", "-p", "Their_own_pw1")
    made = await bench.attempt("meanwhile-1", only="create_account", username="meanwhile")
    assert made.outcomes[0] is Outcome.UNCHANGED
    assert await read_password(everest, "meanwhile-1") is None


async def test_an_account_that_another_create_has_made_its_own_is_theirs(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """Of two creates at once both exit with 0, and one's password is stored."""

    def intercept(run: RunCommand) -> RunCommand:
        async def overtaken(command: Command) -> Completed:
            completed = await run(command)
            if "accounts create" in command.shown:
                assert completed.exit_code == 0
                theirs = ("-u", "lea", "--new-password", "Their_own_pw1")
                await everest.run("everestctl", "accounts", "set-password", *theirs)
            return completed

        return overtaken

    made = await bench.attempt("lost-1", only="create_account", username="lea", intercept=intercept)
    result = made.result("create_account")
    assert (result.outcome, result.found, result.credentials_secret) == (Outcome.UNCHANGED, None, None)
    assert await read_password(everest, "lost-1") is None


async def test_a_conflict_is_tried_again_with_the_same_password(everest: SimulatedEverest, bench: Bench) -> None:
    await everest.set_faults(conflicts={"everest-accounts": 3})
    made = await bench.attempt("conflict-1", only="create_account", username="conflict")
    assert made.outcomes[0] is Outcome.CREATED
    assert sum("accounts create" in line for line in made.ran) == 4
    await assert_password_opens(everest, "conflict-1", "conflict")
    await everest.set_faults(conflicts={"everest-accounts": 10_000})
    hasty = bench.having(SUBPROCESS_TIMEOUT="5")
    failed = await hasty.attempt("conflict-2", username="conflicttwo")
    assert (failed.failed_step, failed.code) == ("create_account", "conflict")


async def test_an_account_that_is_created_and_gone_is_made_again(everest: SimulatedEverest, bench: Bench) -> None:
    """A delete of another account at the same moment writes back what it had read."""
    said = {"exit_code": 0, "stdout": "✅ User 'gone' has been created successfully\n\n"}
    await everest.set_faults(only="accounts create", fail=said, times=1)
    made = await bench.attempt("gone-1", only="create_account", username="gone")
    assert made.outcomes[0] is Outcome.CREATED
    assert sum("accounts create" in line for line in made.ran) == 2
    await assert_password_opens(everest, "gone-1", "gone")


async def test_many_accounts_at_once_are_all_made(everest: SimulatedEverest, bench: Bench) -> None:
    """All of them write one object."""
    await everest.set_faults(write_race_seconds=1)  # also on a busy machine they begin within a second of each other
    made = await asyncio.gather(
        *(bench.attempt(f"many-{n}", only="create_account", username=f"many{n}") for n in range(5))
    )
    assert [one.failure for one in made] == [None] * 5
    conflicts = sum(b"has been modified" in one.stderr for attempt in made for one in attempt.completed)
    assert conflicts > 0, "nothing was raced for"
    for number in range(5):
        await assert_password_opens(everest, f"many-{number}", f"many{number}")


# Everything that is shown.

CLAIMS = (
    """kubectl get ns -o 'jsonpath={.items[?(@.metadata.name=="NS")]}"""
    """{.items[?(@.metadata.annotations.everest-bootstrap/owner=="NS")]}'"""
)
SEE_ACCESS = ["kubectl get configmap everest-rbac -n everest-system -o json --ignore-not-found"]
SEE_ACCOUNTS = ["kubectl get secret everest-accounts -n everest-system -o json --ignore-not-found"]
LOOK = [
    "kubectl get ns NS -o json --ignore-not-found",
    "kubectl get secret -n NS -l owner=helm,name=NS -o json",
    "kubectl get subscriptions.operators.coreos.com -n NS -o json",
]
ACCOUNT = [
    "everestctl version",
    *SEE_ACCESS,
    CLAIMS,
    "everestctl accounts list --columns=user --no-headers",
    "kubectl create -f -",
    f"everestctl accounts create -u NS -p {MASK}",
    *SEE_ACCOUNTS,
    "kubectl get ns everest-system -o json --ignore-not-found",
]
CLAIM = [CLAIMS, "kubectl create -f -"]
QUOTA = ["kubectl apply -n NS -f -"]
RECORD = ["kubectl patch ns NS --type=merge --patch-file=/dev/stdin"]
IMPORT = [f"{RBAC_IMPORT} --file FILE"]
REST = [*QUOTA, *SEE_ACCESS, CLAIMS, *RECORD, *IMPORT, *SEE_ACCOUNTS]
PROVE = [
    "kubectl get databaseengines.everest.percona.com -n NS -o json",
    "kubectl get resourcequota user-quota -n NS -o json --ignore-not-found",
    *SEE_ACCESS,
]


def shown(made: Attempt, name: str) -> list[str]:
    """Claims and policy are looked at at once: sorted."""
    lines = [line.replace(name, "NS") for line in made.ran]
    lines = [line.rpartition(" ")[0] + " FILE" if line.startswith(RBAC_IMPORT) else line for line in lines]
    for at, pair in enumerate(pairwise(lines)):
        if pair == (CLAIMS, *SEE_ACCESS):
            lines[at : at + 2] = sorted(pair)
    return lines


async def test_the_commands_are_exactly_these(everest: SimulatedEverest, bench: Bench) -> None:
    """Masked as in the record, and as they are run. What is looked at at once may come in any order."""
    plain = await bench.having().onboard("golden-1", username="goldenplain")
    assert shown(plain, "goldenplain") == ACCOUNT + CLAIM + REST + SEE_ACCESS
    made = await bench.having().onboard("golden-2", username="goldenpg", operators=POSTGRESQL)
    add = [f"everestctl namespaces add NS {FLAGS} --take-ownership"]
    lines = shown(made, "goldenpg")
    assert len(lines) == COMMANDS + 1
    assert lines[:11] == ACCOUNT + CLAIM + add
    assert sorted(lines[11:14]) == LOOK
    assert lines[14:] == REST + PROVE
    again = shown(await bench.onboard("golden-3", username="goldenpg", operators=POSTGRESQL), "goldenpg")
    again = [line for line in again if line != ACCOUNT[0]]  # known for a while
    secret = credentials_secret_name("golden-3")
    second = second_secret_name("golden-3", "goldenpg")
    proof = f"kubectl get secret {secret} {second} -n everest-system -o json --ignore-not-found"
    assert again[:3] == ACCOUNT[1:4]
    assert sorted(again[3:5]) == sorted([*SEE_ACCOUNTS, proof])
    assert again[5] == CLAIMS
    assert sorted(again[6:8]) == LOOK[1:], "the namespace is among the claims"
    wanted = [*QUOTA, *SEE_ACCESS, CLAIMS, *IMPORT, *SEE_ACCOUNTS, *PROVE]
    assert again[8:] == wanted, "nothing is written again that is there"


async def test_the_raw_argv_differs_from_the_shown_one_by_the_password_alone(
    everest: SimulatedEverest, bench: Bench
) -> None:
    made = await bench.attempt("raw-1", only="create_account", username="rawargv", operators=POSTGRESQL)
    password = await read_password(everest, "raw-1")
    with_secrets = [command for command in made.commands if any(isinstance(word, Secret) for word in command.argv)]
    (create,) = with_secrets
    raw = [word.argument if isinstance(word, Secret) else word for word in create.argv]
    assert raw == ["everestctl", "accounts", "create", "-u", "rawargv", "-p", password]
    assert password is not None
    assert password[0].isalpha(), "never taken for a flag"
    assert len(password) >= 16


async def test_no_rendering_holds_the_password(everest: SimulatedEverest, bench: Bench) -> None:
    """Also not where a tool repeats it, in plain or in base64."""
    await everest.set_faults(job_fails=1)
    made = await bench.attempt("quiet-1", username="quiet", operators=POSTGRESQL)
    password = await read_password(everest, "quiet-1")
    assert password is not None
    known = {password, base64.b64encode(password.encode()).decode()}
    renderings = [repr(made), repr(made.commands), repr(made.results), str(made.failure), repr(made.failure)]
    for completed in made.completed:
        renderings += [repr(completed), completed.command]
        renderings += [show(stream, 20_000, completed.secrets) for stream in (completed.stdout, completed.stderr)]
    assert [text for text in renderings for secret in known if secret in text] == []
    (creating,) = (command for command in made.commands if command.stdin and b"stringData" in command.stdin)
    assert password.encode() in (creating.stdin or b"")
    assert creating.all_secrets == (Secret(password),)


# Quota and role.


async def test_the_quota_is_shown_as_it_was_applied(everest: SimulatedEverest, bench: Bench) -> None:
    resources = {"cpu_cores": "2.5", "ram_mb": 4096, "disk_gb": 100}
    made = await bench.onboard("quota-1", username="quota", resources=resources)
    step = made.result("apply_resource_quota")
    hard = (await everest.get("resourcequota", "user-quota", "-n", "quota"))["spec"]["hard"]
    assert hard == {
        "requests.cpu": "2500m",
        "requests.memory": "4Gi",
        "requests.storage": "100Gi",
        "limits.cpu": "2500m",
        "limits.memory": "4Gi",
    }
    limits = (await everest.get("limitrange", "user-limits", "-n", "quota"))["spec"]["limits"]
    default = {"cpu": "625m", "memory": "1Gi"}
    assert limits == [{"type": "Container", "default": default, "defaultRequest": {"cpu": "312m", "memory": "512Mi"}}]
    assert step.manifest_preview is not None
    assert 'requests.cpu: "2.5"' in step.manifest_preview
    assert step.warnings == ()


async def test_the_policy_is_handed_over_in_a_private_file_and_without_a_shell(
    everest: SimulatedEverest, bench: Bench, tmp_path: Path
) -> None:
    program = tmp_path / "take"
    program.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" > "$(dirname "$0")/arguments"\n'
        'stat -c "%a" "$2" "$(dirname "$2")" > "$(dirname "$0")/modes"\ncat "$2" > "$(dirname "$0")/policy"\n'
    )
    program.chmod(0o755)
    other = bench.having(EVEREST_RBAC_APPLY_CMD=f"{program} '--as=$(id); x' {{file}} ${{HOME}}")
    made = await other.onboard("private-1", username="private", namespace="private-ns")
    first, path, last = (tmp_path / "arguments").read_text().splitlines()
    assert (first, last) == ("--as=$(id); x", "${HOME}")
    assert (tmp_path / "modes").read_text().split() == ["600", "700"]
    assert not Path(path).parent.exists()
    assert (tmp_path / "policy").read_text().splitlines() == [
        "p, role:private, namespaces, read, private-ns",
        "p, role:private, database-engines, read, private-ns/*",
        "p, role:private, database-clusters, read, private-ns/*",
        "p, role:private, database-clusters, update, private-ns/*",
        "p, role:private, database-clusters, create, private-ns/*",
        "p, role:private, database-clusters, delete, private-ns/*",
        "p, role:private, database-cluster-credentials, read, private-ns/*",
        "g, private, role:private",
    ]
    result = made.result("apply_rbac_policy")
    assert (result.rbac_applied, result.rbac_enforced) == (True, None)


async def test_without_a_command_no_role_is_bound_and_that_is_said(bench: Bench) -> None:
    made = await bench.having(EVEREST_RBAC_APPLY_CMD="").onboard("unset-1", username="unset")
    result = made.result("apply_rbac_policy")
    assert (result.outcome, result.rbac_applied, result.deciding) == (Outcome.SKIPPED, False, None)
    assert any("everest-rbac-import is the recommended command" in warning for warning in made.warnings)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("false", "rbac_command_failed", "failed: exit code 1"),
        ("sh -c 'echo no such cluster >&2; exit 3'", "rbac_command_failed", "no such cluster"),
        ("sh -c 'echo connection refused >&2; exit 3'", "cluster_unreachable", "connection refused"),
        ("no-such-program --really", "command_failed", "no-such-program"),
        ("unbalanced 'quote", "rbac_command_failed", "cannot be split"),
    ],
)
async def test_a_command_that_fails_fails_the_job(bench: Bench, command: str, code: str, words: str) -> None:
    made = await bench.having(EVEREST_RBAC_APPLY_CMD=command).attempt("failing-1", username="failing")
    assert (made.failed_step, made.code) == ("apply_rbac_policy", code)
    assert words in made.end.failure.message


async def test_an_invalid_stored_policy_is_a_clear_failure(tmp_path: Path) -> None:
    """The Everest server is down for everybody already: nothing is written, and the line is named."""
    async with open_cluster(tmp_path) as everest, open_bench(everest.variables) as bench:
        await grant(everest, "p, role:nobody, namespaces, read, x")
        before = await everest.get("configmap", "everest-rbac", "-n", "everest-system")
        made = await bench.attempt("invalid-1", username="invalid")
        assert (made.failed_step, made.code) == ("apply_rbac_policy", "stored_policy_invalid")
        assert "line 2" in made.end.failure.message
        assert await everest.get("configmap", "everest-rbac", "-n", "everest-system") == before


# Versions, and everything that can be wrong with the tools.


@pytest.mark.parametrize(
    ("version", "code", "words"),
    [
        ("v2.0.0-dev.3", "unsupported_version", "everestctl is v2.0.0-dev.3; 1.x is supported."),
        ("v1.12.0", None, "everestctl is v1.12.0 and Everest is v1.10.0: use the same minor version."),
        ("v1.10.4", None, ""),
        pytest.param("0.0.0-dev", None, "", marks=pytest.mark.slow),
    ],
)
async def test_versions_that_do_not_fit_are_said_in_the_first_step(
    everest: SimulatedEverest, bench: Bench, version: str, code: str | None, words: str
) -> None:
    await everest.set_faults(cli_version=version)
    made = await bench.having().attempt("version-1", username="version")
    assert made.code == code
    if code:
        assert (made.failed_step, made.end.failure.message) == ("create_account", words)
        assert not any("create" in line for line in made.ran)
    else:
        assert [warning for warning in made.warnings if "minor version" in warning] == ([words] if words else [])


@pytest.mark.slow
async def test_operators_are_refused_before_anything_is_made_where_no_chart_can_be_had(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """The chart repository moved; all else works across the move, and so do operators that are there already."""
    await have_tenant(everest, bench, "side-0", username="oneside", operators=POSTGRESQL)
    await everest.set_faults(cli_version="v1.16.1")
    await bench.onboard("side-1", username="oneside", operators=POSTGRESQL)
    await bench.having().onboard("side-2", username="noside")
    made = await bench.having().attempt("side-3", username="otherside", operators=POSTGRESQL)
    assert (made.failed_step, made.code) == ("add_namespace", "unsupported_version")
    assert made.end.failure.hint == "Build the handlers' image with EVERESTCTL_VERSION=1.10.0."
    assert not any("create" in line or "namespaces add" in line for line in made.ran)
    await everest.set_faults()
    made = await bench.having().attempt("side-3", username="otherside")
    await everest.set_faults(cli_version="v1.16.1")
    more = await bench.having().attempt("side-4", username="otherside", operators=POSTGRESQL)
    assert (more.failed_step, more.code) == ("add_namespace", "unsupported_version")


async def test_a_cluster_without_everest_is_said_in_the_first_step(everest: SimulatedEverest, bench: Bench) -> None:
    found = await everest.get("deployment", "everest-server", "-n", "everest-system")
    await everest.delete("deployment", "everest-server", "-n", "everest-system")
    try:
        made = await bench.having().attempt("absent-1", username="absent")
        assert (made.failed_step, made.code) == ("create_account", "everest_not_installed")
    finally:
        del found["metadata"]["resourceVersion"]
        await put(everest, found)


FAULTS: list[Any] = [
    ({"unauthorized": True}, "cluster_unauthorized", "create_account"),
    ({"unreachable": True}, "cluster_unreachable", "create_account"),
    ({"only": "accounts list", "output_bytes": 50_000_000}, "command_failed", "create_account"),
    pytest.param({"only": "accounts list", "hang": True}, "timed_out", "create_account", marks=pytest.mark.slow),
    ({"only": "version", "binary_output": True, "fail": {"exit_code": 0}}, "unsupported_version", "create_account"),
    ({"only": "version", "fail": {"exit_code": 0}}, "unsupported_version", "create_account"),
    ({"only": "namespaces", "chart_unreachable": True}, "chart_unavailable", "add_namespace"),
    (
        {"only": "namespaces", "fail": {"stderr": "❌ something new\n"}, "binary_output": True},
        "command_failed",
        "add_namespace",
    ),
]


@pytest.mark.parametrize(("fault", "code", "step"), FAULTS)
async def test_every_fault_has_a_code_and_the_next_attempt_succeeds(
    everest: SimulatedEverest, bench: Bench, fault: dict[str, Any], code: str, step: str
) -> None:
    username = "fault" + "".join(letter for letter in json.dumps(fault) if letter.isdigit() or letter.islower())[:40]
    request: dict[str, Any] = {"username": username, "operators": POSTGRESQL}
    await everest.set_faults(**fault)
    hasty = bench.having(SUBPROCESS_TIMEOUT="5" if "hang" in fault else "60")
    made = await hasty.attempt(username, **request)
    assert (made.failed_step, made.code) == (step, code)
    await everest.set_faults(unreachable=False)
    again = await hasty.attempt(username, only=step, **request)
    assert again.failure is None, again.failure
    if step == "create_account":
        assert username in await read_accounts(everest)
    else:
        await assert_namespace(everest, username, username, PACKAGE)


@pytest.mark.slow
async def test_a_slow_tool_and_a_chatty_one_are_no_failure(everest: SimulatedEverest, bench: Bench) -> None:
    await everest.set_faults(slow_seconds=1)
    await bench.onboard("slow-1", username="slow")
    await everest.set_faults(only="namespaces", output_bytes=50_000_000)
    made = await bench.onboard("chatty-1", username="chatty", operators=POSTGRESQL)
    deciding = made.result("add_namespace").deciding
    assert deciding is not None
    assert deciding.overflowed
    assert len(show(deciding.stdout, 20_000)) <= 20_000
    await assert_onboarded(everest, "chatty", "chatty", PACKAGE)


async def test_what_the_handler_lacks_is_named(everest: SimulatedEverest, tmp_path: Path) -> None:
    """A missing tool, and a kubeconfig that is missing, empty, a folder, or unreadable text."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("everestctl", "kubectl"):
        (tools / name).symlink_to("/bin/true")
    (tmp_path / "empty").touch()
    (tmp_path / "noise").write_bytes(os.urandom(64) + b"\0")
    path = everest.variables["PATH"]
    cases = [
        ({"PATH": str(tools)}, "unsupported_version"),
        ({"PATH": str(tmp_path)}, "everestctl_missing"),
        ({"PATH": path, "KUBECONFIG": str(tmp_path / "nowhere")}, "kubeconfig_missing"),
        ({"PATH": path, "KUBECONFIG": str(tools)}, "kubeconfig_missing"),
        ({"PATH": path, "KUBECONFIG": str(tmp_path / "empty")}, "kubeconfig_invalid"),
        ({"PATH": path, "KUBECONFIG": str(tmp_path / "noise")}, "kubeconfig_invalid"),
    ]
    for variables, code in cases:
        async with open_bench({**everest.variables, **variables}) as lacking:
            made = await lacking.attempt("lacking-1", username="lacking")
        assert made.code == code, variables
        if code != "unsupported_version":
            assert CODES[code].nature is Nature.INFRASTRUCTURE


async def test_a_missing_kubectl_is_named(everest: SimulatedEverest, tmp_path: Path) -> None:
    program = Path(__file__).parents[2] / "simulator" / "bin" / "everestctl"
    (tmp_path / "everestctl").write_text(f'#!/bin/sh\nPATH="{everest.variables["PATH"]}" exec {program} "$@"\n')
    (tmp_path / "everestctl").chmod(0o755)
    async with open_bench({**everest.variables, "PATH": str(tmp_path)}) as lacking:
        made = await lacking.attempt("lacking-2", username="lacking")
    assert made.code == "kubectl_missing"
