"""The whole workflow as a user who holds nothing but what the shipped roles grant, on an API that enforces them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.records import Outcome
from handlers.bootstrap.namespace import BINDING
from handlers.preflight.checking import find, make_runner
from handlers.preflight.findings import Verdict
from handlers.preflight.rights import Right, needed_rights
from handlers.tenants.claims import INSTALLING
from handlers.tools.versions import ClusterFacts
from tests.simulator import SimulatedEverest
from tests.support.arrangement import have_tenant
from tests.support.clusters import IS_REAL, open_cluster
from tests.support.environments import handler_settings
from tests.support.roles import FLAT, NARROW, USER, VARIANTS, Rights
from tests.support.tenants import look_at, make_database
from tests.support.workflows import Bench, die, open_bench

ALL_NEW = [Outcome.CREATED, Outcome.CREATED, Outcome.APPLIED, Outcome.APPLIED, Outcome.UNVERIFIED]


@asynccontextmanager
async def as_handler(folder: Path, rights: Rights) -> AsyncIterator[tuple[SimulatedEverest, Bench]]:
    """The bench is the handler's, the cluster's own commands the administrator's."""
    async with open_cluster(folder, roles=rights.manifests, user=USER, job_seconds=0.1) as everest:
        handler = dict(everest.variables)
        everest.kubeconfig = everest.admin_kubeconfig
        if IS_REAL:
            await do(everest, "kubectl", "apply", "-f", str(rights.admission))
        async with open_bench(handler, **rights.settings) as bench:
            yield everest, bench


async def do(everest: SimulatedEverest, *argv: str, stdin: str = "") -> str:
    code, stdout, stderr = await everest.run(*argv, stdin=stdin)
    assert code == 0, stderr
    return stdout


async def test_a_tenants_life_needs_no_more_than_the_narrow_role(tmp_path: Path) -> None:
    """Made with an operator, suspended with a database, resumed, handed over, taken away with its data."""
    async with as_handler(tmp_path, NARROW) as (everest, bench):
        made = await bench.onboard("alice-1", username="alice", operators={"postgresql": True})
        assert made.outcomes == ALL_NEW
        secret = made.result("create_account").credentials_secret
        assert secret is not None
        assert secret.namespace == NARROW.settings["EVEREST_CREDENTIALS_NAMESPACE"]
        await assert_nothing_else_is_held(everest, NARROW)
        await suspend_and_resume(everest, bench)
        await offboard(everest, bench, "alice", delete_databases=True, confirm="alice")
        assert await everest.get("ns", "alice") is None


async def test_the_handler_keeps_no_rights_in_a_namespace_that_it_lets_go_of(tmp_path: Path) -> None:
    """Also where it was killed when the claim was off and its binding was not."""
    async with as_handler(tmp_path, NARROW) as (everest, bench):
        asked: dict[str, Any] = {"kind": "offboard", "keep_namespace": True}
        for name, words in (("plain", "nothing"), ("cut", "kubectl delete rolebinding")):
            assert (await bench.onboard(f"{name}-1", username=name)).failure is None
            assert await everest.get("rolebinding", BINDING, "-n", name)
            made = await bench.attempt(f"{name}-2", intercept=die(words, after=False), username=name, **asked)
            assert (made.failed_step == "remove_namespace") is (name == "cut")
            made = await bench.finish(f"{name}-2", made, username=name, **asked)
            assert (made.failure, made.result("remove_namespace").outcome) == (None, Outcome.UPDATED)
            assert await everest.get("ns", name)
            assert await everest.get("rolebinding", BINDING, "-n", name) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
