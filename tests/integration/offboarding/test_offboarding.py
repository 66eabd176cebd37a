"""The end of a tenant against the simulated cluster: real commands, the real kubectl, every trap that was tried."""

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from contracts.names import credentials_secret_name
from contracts.records import Outcome
from handlers.rbac.policy import SUSPENSION
from tests.simulator import SimulatedEverest
from tests.support.arrangement import have_tenant
from tests.support.eventually import eventually
from tests.support.tenants import read_accounts
from tests.support.workflows import Attempt, Bench, cut_at_change, die, die_at, open_bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVEREST = "everest.percona.com/v1alpha1"
POSTGRESQL = {"operators": {"postgresql": True}}
STEPS = ["check_tenant", "revoke_access", "remove_namespace", "delete_account", "delete_credentials"]
GONE = [Outcome.UNCHANGED, Outcome.REMOVED, Outcome.REMOVED, Outcome.REMOVED, Outcome.REMOVED]
SYSTEM = "everest-system"
FOREIGN = "p, role:dba, namespaces, read, *\ng, dora, role:dba\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(cluster: SimulatedEverest) -> AsyncIterator[Bench]:
    async with open_bench(cluster.variables, EVEREST_NAMESPACE_TIMEOUT="300") as opened:
        yield opened


async def kubectl(everest: SimulatedEverest, *words: str, stdin: str = "") -> None:
    code, _, stderr = await everest.run("kubectl", *words, stdin=stdin)
    assert code == 0, stderr


async def put(everest: SimulatedEverest, kind: str, namespace: str, name: str, **metadata: Any) -> None:
    """As somebody else does."""
    api, spec = HELD[kind]
    identity = {"name": name, "namespace": namespace, **metadata}
    value = {"apiVersion": api, "kind": kind, "metadata": identity, "spec": spec}
    await everest.create(value)


async def let_in(everest: SimulatedEverest, namespace: str) -> None:
    """Without the quota, whose use nobody counts on a real API that has no controllers."""
    await everest.delete("resourcequota", "user-quota", "-n", namespace)


async def read_policy(everest: SimulatedEverest) -> str:
    return str((await everest.get("configmap", "everest-rbac", "-n", SYSTEM))["data"]["policy.csv"])


async def write_policy(everest: SimulatedEverest, policy: str) -> None:
    found = await everest.get("configmap", "everest-rbac", "-n", SYSTEM)
    found["data"]["policy.csv"] = policy
    await everest.replace(found)


async def is_gone(everest: SimulatedEverest, namespace: str) -> bool:
    return await everest.get("ns", namespace) is None


async def users(everest: SimulatedEverest) -> list[str]:
    return list(await read_accounts(everest))


async def assert_gone(everest: SimulatedEverest, username: str, *namespaces: str, job: str = "") -> None:
    """Nothing of the tenant is left: neither a right, nor a namespace, an account or a password."""
    for name in namespaces:
        assert await everest.get("ns", name) is None
    assert username not in await users(everest)
    assert username not in (await read_policy(everest))
    if job:
        assert await everest.get("secret", credentials_secret_name(job), "-n", SYSTEM) is None
    assert not (await everest.state())["has_server_crashed"]


def ended(made: Attempt) -> list[Outcome]:
    assert made.failure is None, made.failure
    assert list(made.results) == STEPS
    return made.outcomes


# The whole of it.


async def take_away(everest: SimulatedEverest, bench: Bench, name: str, **operators: Any) -> Attempt:
    """Its own lines go, byte for byte nothing else does; a second offboarding finds nobody."""
    await write_policy(everest, FOREIGN)
    before = await read_policy(everest)
    await have_tenant(everest, bench, f"{name}-1", username=name, **operators)
    made = await bench.offboard(f"{name}-2", username=name, namespace=name)
    assert ended(made) == GONE
    assert not made.warnings
    await assert_gone(everest, name, name, job=f"{name}-1")
    assert await read_policy(everest) == f"{before}g, admin, role:admin\n"
    assert (await bench.offboard(f"{name}-3", username=name, namespace=name)).code == "tenant_not_found"
    return made


async def test_a_tenant_with_a_plain_namespace_is_taken_away(everest: SimulatedEverest, bench: Bench) -> None:
    made = await take_away(everest, bench, "anna")
    assert "namespaces remove" not in " ".join(made.ran)


async def test_a_tenant_is_taken_away_and_the_name_is_free(everest: SimulatedEverest, bench: Bench) -> None:
    """A bootstrap starts anew."""
    made = await take_away(everest, bench, "alice", **POSTGRESQL)
    assert "namespaces remove alice" in " ".join(made.ran)
    again = await bench.onboard("alice-4", username="alice", **POSTGRESQL)
    assert again.outcomes[:2] == [Outcome.CREATED, Outcome.CREATED]
    assert ended(await bench.offboard("alice-5", username="alice")) == GONE