async def test_the_workflow_needs_no_more_than_its_role(tmp_path: Path, name: str) -> None:
    """New, again, more operators, taken over, and taken up where a handler died."""
    rights = VARIANTS[name]
    async with as_handler(tmp_path, rights) as (everest, bench):
        request: dict[str, Any] = {"username": "alice", "operators": {"postgresql": True}}
        made = await bench.onboard("alice-1", **request)
        assert made.outcomes == ALL_NEW
        secret = made.result("create_account").credentials_secret
        assert secret is not None
        assert secret.namespace == rights.settings.get("EVEREST_CREDENTIALS_NAMESPACE", "everest-system")
        assert (await bench.onboard("alice-1", **request)).outcomes[0] is Outcome.CREATED, "its password is proved"
        more = await bench.onboard("alice-2", username="alice", operators={"mongodb": True})
        assert more.outcomes[1] is Outcome.UPDATED
        assert (await bench.onboard("plain-1", username="plain")).outcomes == ALL_NEW
        await do(everest, "kubectl", "create", "namespace", "old")
        wanted = {**request, "username": "taken", "namespace": "old", "take_ownership": True}
        plan = await bench.plan(**wanted)
        assert (plan["would"], any("could not be tried" in one for one in plan["warnings"])) == (
            "change",
            rights is NARROW,
        ), "it has no rights there before it claims it"
        taken = await bench.onboard("taken-1", **wanted)
        assert taken.outcomes[1] is Outcome.UPDATED
        label = "status=pending-upgrade"
        await do(
            everest, "kubectl", "label", "secret", "sh.helm.release.v1.alice.v2", "-n", "alice", label, "--overwrite"
        )
        await do(everest, "kubectl", "annotate", "ns", "alice", f"{INSTALLING}=alice-3 2", "--overwrite")
        assert (await bench.onboard("alice-3", **request)).outcomes[1] is Outcome.UPDATED
        await assert_nothing_else_is_held(everest, rights)
        await suspend_and_resume(everest, bench)
        await offboard_everybody(everest, bench)


async def suspend_and_resume(everest: SimulatedEverest, bench: Bench) -> None:
    """With a database that is paused meanwhile; then a new password, and another caller."""
    await make_database(everest, "alice", "ran")
    requests: list[tuple[str, dict[str, Any]]] = [
        ("suspend", {"pause_databases": True}),
        ("resume", {}),
        ("password", {}),
        ("handover", {"caller": "billing"}),
    ]
    for kind, request in requests:
        made = await bench.attempt(f"alice-{kind}", kind=kind, username="alice", **request)
        assert (made.failure, set(made.outcomes)) == (None, {Outcome.UPDATED}), kind


async def offboard(everest: SimulatedEverest, bench: Bench, username: str, **request: Any) -> None:
    """With a database and a backup storage where they may go."""
    for kind in ("DatabaseCluster", "BackupStorage") if "delete_databases" in request else ():
        metadata = {"name": "one", "namespace": username}
        value = {"apiVersion": "everest.percona.com/v1alpha1", "kind": kind, "metadata": metadata}
        await everest.create(value)
    made = await bench.offboard(f"{username}-9", username=username, **request)
    assert made.failure is None, made.failure
    assert made.outcomes[3:] == [Outcome.REMOVED, Outcome.REMOVED]


async def offboard_everybody(everest: SimulatedEverest, bench: Bench) -> None:
    """With their data, as they are, and let go of."""
    asked: dict[str, dict[str, Any]] = {
        "alice": {"delete_databases": True, "confirm": "alice"},
        "plain": {},
        "taken": {"keep_namespace": True},
    }
    for username, request in asked.items():
        await offboard(everest, bench, username, **request)
    assert [await everest.get("ns", name) is None for name in ("alice", "plain", "old")] == [True, True, False]


async def assert_nothing_else_is_held(everest: SimulatedEverest, rights: Rights) -> None:
    """The roles are enforced: what they do not grant is refused."""
    handler = {"KUBECONFIG": str(everest.kubeconfig.parent / "kubeconfig")}
    for verb, what in (("delete", "persistentvolumeclaims"), ("create", "clusterroles.rbac.authorization.k8s.io")):
        code, stdout, _ = await everest.run("kubectl", "auth", "can-i", verb, what, **handler)
        assert (code, stdout) == (1, "no\n")
    if rights is NARROW:
        code, *_ = await everest.run("kubectl", "get", "secrets", "-n", "default", **handler)
        assert code == 1, "no Secrets where it has not bound itself"