async def test_the_account_goes_with_the_last_namespace(everest: SimulatedEverest, bench: Bench) -> None:
    """And so do the lines that serve all of them, and the Secret of the job that made the account."""
    await have_tenant(everest, bench, "two-1", username="bob", namespace="bob-one")
    await have_tenant(everest, bench, "two-2", username="bob", namespace="bob-two", **POSTGRESQL)
    made = await bench.offboard("two-3", username="bob", namespace="bob-one")
    assert ended(made) == [*GONE[:3], Outcome.UNCHANGED, Outcome.UNCHANGED]
    assert "bob-two" in made.warnings[-1]
    policy = await read_policy(everest)
    assert ("bob-one" in policy, "bob-two/*" in policy, "g, bob, role:bob" in policy) == (False, True, True)
    assert await everest.get("secret", credentials_secret_name("two-1"), "-n", SYSTEM)
    assert ended(await bench.offboard("two-4", username="bob", namespace="bob-two")) == GONE
    await assert_gone(everest, "bob", "bob-two", job="two-1")


async def test_an_account_made_anew_goes_with_the_last_namespace_whichever_that_is(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """Its job tells every claim of the tenant what it has made, before its other steps."""
    for number in (1, 2):
        await have_tenant(everest, bench, f"hugo-{number}", username="hugo", namespace=f"hugo-{number}")
    await everest.run("everestctl", "accounts", "delete", "-u", "hugo")
    made = await bench.attempt("hugo-3", only="create_account", username="hugo", namespace="hugo-1")
    assert made.outcomes == [Outcome.CREATED]
    await bench.offboard("hugo-4", username="hugo", namespace="hugo-1")
    assert ended(await bench.offboard("hugo-5", username="hugo", namespace="hugo-2")) == GONE
    await assert_gone(everest, "hugo", "hugo-1", "hugo-2", job="hugo-3")
    assert await everest.get("secret", credentials_secret_name("hugo-1"), "-n", SYSTEM) is None


async def test_all_namespaces_go_in_one_job(everest: SimulatedEverest, bench: Bench) -> None:
    for number in (1, 2):
        await have_tenant(everest, bench, f"all-{number}", username="carl", namespace=f"carl-{number}")
    assert ended(await bench.offboard("all-3", username="carl")) == GONE
    await assert_gone(everest, "carl", "carl-1", "carl-2", job="all-1")


# What is refused, and then nothing is touched.


POD = {"containers": [{"name": "one", "image": "registry.example/one"}]}
LABELS = {"matchLabels": {"app": "one"}}
TEMPLATE = {"metadata": {"labels": {"app": "one"}}, "spec": POD}
RUN = {"template": {"spec": {**POD, "restartPolicy": "Never"}}}
HELD: dict[str, tuple[str, dict[str, Any]]] = {
    "DatabaseCluster": (EVEREST, {}),
    "DatabaseClusterBackup": (EVEREST, {}),
    "PersistentVolumeClaim": (
        "v1",
        {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    ),
    "Deployment": ("apps/v1", {"selector": LABELS, "template": TEMPLATE}),
    "StatefulSet": ("apps/v1", {"selector": LABELS, "template": TEMPLATE, "serviceName": "one"}),
    "DaemonSet": ("apps/v1", {"selector": LABELS, "template": TEMPLATE}),
    "Job": ("batch/v1", RUN),
    "CronJob": ("batch/v1", {"schedule": "0 0 * * *", "jobTemplate": {"spec": RUN}}),
    "Pod": ("v1", POD),
}


async def test_what_would_be_lost_is_in_the_way(everest: SimulatedEverest, bench: Bench) -> None:
    """All of it is named, and neither a right nor a claim is touched; confirmed, it goes."""
    await have_tenant(everest, bench, "held-1", username="heidi", **POSTGRESQL)
    await let_in(everest, "heidi")
    for kind in HELD:
        await put(everest, kind, "heidi", "one")
    before = (await everest.get("ns", "heidi"))["metadata"], await read_policy(everest)
    for asked in ({}, {"delete_databases": True}, {"confirm": "heidi"}):
        made = await bench.offboard("held-2", username="heidi", namespace="heidi", **asked)
        assert (made.code, made.failed_step) == ("databases_left", "check_tenant")
        assert all(f"{kind}/one" in made.end.failure.message for kind in HELD)
        assert not any(command.changes for command in made.commands)
    assert ((await everest.get("ns", "heidi"))["metadata"], await read_policy(everest)) == before
    made = await bench.offboard("held-3", username="heidi", delete_databases=True, confirm="heidi")
    assert ended(made) == GONE
    assert "namespaces remove heidi --force" in " ".join(made.ran)
    await assert_gone(everest, "heidi", "heidi", job="held-1")


OF_EVEREST = {
    "Deployment": {"apiVersion": "operators.coreos.com/v1alpha1", "kind": "ClusterServiceVersion"},
    "StatefulSet": {"apiVersion": "psmdb.percona.com/v1", "kind": "PerconaServerMongoDB"},
    "Pod": {"apiVersion": "apps/v1", "kind": "StatefulSet"},
    "Job": {"apiVersion": "postgres-operator.crunchydata.com/v1beta1", "kind": "PostgresCluster"},
}


async def test_what_is_everests_own_is_nobodys_loss(everest: SimulatedEverest, bench: Bench) -> None:
    """What operators run goes with them; a workload of somebody else's operator does not."""
    await have_tenant(everest, bench, "own-1", username="dave", **POSTGRESQL)
    await let_in(everest, "dave")
    for kind, owner in OF_EVEREST.items():
        owners = [{**owner, "name": "one", "uid": "1"}]
        await put(everest, kind, "dave", "one", ownerReferences=owners)
    await put(everest, "Job", "dave", "everest-operators-installer")
    owners = [{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "one", "uid": "1"}]
    await put(everest, "Deployment", "dave", "theirs", ownerReferences=owners)
    made = await bench.offboard("own-2", username="dave")
    assert (made.code, made.end.failure.message) == ("databases_left", "Namespace dave holds Deployment/theirs.")
    await everest.delete("deployment", "theirs", "-n", "dave")
    assert ended(await bench.offboard("own-3", username="dave")) == GONE


async def test_a_namespace_that_is_marked_stays(everest: SimulatedEverest, bench: Bench) -> None:
    await have_tenant(everest, bench, "keep-1", username="erin")
    await kubectl(everest, "annotate", "ns", "erin", "everest-bootstrap/keep=true")
    for asked in ({}, {"keep_namespace": True}, {"confirm": "erin", "delete_databases": True}):
        made = await bench.offboard("keep-2", username="erin", namespace="erin", **asked)
        assert (made.code, made.failed_step) == ("namespace_kept", "check_tenant")
    assert not any(command.changes for command in made.commands)
    await kubectl(everest, "annotate", "ns", "erin", "everest-bootstrap/keep-")
    assert ended(await bench.offboard("keep-3", username="erin")) == GONE


async def test_others_namespaces_are_never_taken(everest: SimulatedEverest, bench: Bench) -> None:
    await have_tenant(everest, bench, "his-1", username="frank")
    await have_tenant(everest, bench, "hers-1", username="gina")
    await kubectl(everest, "create", "ns", "nobodys")
    for namespace, code in (("frank", "namespace_owned_by_another"), ("nobodys", "tenant_not_found")):
        made = await bench.offboard("hers-2", username="gina", namespace=namespace, confirm=namespace)
        assert (made.code, made.failed_step) == (code, "check_tenant")
    assert (await bench.offboard("x-1", username="nobody_here")).code == "tenant_not_found"
    other = bench.called_by("another", is_bound=True)
    assert (await other.offboard("hers-3", username="gina")).code == "tenant_managed_by_another"
    for username in ("frank", "gina"):
        assert await everest.get("ns", username)
        assert ended(await bench.offboard(f"{username}-9", username=username)) == GONE


@pytest.mark.slow
async def test_a_command_that_cannot_withdraw_is_said_before_anything_is_touched(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """Lines left behind would be the next tenant's of that name."""
    await have_tenant(everest, bench, "custom-1", username="hank")
    for command in ("/bin/true", ""):
        made = await bench.having(EVEREST_RBAC_APPLY_CMD=command).offboard("custom-2", username="hank")
        assert (made.code, made.failed_step) == ("withdraw_unsupported", "check_tenant")
        assert "g, hank, role:hank" in made.end.failure.message
    made = await bench.having(EVEREST_RBAC_APPLY_CMD="/bin/true {file} {withdraw}").offboard(
        "custom-3", username="hank"
    )
    assert (made.code, made.failed_step) == ("rbac_command_failed", "revoke_access")  # it says that it did, and did not
    assert await everest.get("ns", "hank")
    assert ended(await bench.offboard("custom-4", username="hank")) == GONE


# What stays.


async def test_a_namespace_can_be_let_go_of(everest: SimulatedEverest, bench: Bench) -> None:
    """It stays with what others put into it, and is nobody's here: Everest, claim, quota and limit range are off."""
    await have_tenant(everest, bench, "let-1", username="ivan", **POSTGRESQL)
    await let_in(everest, "ivan")
    await kubectl(everest, "create", "configmap", "theirs", "-n", "ivan")
    await put(everest, "PersistentVolumeClaim", "ivan", "theirs")
    planned = await bench.plan(kind="offboard", username="ivan", keep_namespace=True)
    assert [step["outcome"] for step in planned["steps"]][2] == "would update"
    made = await bench.offboard("let-2", username="ivan", keep_namespace=True)
    assert ended(made) == [*GONE[:2], Outcome.UPDATED, *GONE[3:]]
    metadata = (await everest.get("ns", "ivan"))["metadata"]
    assert not [name for name in metadata.get("annotations") or {} if name.startswith("everest-bootstrap/")]
    assert not {"everest-bootstrap/tenant", "app.kubernetes.io/managed-by"} & (metadata.get("labels") or {}).keys()
    assert await everest.get("configmap", "theirs", "-n", "ivan")
    assert await everest.get("pvc", "theirs", "-n", "ivan")
    for kind, name in (("resourcequota", "user-quota"), ("limitrange", "user-limits")):
        assert await everest.get(kind, name, "-n", "ivan") is None
    await kubectl(everest, "delete", "ns", "ivan", "--wait=false")


async def test_an_adopted_namespace_stays_unless_it_is_confirmed(everest: SimulatedEverest, bench: Bench) -> None:
    for name in ("judy", "kim"):
        await kubectl(everest, "create", "ns", name)
        await bench.onboard(f"{name}-1", username=name, take_ownership=True)
    made = await bench.offboard("judy-2", username="judy")
    assert ended(made)[2] is Outcome.UPDATED
    assert "confirm=judy" in made.warnings[0]
    assert await everest.get("ns", "judy")
    assert ended(await bench.offboard("kim-2", username="kim", confirm="kim")) == GONE
    assert await everest.get("ns", "kim") is None


@pytest.mark.slow
async def test_databases_need_their_everest(everest: SimulatedEverest, bench: Bench) -> None:
    await have_tenant(everest, bench, "need-1", username="lena", **POSTGRESQL)
    await put(everest, "DatabaseCluster", "lena", "db1")
    made = await bench.offboard("need-2", username="lena", keep_namespace=True)
    assert (made.code, "db1" in made.end.failure.message) == ("databases_left", True)
    assert ended(await bench.offboard("need-3", username="lena", confirm="lena", delete_databases=True)) == GONE


async def test_an_account_that_was_there_before_stays(everest: SimulatedEverest, bench: Bench) -> None:
    """Whatever is asked for, unless it is confirmed by name."""
    await everest.run("everestctl", "accounts", "create", "-u", "mona", "-p", "Her-own_password")
    await have_tenant(everest, bench, "mona-1", username="mona")
    made = await bench.offboard("mona-2", username="mona", delete_account=True)
    assert ended(made) == [*GONE[:3], Outcome.UNCHANGED, Outcome.UNCHANGED]
    assert "was not made by this service" in made.warnings[-1]
    assert "mona" in await users(everest)
    await have_tenant(everest, bench, "mona-3", username="mona")
    made = await bench.offboard("mona-4", username="mona", delete_account=True, confirm="mona")
    assert ended(made)[3] is Outcome.REMOVED
    assert "mona" not in await users(everest)


@pytest.mark.slow
async def test_an_account_that_stays_disabled_is_said(everest: SimulatedEverest, bench: Bench) -> None:
    """When the claims are gone no resume enables what a suspension disabled."""
    await everest.run("everestctl", "accounts", "create", "-u", "pia", "-p", "somebody-elses-1")
    await have_tenant(everest, bench, "pia-1", username="pia")
    await bench.attempt("pia-2", kind="suspend", username="pia")
    made = await bench.offboard("pia-3", username="pia")
    (stays,) = made.results["delete_account"].warnings
    assert stays.startswith("Account pia was not made by this service and stays, disabled.")
    assert "pia" in await users(everest)


@pytest.mark.slow
async def test_an_account_that_was_made_anew_by_hand_is_nobodys_here(everest: SimulatedEverest, bench: Bench) -> None:
    """Nor is one that was given another password by hand; `password` makes it the tenant's again."""
    await have_tenant(everest, bench, "oscar-1", username="oscar")
    await everest.run("everestctl", "accounts", "delete", "-u", "oscar")
    await everest.run("everestctl", "accounts", "create", "-u", "oscar", "-p", "Her-own_password")
    assert (await bench.onboard("oscar-2", username="oscar")).result("create_account").outcome is Outcome.UNCHANGED
    made = await bench.offboard("oscar-3", username="oscar")
    assert ended(made) == [*GONE[:3], Outcome.UNCHANGED, Outcome.REMOVED]
    assert "Account oscar was made anew or given another password since this service made it" in made.warnings[-1]
    assert "oscar" in await users(everest)
    await have_tenant(everest, bench, "paul-1", username="paul")
    await everest.run("everestctl", "accounts", "set-password", "-u", "paul", "--new-password", "By-hand_123")
    planned = await bench.plan(kind="offboard", username="paul")
    assert next(step["outcome"] for step in planned["steps"] if step["name"] == "delete_account") == "unchanged"
    assert (await bench.attempt("paul-2", kind="password", username="paul")).outcomes == [Outcome.UPDATED]
    await kubectl(everest, "delete", "secret", credentials_secret_name("paul-2"), "-n", SYSTEM)
    assert ended(await bench.offboard("paul-3", username="paul")) == [*GONE[:4], Outcome.UNCHANGED]
    assert "paul" not in await users(everest)


async def test_an_account_that_comes_to_stand_there_amid_the_job_stays(everest: SimulatedEverest, bench: Bench) -> None:
    await have_tenant(everest, bench, "ruth-1", username="ruth")
    cut = await bench.attempt("ruth-2", kind="offboard", intercept=die("replace -f -", after=False), username="ruth")
    assert cut.failed_step == "delete_account"
    await everest.run("everestctl", "accounts", "delete", "-u", "ruth")
    await everest.run("everestctl", "accounts", "create", "-u", "ruth", "-p", "Her-own_password")
    made = await bench.finish("ruth-2", cut, kind="offboard", username="ruth")
    assert ended(made)[3] is Outcome.UNCHANGED
    assert "ruth" in await users(everest)


@pytest.mark.parametrize("by_hand", [False, True], ids=["by the job", "by hand"])
async def test_retried_from_its_start_a_job_knows_what_went_before(
    everest: SimulatedEverest, bench: Bench, by_hand: bool
) -> None:
    """The namespace is gone, and its claim with it: account, password and lines go all the same."""
    name = "tina_by_hand" if by_hand else "tina"
    await have_tenant(everest, bench, f"{name}-1", username=name, namespace="tina")
    dies = die("patch ns tina" if by_hand else "replace -f -", after=False)
    cut = await bench.attempt(f"{name}-2", kind="offboard", intercept=dies, username=name)
    if by_hand:
        await kubectl(everest, "delete", "ns", "tina")
    assert await everest.get("ns", "tina") is None
    assert name in await users(everest)
    assert (await bench.offboard(f"{name}-3", username=name)).code == "tenant_not_found"
    made = await bench.attempt(f"{name}-2", kind="offboard", retried=cut, username=name)
    assert ended(made)[3:] == GONE[3:]
    await assert_gone(everest, name, "tina", job=f"{name}-1")


async def test_a_claim_without_a_proof_is_believed(everest: SimulatedEverest, bench: Bench) -> None:
    """As earlier versions wrote it."""
    await have_tenant(everest, bench, "sven-1", username="sven")
    claim = await everest.get("ns", "sven")
    spec = json.loads(claim["metadata"]["annotations"]["everest-bootstrap/spec"])
    assert len(spec.pop("account_proof")) == 64
    await kubectl(everest, "annotate", "--overwrite", "ns", "sven", f"everest-bootstrap/spec={json.dumps(spec)}")
    await kubectl(everest, "delete", "secret", credentials_secret_name("sven-1"), "-n", SYSTEM)
    assert ended(await bench.offboard("sven-2", username="sven")) == [*GONE[:4], Outcome.UNCHANGED]
    assert "sven" not in await users(everest)


@pytest.mark.slow
async def test_claims_of_0_1_0_count_as_adopted_and_a_secret_proves_the_account(
    everest: SimulatedEverest, bench: Bench
) -> None:
    await have_tenant(everest, bench, "first-1", username="nina")
    await kubectl(everest, "annotate", "ns", "nina", "everest-bootstrap/spec-")
    await kubectl(
        everest, "annotate", "secret", credentials_secret_name("first-1"), "-n", SYSTEM, "everest-bootstrap/job-"
    )
    made = await bench.offboard("first-2", username="nina")
    assert ended(made) == [*GONE[:2], Outcome.UPDATED, *GONE[3:]]
    assert "nina" not in await users(everest)
    await kubectl(everest, "delete", "ns", "nina", "--wait=false")


@pytest.mark.slow
async def test_lines_of_others_stay_and_are_named(everest: SimulatedEverest, bench: Bench) -> None:
    """A right that somebody gave the tenant's role keeps a member, or the policy would stop the server."""
    await write_policy(everest, FOREIGN)
    await have_tenant(everest, bench, "lines-1", username="olga")
    theirs = ("p, role:olga, backup-storages, read, shared/*", "p, role:dba, database-clusters, read, olga/*")
    suspended = f"{SUSPENSION}p, role:olga, namespaces, read, olga\n"
    await write_policy(everest, await read_policy(everest) + "\n".join((*theirs, suspended)))
    made = await bench.offboard("lines-2", username="olga")
    assert ended(made) == GONE
    policy = await read_policy(everest)
    left = [line for line in policy.splitlines() if "olga" in line]
    assert left == [*theirs, "g, role:olga, role:olga"]
    assert all(line in made.warnings[0] for line in theirs)
    assert not (await everest.state())["has_server_crashed"]
    again = await bench.attempt("lines-3", username="olga")
    assert (again.code, theirs[0] in again.end.failure.message) == ("role_taken", True)
    again = await bench.onboard("lines-4", username="olga", take_ownership=True)
    assert all(any(line in warning for warning in again.warnings) for line in theirs)
    assert ended(await bench.offboard("lines-5", username="olga")) == GONE
    await write_policy(everest, FOREIGN)


# What does not go.


@pytest.mark.slow
async def test_a_namespace_that_stays_is_said(everest: SimulatedEverest, bench: Bench) -> None:
    """With what holds it; once that is gone, the same job goes on."""
    await have_tenant(everest, bench, "stuck-1", username="paul", **POSTGRESQL)
    impatient = bench.having(EVEREST_NAMESPACE_TIMEOUT="8")
    held = {"finalizers": ["example.com/never"]}
    await put(everest, "DatabaseClusterBackup", "paul", "one", **held)
    await everest.set_faults(removal_limit_seconds=1)
    asked: dict[str, Any] = {"username": "paul", "namespace": "paul", "confirm": "paul", "delete_databases": True}
    made = await impatient.offboard("stuck-2", **asked)
    assert (made.code, made.failed_step) == ("namespace_stuck", "remove_namespace")
    assert "example.com/never" in made.end.failure.message
    assert "paul" not in await read_policy(everest)
    change = '{"metadata":{"finalizers":null}}'
    await kubectl(everest, "patch", "databaseclusterbackup", "one", "-n", "paul", "--type=merge", "-p", change)
    made.failure = made.failed_step = None
    assert ended(await impatient.attempt("stuck-2", kind="offboard", done=made, **asked))[3:] == GONE[3:]
    await assert_gone(everest, "paul", "paul", job="stuck-1")


@pytest.mark.slow
async def test_a_database_that_stays_is_said(everest: SimulatedEverest, bench: Bench) -> None:
    await have_tenant(everest, bench, "stay-1", username="quinn", **POSTGRESQL)
    held = {"finalizers": ["example.com/never"]}
    await put(everest, "DatabaseCluster", "quinn", "db1", **held)
    await everest.set_faults(removal_limit_seconds=1)
    asked: dict[str, Any] = {"username": "quinn", "namespace": "quinn", "confirm": "quinn", "delete_databases": True}
    made = await bench.offboard("stay-2", **asked)
    assert (made.code, made.failed_step) == ("database_stuck", "remove_namespace")
    assert "db1 (example.com/never" in made.end.failure.message
    change = '{"metadata":{"finalizers":null}}'
    await kubectl(everest, "patch", "databasecluster", "db1", "-n", "quinn", "--type=merge", "-p", change)
    assert ended(await bench.offboard("stay-3", **asked)) == [Outcome.UNCHANGED, Outcome.UNCHANGED, *GONE[2:]]
    await assert_gone(everest, "quinn", "quinn", job="stay-1")


@pytest.mark.slow
async def test_a_hook_that_fails_is_tried_again(everest: SimulatedEverest, bench: Bench) -> None:
    """And the tenant's own quota is not in its way."""
    await have_tenant(everest, bench, "hook-1", username="rita", **POSTGRESQL)
    await everest.set_faults(removal_job_fails=1)
    made = await bench.attempt("hook-2", kind="offboard", username="rita")
    assert (made.code, made.failed_step) == ("removal_failed", "remove_namespace")
    assert made.end.failure.retryable
    assert ended(await bench.finish("hook-2", made, kind="offboard", username="rita")) == GONE


# Killed.


MOST_CHANGES = 12


@pytest.mark.slow
@pytest.mark.parametrize("after_seconds", [0.0, 0.15, None], ids=["before", "amid", "after"])
@pytest.mark.parametrize("operators", [{}, POSTGRESQL], ids=["plain", "managed"])
async def test_killed_at_any_change_it_ends_all_the_same(
    everest: SimulatedEverest, bench: Bench, operators: dict[str, Any], after_seconds: float | None
) -> None:
    """Each change in turn is not made, is cut in its middle, or is not heard of; and with a look the same is true."""
    await write_policy(everest, FOREIGN)
    for number in range(MOST_CHANGES):
        await have_tenant(everest, bench, f"kill-{number}-1", username="sven", **operators)
        cut = cut_at_change(number, after_seconds)
        made = await bench.attempt(f"kill-{number}-2", kind="offboard", intercept=cut, username="sven")
        was_cut = made.failed_step is not None
        made = await bench.finish(f"kill-{number}-2", made, kind="offboard", username="sven")
        assert made.failure is None, (number, made.failure)
        assert (list(made.results), made.outcomes) == (STEPS, GONE), number
        assert "-g, sven, role:sven" in (made.result("revoke_access").policy_diff or "")
        await assert_gone(everest, "sven", "sven", job=f"kill-{number}-1")
        assert FOREIGN in await read_policy(everest)
        if not was_cut:
            return
    raise AssertionError(f"it makes more than {MOST_CHANGES} changes")


@pytest.mark.parametrize("keeps", [False, True], ids=["removed", "kept"])
async def test_what_was_taken_before_a_kill_is_told(everest: SimulatedEverest, bench: Bench, keeps: bool) -> None:
    """Killed in each step behind its last change: who goes on finds nothing to do, and tells what the job did."""
    name = "kept" if keeps else "lost"
    await have_tenant(everest, bench, f"{name}-1", username=name)
    request: dict[str, Any] = {"kind": "offboard", "username": name, "keep_namespace": keeps}
    made = Attempt()
    for step, last in zip(STEPS[1:], (1, 2 if keeps else 0, 0, 0), strict=True):
        made = await bench.attempt(f"{name}-2", done=made, intercept=die_at(last, after=True), **request)
        assert made.failed_step == step
        if step == "remove_namespace" and not keeps:
            await eventually(partial(is_gone, everest, name), "the namespace to be gone")
    made = await bench.attempt(f"{name}-2", done=made, **request)
    assert ended(made) == [*GONE[:2], Outcome.UPDATED if keeps else Outcome.REMOVED, *GONE[3:]]
    assert f"-g, {name}, role:{name}" in (made.result("revoke_access").policy_diff or "")


async def test_an_account_that_another_took_over_amid_a_kill_is_not_said_to_be_gone(
    everest: SimulatedEverest, bench: Bench
) -> None:
    await have_tenant(everest, bench, "udo-1", username="udo")
    request: dict[str, Any] = {"kind": "offboard", "username": "udo"}
    made = await bench.attempt("udo-2", intercept=die("replace -f -", after=False), **request)
    assert made.failed_step == "delete_account"
    for words in (("delete", "-u", "udo"), ("create", "-u", "udo", "-p", "Somebody-else_1")):
        code, _, stderr = await everest.run("everestctl", "accounts", *words)
        assert code == 0, stderr
    made = await bench.attempt("udo-2", done=made, **request)
    assert ended(made)[3] is Outcome.UNCHANGED
    assert "udo" in await users(everest)


async def test_a_database_that_is_made_meanwhile_is_not_lost(everest: SimulatedEverest, bench: Bench) -> None:
    """After the look and before the removal: the guard looks again, right before the act."""
    await have_tenant(everest, bench, "race-1", username="ursa", **POSTGRESQL)
    made = await bench.attempt("race-2", kind="offboard", intercept=die("rbac_import", after=True), username="ursa")
    await put(everest, "DatabaseCluster", "ursa", "db1")
    made = await bench.finish("race-2", made, kind="offboard", username="ursa")
    assert (made.code, made.failed_step) == ("databases_left", "remove_namespace")
    assert await everest.get("databasecluster", "db1", "-n", "ursa")
    assert "ursa" not in await read_policy(everest)
    # Who wants the tenant back bootstraps it again.
    await bench.onboard("race-3", username="ursa")
    mark = "everest-bootstrap/offboarding"
    assert mark not in (await everest.get("ns", "ursa"))["metadata"]["annotations"]
    asked: dict[str, Any] = {"username": "ursa", "confirm": "ursa", "delete_databases": True}
    assert ended(await bench.offboard("race-4", **asked)) == GONE


async def test_another_namespace_of_the_name_is_left_alone(everest: SimulatedEverest, bench: Bench) -> None:
    """Gone is absent, or another one: judged by what it is, not by its name."""
    await have_tenant(everest, bench, "name-1", username="vera")
    made = await bench.attempt("name-2", kind="offboard", intercept=die("delete --raw", after=True), username="vera")
    await kubectl(everest, "wait", "--for=delete", "ns/vera", "--timeout=30s")
    await kubectl(everest, "create", "ns", "vera")
    made = await bench.finish("name-2", made, kind="offboard", username="vera")
    assert made.failure is None
    assert await everest.get("ns", "vera")
    await kubectl(everest, "delete", "ns", "vera", "--wait=false")


async def test_a_namespace_whose_claim_was_taken_off_amid_the_job_stays_and_is_told(
    everest: SimulatedEverest, bench: Bench
) -> None:
    await have_tenant(everest, bench, "off-1", username="tom")
    made = await bench.attempt("off-2", kind="offboard", intercept=die("delete --raw", after=False), username="tom")
    await kubectl(everest, "annotate", "ns", "tom", "everest-bootstrap/owner-")
    made = await bench.finish("off-2", made, kind="offboard", username="tom")
    assert made.failure is None
    removal = made.result("remove_namespace")
    assert (removal.found, "of namespace tom was taken off" in removal.warnings[0]) == ({"left": ["tom"]}, True)
    assert await everest.get("ns", "tom")
    await kubectl(everest, "delete", "ns", "tom", "--wait=false")


async def test_a_publisher_takes_away_nothing_that_was_there_before_it(everest: SimulatedEverest, bench: Bench) -> None:
    """What an administrator adopted and handed over to it: namespace and account stay, confirmed or not."""
    for caller, is_bound, name in (("portal", False, "wanda"), ("team", True, "xenia")):
        limited = bench.called_by(caller, is_bound=is_bound)
        job = f"portal.{name}" if caller == "portal" else name
        await kubectl(everest, "create", "ns", name)
        await everest.run("everestctl", "accounts", "create", "-u", name, "-p", "Her-own_password")
        await bench.onboard(f"{name}-0", username=name, take_ownership=True)
        await bench.attempt(f"{name}-1", kind="handover", username=name, caller=caller)
        made = await limited.offboard(f"{job}-2", username=name, confirm=name, delete_account=True)
        assert ended(made) == [*GONE[:2], Outcome.UPDATED, Outcome.UNCHANGED, Outcome.UNCHANGED]
        assert "only an administrator can have it go" in made.warnings[0]
        assert await everest.get("ns", name)
        assert name in await users(everest)


async def test_an_old_offboarding_does_not_take_away_what_was_declared_since(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """Its rights are back: retried, it would leave them in the policy and say that they are revoked."""
    await have_tenant(everest, bench, "since-1", username="yara", **POSTGRESQL)
    made = await bench.attempt("since-2", kind="offboard", intercept=die("rbac_import", after=True), username="yara")
    made = await bench.attempt(
        "since-2", kind="offboard", done=made, intercept=die("namespaces remove", after=False), username="yara"
    )
    assert list(made.results) == STEPS[:2]
    await bench.onboard("since-3", username="yara", **POSTGRESQL)
    again = await bench.attempt("since-2", kind="offboard", done=made, run_number=2, username="yara")
    assert (again.failed_step, again.code) == ("remove_namespace", "generation_conflict")
    assert await everest.get("ns", "yara")
    assert "yara" in await users(everest)
    anew = await bench.attempt("since-2", kind="offboard", run_number=3, username="yara")  # from its start
    assert ended(anew) == GONE
    assert "yara" not in await read_policy(everest)


async def test_a_tenant_whose_offboarding_failed_is_not_taken_back_unasked(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """A repair of what differs is refused, also after its claim was written for another reason; the retry goes on."""
    await have_tenant(everest, bench, "half-1", username="zoe")
    made = await bench.attempt("half-2", kind="offboard", intercept=die("delete --raw", after=False), username="zoe")
    assert made.failed_step == "remove_namespace"
    await bench.attempt("half-3", kind="handover", username="zoe", caller="portal")
    policy = await read_policy(everest)
    repair = await bench.attempt("half-4", kind="repair", username="zoe")
    assert (repair.failed_step, repair.code) == ("create_account", "offboarding_unfinished")
    assert "half-2" in repair.end.failure.message
    assert not any(command.changes for command in repair.commands)
    assert await read_policy(everest) == policy
    assert ended(await bench.finish("half-2", made, kind="offboard", username="zoe")) == GONE
    await assert_gone(everest, "zoe", "zoe", job="half-1")


async def test_a_password_that_is_set_amid_an_offboarding_is_not_left_behind(
    everest: SimulatedEverest, bench: Bench
) -> None:
    """The job knows neither the account with it nor its Secret, so it looks again from its start."""
    await have_tenant(everest, bench, "word-1", username="ziva")
    made = await bench.attempt("word-2", kind="offboard", intercept=die("delete --raw", after=False), username="ziva")
    assert (await bench.attempt("word-3", kind="password", username="ziva")).failure is None
    again = await bench.attempt("word-2", kind="offboard", done=made, run_number=2, username="ziva")
    assert (again.failed_step, again.code) == ("remove_namespace", "generation_conflict")
    assert "another password" in again.end.failure.message
    assert ended(await bench.attempt("word-2", kind="offboard", run_number=3, username="ziva"))[2:] == GONE[2:]
    await assert_gone(everest, "ziva", "ziva", job="word-3")


async def test_a_policy_that_is_invalid_already_is_told_by_the_plan(everest: SimulatedEverest, bench: Bench) -> None:
    """As the job then fails of it. The last test here: Everest's server has crashed by then, for everybody."""
    await have_tenant(everest, bench, "boot-rudi", username="rudi")
    good = await read_policy(everest)
    await write_policy(everest, good + "p, role:nobody, database-clusters, read, */*\n")
    try:
        plan = await bench.plan(kind="offboard", username="rudi")
        failed = await bench.attempt("off-rudi", kind="offboard", username="rudi")
    finally:
        await write_policy(everest, good)
    assert (plan["would"], plan["steps"][-1]["outcome"]) == ("fail", "refused: stored_policy_invalid")
    assert (failed.failed_step, failed.code) == (plan["steps"][-1]["name"], "stored_policy_invalid")