def binding(namespace: str, name: str, role: str, user: str) -> str:
    subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"}
    identity = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding"}
    metadata = {"name": name, "namespace": namespace}
    return json.dumps({**identity, "metadata": metadata, "roleRef": reference, "subjects": [subject]})


@pytest.mark.skipif(not IS_REAL, reason="the simulated API obeys no admission policy: see make test-cluster")
async def test_whoever_takes_the_handlers_token_can_bind_the_tenant_role_to_nobody_else(tmp_path: Path) -> None:
    """And to itself only where it has a claim, which it cannot have on the cluster's own namespaces."""
    async with as_handler(tmp_path, NARROW) as (everest, bench):
        assert (await bench.onboard("alice-1", username="alice", operators={"postgresql": True})).failure is None
        await do(everest, "kubectl", "create", "namespace", "somebodys")
        handler = {"KUBECONFIG": str(everest.kubeconfig.parent / "kubeconfig")}
        tenant = NARROW.settings["EVEREST_TENANT_ROLE"]
        refused = {
            "to nobody but itself": binding("alice", "thief-1", tenant, "mallory"),
            "only in namespaces that it has claimed": binding("somebodys", "thief-2", tenant, USER),
        }
        for words, manifest in refused.items():
            code, _, stderr = await everest.run("kubectl", "create", "-f", "-", stdin=manifest, **handler)
            assert (code, words in stderr) == (1, True), stderr
        claim = ("kubectl", "annotate", "namespace", "kube-system", "everest-bootstrap/owner=thief")
        code, _, stderr = await everest.run(*claim, **handler)
        assert (code, "touches no namespace of the cluster's" in stderr) == (1, True), stderr


async def find_problems(bench: Bench) -> list[str]:
    """What `python -m handlers --check` complains of."""
    settings = handler_settings({**bench.variables, **bench.settings})
    found = [one async for one in find(settings, bench.variables, make_runner(bench.commands), ClusterFacts())]
    return [finding.message for finding in found if finding.verdict is Verdict.PROBLEM]


@pytest.mark.parametrize("name", VARIANTS)
async def test_the_preflight_finds_the_role_sufficient(tmp_path: Path, name: str) -> None:
    async with as_handler(tmp_path, VARIANTS[name]) as (_, bench):
        assert await find_problems(bench) == []


@pytest.mark.slow
async def test_the_preflight_names_each_right_that_is_missing(tmp_path: Path) -> None:
    """Each verb of the role taken away alone, and nothing else complained of."""
    async with as_handler(tmp_path, FLAT) as (everest, bench):
        role = json.loads(await do(everest, "kubectl", "get", "clusterrole", "everest-bootstrap-handler", "-o", "json"))
        del role["metadata"]["resourceVersion"]
        for right in [
            right for right in needed_rights("everest-system", None) if not right.namespace and not right.is_optional
        ]:
            lesser = {**role, "rules": [*without(role["rules"], right)]}
            await everest.replace(lesser)
            problems = await find_problems(bench)
            named = [one for one in problems if f"this handler may not {right}" in one]
            assert named, f"{right}: {problems}"
            elsewhere = [one for one in problems if one not in named and right.resource not in one]
            assert elsewhere == [], f"{right}: {problems}"


def without(rules: list[dict[str, Any]], right: Right) -> list[dict[str, Any]]:
    """The rules with one verb on one resource taken away."""
    left = []
    for rule in rules:
        if right.group in rule["apiGroups"] and right.resource in rule["resources"]:
            others = [name for name in rule["resources"] if name != right.resource]
            left += [{**rule, "resources": others}] if others else []
            rule = {**rule, "resources": [right.resource], "verbs": [v for v in rule["verbs"] if v != right.verb]}
        left += [rule] if rule["verbs"] else []
    return left


LACKING_AT_THE_END = [
    Right("delete", "operatorgroups", "operators.coreos.com"),
    Right("list", "cronjobs", "batch"),
    Right("delete", "namespaces"),
]


@pytest.mark.parametrize(
    "lacking", [LACKING_AT_THE_END[:1], pytest.param(LACKING_AT_THE_END[1:], marks=pytest.mark.slow)], ids=str
)
async def test_an_offboarding_that_lacks_a_right_says_which_and_touches_nothing(
    tmp_path: Path, lacking: list[Right]
) -> None:
    """Onboarding goes on without it."""
    async with as_handler(tmp_path, FLAT) as (everest, bench):
        role = json.loads(await do(everest, "kubectl", "get", "clusterrole", "everest-bootstrap-handler", "-o", "json"))
        del role["metadata"]["resourceVersion"]
        for right in lacking:
            lesser = {**role, "rules": [*without(role["rules"], right)]}
            await everest.replace(lesser)
            assert (await bench.onboard("alice-1", username="alice")).failure is None
            made = await bench.offboard("alice-2", username="alice")
            assert (made.code, made.failed_step) == ("forbidden", "check_tenant")
            assert right.resource in made.end.failure.message + made.end.failure.hint
            assert not any(command.changes for command in made.commands)


async def test_a_suspension_that_lacks_a_right_says_which_and_touches_nothing(tmp_path: Path) -> None:
    """Without its databases it needs none of them."""
    async with as_handler(tmp_path, FLAT) as (everest, bench):
        await have_tenant(everest, bench, "alice-1", username="alice")
        before = await look_at(everest, "alice")
        role = json.loads(await do(everest, "kubectl", "get", "clusterrole", "everest-bootstrap-handler", "-o", "json"))
        del role["metadata"]["resourceVersion"]
        lesser = {**role, "rules": without(role["rules"], Right("patch", "databaseclusters", "everest.percona.com"))}
        await everest.replace(lesser)
        made = await bench.attempt("alice-2", kind="suspend", username="alice", pause_databases=True)
        assert (made.code, made.failed_step) == ("forbidden", "revoke_access")
        assert "patch databaseclusters.everest.percona.com in alice" in made.end.failure.message
        assert await look_at(everest, "alice") == before
        assert (await bench.attempt("alice-3", kind="suspend", username="alice")).failure is None


LACKING = [
    (Right("get", "namespaces"), "create_account"),
    (Right("patch", "installplans", "operators.coreos.com"), "add_namespace"),
    (Right("create", "resourcequotas"), "apply_resource_quota"),
]
MORE_LACKING = [
    (Right("create", "namespaces"), "add_namespace"),
    (Right("create", "secrets"), "create_account"),
    (Right("update", "secrets"), "create_account"),
    (Right("list", "storageclasses", "storage.k8s.io"), "add_namespace"),
    (Right("create", "jobs", "batch"), "add_namespace"),
    (Right("list", "subscriptions", "operators.coreos.com"), "add_namespace"),
]


@pytest.mark.parametrize(
    ("right", "step"),
    [*LACKING, *(pytest.param(*one, marks=pytest.mark.slow) for one in MORE_LACKING)],
    ids=str,
)
async def test_a_job_that_lacks_a_right_says_which(tmp_path: Path, right: Right, step: str) -> None:
    """A permanent failure, with the verb and the resource in its hint or message."""
    lesser = tmp_path / "lesser.yaml"
    documents = list(yaml.safe_load_all(FLAT.manifests[0].read_text()))
    documents[0]["rules"] = without(documents[0]["rules"], right)
    lesser.write_text(yaml.safe_dump_all(documents))
    async with as_handler(tmp_path / "cluster", replace(FLAT, manifests=(lesser,))) as (_, bench):
        made = await bench.attempt("alice-1", username="alice", operators={"postgresql": True})
        assert (made.failed_step, made.code) == (step, "forbidden"), made.failure
        assert made.failure is not None
        failure = made.failure.failure
        assert right.resource in failure.hint + failure.message
        assert right.verb in failure.hint + failure.message
