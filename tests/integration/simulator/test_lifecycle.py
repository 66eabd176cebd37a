"""A tenant's end, its password and what a plan asks, as recorded from the real CLIs in every state that was tried."""

import asyncio
import base64
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.simulator.running import SimulatedEverest, simulated_everest, write_everestctl
from tests.support.roles import FLAT
from tests.transcripts import FOLDER

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECORDED = [json.loads(line) for line in (FOLDER / "lifecycle.jsonl").read_text().splitlines()]
OPERATORS = ("--operator.mongodb=false", "--operator.postgresql=true", "--operator.xtradb-cluster=false")
EVEREST = "everest.percona.com/v1alpha1"
NEVER = "example.com/never"

_MARKED = re.compile(r"([✅❌]  [^\r\n]+)")
_JOB = re.compile(r"(pre-delete-hook)-\d+")


def recorded(case: str, version: str | None = None) -> Iterator[dict[str, Any]]:
    yield from (one for one in RECORDED if one["case"] == case and one.get("version") == version)


def first(case: str, version: str | None = None) -> dict[str, Any]:
    return next(recorded(case, version))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedEverest]:
    folder = tmp_path_factory.mktemp("lifecycle")
    async with simulated_everest(folder, job_seconds=0.05) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def everest(cluster: SimulatedEverest) -> AsyncIterator[SimulatedEverest]:
    """With nothing wrong before and after, and all in a hurry."""
    await cluster.set_faults(termination_seconds=0.05)
    yield cluster
    await cluster.set_faults(termination_seconds=0.05)


async def kubectl(everest: SimulatedEverest, *words: str, stdin: str = "") -> str:
    code, stdout, stderr = await everest.run("kubectl", *words, stdin=stdin)
    assert code == 0, stderr
    return stdout


async def create(everest: SimulatedEverest, kind: str, namespace: str, name: str, **members: Any) -> None:
    group = {"Deployment": "apps/v1", "PersistentVolumeClaim": "v1", "ResourceQuota": "v1", "Secret": "v1"}
    metadata = {"name": name, "namespace": namespace, "finalizers": members.pop("finalizers", [])}
    value = {"apiVersion": group.get(kind, EVEREST), "kind": kind, "metadata": metadata, **members}
    await everest.create(value)


async def manage(everest: SimulatedEverest, name: str) -> None:
    if await everest.get("namespace", name):
        return
    code, _, stderr = await everest.run("everestctl", "namespaces", "add", name, *OPERATORS)
    assert code == 0, stderr


async def set_release(everest: SimulatedEverest, name: str, status: str) -> None:
    secret = f"sh.helm.release.v1.{name}.v1"
    await kubectl(everest, "label", "secret", secret, "-n", name, f"status={status}", "--overwrite")


def comparable(text: str) -> str:
    return _JOB.sub(r"\1-N", text.replace(' "tenants"', "").replace('"tenants" ', ""))


def squeezed(text: str) -> list[str]:
    """Lines without the blanks that pad them to the widest."""
    return [line.rstrip() for line in comparable(text).split("\n")]


async def check(everest: SimulatedEverest, one: dict[str, Any], **variables: str) -> None:
    """Runs the recorded command: the code and what is said on stderr are the recorded ones, and the steps are."""
    program, *words = one["argv"]
    if version := one.get("version"):
        folder = everest.home / version
        folder.mkdir(exist_ok=True)
        program = str(write_everestctl(folder, version))
    code, stdout, stderr = await everest.run(program, *words, **variables)
    assert (code, squeezed(stderr)) == (one["rc"], squeezed(one["stderr"])), one["case"]
    wanted, found = _MARKED.findall(one["stdout"]), _MARKED.findall(stdout)
    assert set(wanted) <= set(found), one["case"]
    assert wanted[-1:] == found[-1:], one["case"]


async def items(everest: SimulatedEverest, *words: str) -> list[dict[str, Any]]:
    return list((await everest.get(*words) or {"items": []})["items"])


async def exists(everest: SimulatedEverest, name: str) -> bool:
    return await everest.get("namespace", name) is not None


# Accounts.


@pytest.mark.parametrize("version", [pytest.param(None, marks=pytest.mark.slow), "1.16.1"])
async def test_passwords_and_deleted_accounts(everest: SimulatedEverest, version: str | None) -> None:
    """In the recorded order; usage texts name the recorder's kubeconfig."""
    held = 0
    for one in RECORDED:
        if one.get("version") == version and one["case"].startswith(("life-acc", "life-setpw", "life-delete")):
            if (
                one["case"].endswith(("-admin", "-disabled", "-with-lines"))
                or "admin" in one["argv"]
                or one["argv"][0] == "kubectl"
            ):
                continue
            code, stdout, stderr = await everest.run(
                "everestctl", *one["argv"][1:], EVERESTCTL_VERSION=version or "1.10.0"
            )
            stderr = re.sub(
                r'"T":"[^"]+"', '"T":"<TIME>"', stderr.replace(str(everest.kubeconfig), "<LAB>/admin.kubeconfig")
            )
            assert (code, stdout, stderr) == (one["rc"], one["stdout"], one["stderr"]), one["case"]
            held += 1
    assert held > 5


async def test_the_administrators_account_is_one_like_any_other(everest: SimulatedEverest) -> None:
    cases = ("setpw-admin", "initial-after", "delete-admin", "list-empty", "delete-admin-again", "create-admin")
    for case in cases:
        one = first(f"life-{case}")
        code, stdout, stderr = await everest.run(*one["argv"])
        assert (code, stdout, stderr) == (one["rc"], one["stdout"], one["stderr"]), case


async def read_users(everest: SimulatedEverest) -> str:
    secret = await everest.get("secret", "everest-accounts", "-n", "everest-system")
    return base64.b64decode(secret["data"]["users.yaml"]).decode()


async def write_users(everest: SimulatedEverest, text: str) -> None:
    secret = await everest.get("secret", "everest-accounts", "-n", "everest-system")
    secret["data"]["users.yaml"] = base64.b64encode(text.encode()).decode()
    await everest.replace(secret)


async def test_a_disabled_account_is_shown_and_stays_disabled(everest: SimulatedEverest) -> None:
    await everest.run("everestctl", "accounts", "create", "-u", "lf_dis", "-p", "Pw-123456789")
    before, separator, after = (await read_users(everest)).partition("lf_dis:\n  enabled: true")
    await write_users(everest, before + separator.replace("true", "false") + after)
    for case in ("list-disabled", "setpw-disabled", "list-disabled-after-setpw", "create-disabled"):
        one = first(f"life-{case}")
        code, stdout, stderr = await everest.run(*one["argv"])
        assert (code, sorted(stdout.split("\n")), stderr) == (
            one["rc"],
            sorted(one["stdout"].split("\n")),
            one["stderr"],
        )


@pytest.mark.parametrize("name", ["null", "true", "123", "1e3", "yes", "0x1F", "Null"])
async def test_names_that_mean_something_in_yaml_are_held_like_any_other(everest: SimulatedEverest, name: str) -> None:
    password = "Secret_pw123"
    assert (await everest.run("everestctl", "accounts", "create", "-u", name, "-p", password))[0] == 0
    assert f'"{name}":\n' in await read_users(everest)
    code, stdout, _ = await everest.run("everestctl", "accounts", "list", "--columns=user", "--no-headers")
    assert (code, name in stdout.split()) == (0, True)
    assert (await everest.run("everestctl", "accounts", "set-password", "-u", name, "-p", password))[0] == 0
    assert (await everest.run("everestctl", "accounts", "delete", "-u", name))[0] == 0


async def test_accounts_written_by_hand_are_read_by_yamls_rules(everest: SimulatedEverest) -> None:
    kept = await read_users(everest)
    await write_users(
        everest, kept + "{}\n".join(["flow: {enabled: yes, capabilities: [login, apiKey], passwordHash: x}\n"])
    )
    code, stdout, _ = await everest.run("everestctl", "accounts", "list")
    assert (code, re.search(r"flow +\[login apiKey\] +true", stdout) is not None) == (0, True)
    await write_users(everest, "just words\n")
    code, _, stderr = await everest.run("everestctl", "accounts", "list")
    assert (code, "cannot unmarshal !!str `just words` into map" in stderr) == (1, True)
    await write_users(everest, "nobody:\n")
    code, _, stderr = await everest.run("everestctl", "accounts", "list")
    assert (code, stderr.startswith("panic: "), "Traceback" in stderr) == (2, True, False)
    await write_users(everest, kept)


async def test_a_password_that_was_set_comes_back_beside_a_delete(everest: SimulatedEverest) -> None:
    """Everest's own bug: a delete writes the map that it read first, and both say that all is well."""
    for name in ("lf_setter", "lf_leaver"):
        await everest.run("everestctl", "accounts", "create", "-u", name, "-p", "First-pw_123456")
    before = (await read_users(everest)).partition("lf_setter:")[2]
    await everest.set_faults(only="accounts delete", holds="race")
    delete = asyncio.create_task(everest.run("everestctl", "accounts", "delete", "-u", "lf_leaver"))
    await everest.wait_until_held("accounts", "delete")
    assert (await everest.run("everestctl", "accounts", "set-password", "-u", "lf_setter", "-p", "Other-pw_1"))[0] == 0
    await everest.set_faults()
    assert (await delete)[0] == 0
    assert (await read_users(everest)).partition("lf_setter:")[2] == before


async def test_a_password_that_is_set_makes_a_deleted_account_again(everest: SimulatedEverest) -> None:
    await everest.run("everestctl", "accounts", "create", "-u", "lf_gone", "-p", "First-pw_123456")
    await everest.set_faults(only="accounts set-password", holds="race")
    argv = ("everestctl", "accounts", "set-password", "-u", "lf_gone", "-p", "Other-pw_1")
    setting = asyncio.create_task(everest.run(*argv))
    await everest.wait_until_held("accounts", "set-password")
    assert (await everest.run("everestctl", "accounts", "delete", "-u", "lf_gone"))[0] == 0
    await everest.set_faults()
    assert (await setting)[0] == 0
    assert "lf_gone:" in await read_users(everest)


# namespaces remove.


@pytest.mark.parametrize("version", [None, "1.16.1"])
async def test_what_is_refused_before_anything_is_touched(everest: SimulatedEverest, version: str | None) -> None:
    for word in (
        "everest-system",
        "kube-system",
        "default",
        "lf-none",
        "Bad_Name",
        "empty-name",
        "lf-none,everest-olm",
    ):
        await check(everest, first(f"life-rm-{word}", version))


async def test_an_unmanaged_namespace_is_refused(everest: SimulatedEverest) -> None:
    await kubectl(everest, "create", "namespace", "lf-plain")
    for case in ("unmanaged", "unmanaged-force", "unmanaged-keep"):
        await check(everest, first(f"life-rm-{case}"))
    assert await exists(everest, "lf-plain")


@pytest.mark.parametrize(("version", "suffix"), [(None, "10"), ("1.16.1", "16")])
async def test_databases_are_in_the_way_but_for_force(
    everest: SimulatedEverest, version: str | None, suffix: str
) -> None:
    await manage(everest, f"lf-b{suffix}")
    await create(everest, "DatabaseCluster", f"lf-b{suffix}", "db1")
    await check(everest, first("life-rm-with-db", version))
    assert await everest.get("databasecluster", "db1", "-n", f"lf-b{suffix}")
    await check(everest, first("life-rm-with-db-force", version))
    assert not await exists(everest, f"lf-b{suffix}")
    await manage(everest, f"lf-a{suffix}")
    await check(everest, first("life-rm-managed-empty", version))
    await check(everest, first("life-rm-absent", version))


async def test_all_but_databases_is_destroyed_unasked(everest: SimulatedEverest) -> None:
    await manage(everest, "lf-e")
    for kind in ("DatabaseClusterBackup", "BackupStorage", "PersistentVolumeClaim", "Deployment", "Secret"):
        await create(everest, kind, "lf-e", "one")
    await check(everest, first("life-rm-with-backup-storage-pvc-foreign"))
    assert not await exists(everest, "lf-e")
    assert not (await items(everest, "pvc", "-A"))


async def test_a_namespace_that_is_kept_loses_what_is_everests(everest: SimulatedEverest) -> None:
    await manage(everest, "lf-f10")
    await kubectl(everest, "annotate", "namespace", "lf-f10", "everest-bootstrap/owner=alice")
    await create(everest, "DatabaseClusterBackup", "lf-f10", "one")
    await create(everest, "BackupStorage", "lf-f10", "one")
    await check(everest, first("life-rm-keep"))
    found = await everest.get("namespace", "lf-f10")
    assert found["metadata"]["annotations"] == {"everest-bootstrap/owner": "alice"}
    assert "app.kubernetes.io/managed-by" not in found["metadata"]["labels"]
    left = {
        kind: len(await items(everest, kind, "-n", "lf-f10"))
        for kind in ("databaseclusterbackups", "backupstorages", "subscriptions", "operatorgroups", "secrets")
    }
    assert left == {
        "databaseclusterbackups": 1,
        "backupstorages": 0,
        "subscriptions": 0,
        "operatorgroups": 0,
        "secrets": 0,
    }
    for case in ("rm-keep-again", "add-after-keep", "add-take-after-keep", "rm-after-readd"):
        await check(everest, first(f"life-{case}"))
    assert not await exists(everest, "lf-f10")


async def test_a_kept_namespace_with_databases_needs_force_as_well(everest: SimulatedEverest) -> None:
    await manage(everest, "lf-fk")
    await create(everest, "DatabaseCluster", "lf-fk", "db1")
    await check(everest, first("life-rm-keep-with-db"))
    await check(everest, first("life-rm-keep-force-with-db"))
    assert await exists(everest, "lf-fk")


async def test_words_that_are_wrong(everest: SimulatedEverest) -> None:
    for case in ("noargs", "twoargs", "badflag"):
        one = first(f"life-rm-{case}")
        code, _, stderr = await everest.run(*one["argv"])
        assert (code, stderr.replace(str(everest.kubeconfig), "<LAB>/admin.kubeconfig")) == (one["rc"], one["stderr"])


RELEASES = [one for one in RECORDED if re.fullmatch(r"life-rm-release-[a-z]+(-[a-z]+)?(?<!-again)", one["case"])]


@pytest.mark.parametrize("one", RELEASES, ids=lambda one: one["argv"][3])
async def test_no_state_of_the_release_is_in_the_way(everest: SimulatedEverest, one: dict[str, Any]) -> None:
    name, status = one["argv"][3], one["case"].removeprefix("life-rm-release-")
    await manage(everest, name)
    if status == "missing":
        await everest.delete("secret", "-n", name, "-l", "owner=helm")
    else:
        await set_release(everest, name, status)
    await check(everest, one)
    is_kept = "--keep-namespace" in one["argv"]
    assert await exists(everest, name) is is_kept
    if status == "missing" and is_kept:
        assert await items(everest, "subscriptions", "-n", name)  # the operators stay


async def test_a_label_alone_suffices_and_a_terminating_namespace_is_waited_for(everest: SimulatedEverest) -> None:
    await kubectl(everest, "create", "namespace", "lf-label")
    await kubectl(everest, "label", "namespace", "lf-label", "app.kubernetes.io/managed-by=everest")
    await check(everest, first("life-rm-labelled-no-release"))
    await kubectl(everest, "create", "namespace", "lf-term")
    await kubectl(everest, "label", "namespace", "lf-term", "app.kubernetes.io/managed-by=everest")
    await everest.set_faults(termination_seconds=3)
    await kubectl(everest, "delete", "namespace", "lf-term", "--wait=false")
    await check(everest, first("life-rm-terminating"))
    assert not await exists(everest, "lf-term")


async def test_a_hook_that_fails_or_hangs(everest: SimulatedEverest) -> None:
    await manage(everest, "lf-g-jobfail")
    await everest.set_faults(removal_job_fails=1)
    for case in ("fails", "fails-again"):
        await check(everest, first(f"life-rm-hook-{case}"))
    await manage(everest, "lf-g-jobhang")
    await everest.set_faults(removal_job_hangs=True)
    process = await start(everest, "lf-g-jobhang")
    await hook_job(everest, "lf-g-jobhang")
    process.kill()
    await process.wait()
    releases = await items(everest, "secret", "-n", "lf-g-jobhang", "-l", "owner=helm")
    assert [one["metadata"]["labels"]["status"] for one in releases] == ["uninstalling"]
    await everest.set_faults()
    await check(everest, first("life-rm-hook-hung-again"))


async def test_a_quota_refuses_the_hook(everest: SimulatedEverest) -> None:
    await manage(everest, "lf-q")
    await create(everest, "ResourceQuota", "lf-q", "nojobs", spec={"hard": {"count/jobs.batch": "0"}})
    await check(everest, first("life-rm-quota-refuses-hook"))
    await everest.delete("resourcequota", "nojobs", "-n", "lf-q")
    await check(everest, first("life-rm-quota-refuses-hook-again"))


async def test_finalizers_that_nobody_takes_off(everest: SimulatedEverest) -> None:
    """The limits are shortened, the words are those of their ends."""
    held = (
        ("lf-bkfin", "DatabaseClusterBackup", "backup-finalizer-never"),
        ("lf-bsfin", "BackupStorage", "storage-finalizer-never"),
        ("lf-never2", "DatabaseCluster", "force-finalizer-never"),
    )
    for name, kind, case in held:
        await manage(everest, name)
        await create(everest, kind, name, "one", finalizers=[NEVER])
        await everest.set_faults(removal_limit_seconds=1.5)
        await check(everest, first(f"life-rm-{case}"))
        assert await exists(everest, name)
        found = await everest.get(kind.lower(), "one", "-n", name)
        assert "deletionTimestamp" in found["metadata"]
        await everest.set_faults()
        await kubectl(
            everest, "patch", kind.lower(), "one", "-n", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
        )
    await kubectl(everest, "wait", "--for=delete", "namespace/lf-bkfin", "--timeout=60s")


async def test_several_namespaces_and_json(everest: SimulatedEverest) -> None:
    for name in ("lf-m1", "lf-m2", "lf-json", "lf-json2"):
        await manage(everest, name)
    await check(everest, first("life-rm-list-with-absent"))
    await check(everest, first("life-rm-list"))
    await create(everest, "DatabaseCluster", "lf-json2", "db1")
    for case in ("json", "json-db"):
        one = first(f"life-rm-{case}")
        code, stdout, stderr = await everest.run(*one["argv"])
        assert (code, stdout, re.sub(r'"T":"[^"]+"', '"T":"<TIME>"', stderr)) == (
            one["rc"],
            one["stdout"],
            one["stderr"],
        )


async def start(everest: SimulatedEverest, name: str, *flags: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        str(Path(everest.variables["PATH"].split(":")[0]) / "everestctl"),
        *("namespaces", "remove", name, *flags),
        env=everest.variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def hook_job(everest: SimulatedEverest, name: str) -> None:
    """Until the hook Job is there."""
    while not any(  # noqa: ASYNC110
        "pre-delete" in job["metadata"]["name"] for job in (await items(everest, "jobs", "-n", name))
    ):
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_after_a_signal_one_more_run_ends_it(everest: SimulatedEverest, number: signal.Signals) -> None:
    """SIGTERM ends with 0, although the namespace is there."""
    name = f"lf-cut-{number.name.lower()}"
    await manage(everest, name)
    await everest.set_faults(removal_job_hangs=True)
    process = await start(everest, name)
    await hook_job(everest, name)
    process.send_signal(number)
    assert await process.wait() == (0 if number == signal.SIGTERM else -9)
    assert await exists(everest, name)
    await everest.set_faults()
    code, *_ = await everest.run("everestctl", "namespaces", "remove", name)
    assert (code, await exists(everest, name)) == (0, False)


# Which object of the hook meets the other's is a matter of luck.
LOST = re.compile(r"Hook pre-delete .* failed: [^*]*\* .*(already exists|because it is being terminated)\s")


async def test_two_at_once_end_it_and_one_may_say_otherwise(everest: SimulatedEverest) -> None:
    await manage(everest, "lf-two0")
    await everest.set_faults(race_seconds=1)
    ended = await asyncio.gather(*(everest.run("everestctl", "namespaces", "remove", "lf-two0") for _ in range(2)))
    for said in (one["stderr"] for one in recorded("life-rm-two-at-once") if one["rc"]):
        assert LOST.search(said)
    assert all(LOST.search(stderr) for code, _, stderr in ended if code), ended
    assert any(code == 0 for code, *_ in ended)
    assert not await exists(everest, "lf-two0")


async def test_a_name_that_is_taken_anew_is_waited_for_in_vain(everest: SimulatedEverest) -> None:
    await manage(everest, "lf-rec")
    await everest.set_faults(holds="poll", removal_limit_seconds=2)
    removal = asyncio.create_task(everest.run("everestctl", "namespaces", "remove", "lf-rec"))
    await everest.wait_until_held("namespaces", "remove")
    await kubectl(everest, "wait", "--for=delete", "namespace/lf-rec", "--timeout=60s")
    await kubectl(everest, "create", "namespace", "lf-rec")
    await everest.set_faults()
    code, _, stderr = await removal
    one = first("life-rm-recreated-while-waiting")
    assert (code, stderr) == (one["rc"], one["stderr"])
    assert await exists(everest, "lf-rec")


# What a plan asks.


async def check_kubectl(everest: SimulatedEverest, one: dict[str, Any], user: str = "") -> None:
    variables = {}
    if user:
        path = everest.home / f"{user}.kubeconfig"
        path.write_text(everest.kubeconfig.read_text().replace(everest.server, f"{everest.server}/as/{user}"))
        variables["KUBECONFIG"] = str(path)
    code, stdout, stderr = await everest.run(*one["argv"], stdin=one.get("stdin", ""), **variables)
    assert (code, stderr) == (one["rc"], one["stderr"]), one["case"]
    if stdout.startswith("{"):
        assert members(json.loads(one["stdout"])) == members(json.loads(stdout)), one["case"]
    else:
        assert stdout == one["stdout"], one["case"]


def members(value: dict[str, Any]) -> dict[str, Any]:
    """What was asked and what was answered, without what differs from cluster to cluster."""
    status = {key: item for key, item in (value.get("status") or {}).items() if key == "allowed"}
    return {"kind": value["kind"], "name": value["metadata"].get("name"), "spec": value.get("spec"), **status}


async def test_dry_runs_change_nothing(everest: SimulatedEverest) -> None:
    before = [
        (one["metadata"]["uid"], one["metadata"]["resourceVersion"]) for one in await items(everest, "ns,quota", "-A")
    ]
    for case in (
        "create-ns",
        "quota-no-ns",
        "create-quota-no-ns",
        "elsewhere",
        "elsewhere-bad",
        "elsewhere-limitrange-bad",
        "list",
    ):
        await check_kubectl(everest, first(f"life-dry-server-{case}"))
    await everest.set_faults(
        denials=[
            {
                "resource": "namespaces",
                "name": "lf-refused*",
                "policy": "lf-refuse",
                "message": "names that start with lf-refused are not allowed here",
            }
        ]
    )
    await check_kubectl(everest, first("life-dry-server-admission"))
    await everest.set_faults(denials=[{"resource": "namespaces", "webhook": "wh.lf.example"}])
    await check_kubectl(everest, first("life-dry-server-webhook-down"))
    await everest.set_faults()
    after = [
        (one["metadata"]["uid"], one["metadata"]["resourceVersion"]) for one in await items(everest, "ns,quota", "-A")
    ]
    assert after == before
    assert not await exists(everest, "lf-plan")


async def test_dry_runs_of_what_is_there(everest: SimulatedEverest) -> None:
    await kubectl(everest, "create", "namespace", "lf-plan")
    quota = first("life-dry-server-apply-same")
    await kubectl(everest, "apply", "-n", "lf-plan", "-f", "-", stdin=quota["stdin"])
    for case in ("apply-changed", "apply-same", "create-exists"):
        await check_kubectl(everest, first(f"life-dry-server-{case}"))
    await check_kubectl(everest, first("life-dry-server-reader-ns"), "reader")
    await check_kubectl(everest, first("life-diff-same"))
    found = await everest.get("resourcequota", "user-quota", "-n", "lf-plan")
    assert found["spec"]["hard"] == {"requests.cpu": "2"}


async def test_access_reviews_are_answered_to_anybody(everest: SimulatedEverest) -> None:
    """Without validation: with it, kubectl wants to list custom resources, which the simulated API lets it skip."""
    for case in ("nobody", "handler-absent-ns", "handler-nonsense"):
        one = next(one for one in recorded(f"life-ssar-{case}") if "--validate=false" in one["argv"])
        code, stdout, _ = await everest.run(*one["argv"], stdin=one["stdin"])
        assert (code, json.loads(stdout)["status"]["allowed"]) == (0, True), case  # the administrator asks
    asked = next(one for one in recorded("life-ssar-nobody") if "--validate=false" in one["argv"])
    await check_kubectl(everest, asked, "nobody")


async def test_deletes_with_preconditions(everest: SimulatedEverest) -> None:
    await kubectl(everest, "create", "namespace", "lf-pre")
    found = (await everest.get("namespace", "lf-pre"))["metadata"]
    for case in ("stale-rv", "wrong-uid", "right"):
        one = first(f"life-delete-ns-{case}")
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": found["uid"], "resourceVersion": found["resourceVersion"]},
        }
        if case == "stale-rv":
            options["preconditions"] = {"uid": found["uid"], "resourceVersion": "7"}
        if case == "wrong-uid":
            options["preconditions"] = {"uid": "00000000-0000-0000-0000-000000000000"}
        path = everest.home / "options.json"
        path.write_text(json.dumps(options))
        code, _, stderr = await everest.run("kubectl", "delete", "--raw", "/api/v1/namespaces/lf-pre", "-f", str(path))
        assert (code, re.sub(r": [0-9a-f-]+", ": N", stderr)) == (
            one["rc"],
            re.sub(r": [0-9a-f-]+", ": N", one["stderr"]),
        )
    await kubectl(everest, "wait", "--for=delete", "namespace/lf-pre", "--timeout=60s")
    for case in ("absent", "absent-strict"):
        await check_kubectl(everest, first(f"life-delete-ns-{case}"))


async def test_databases_by_plain_kubectl(everest: SimulatedEverest) -> None:
    await manage(everest, "lf-sus")
    await create(everest, "DatabaseCluster", "lf-sus", "db1", spec={"engine": {"type": "postgresql"}})
    await kubectl(
        everest, "wait", "databasecluster/db1", "-n", "lf-sus", "--for=jsonpath={.status.status}=ready", "--timeout=60s"
    )
    for case in ("patch", "patch-again", "patch-not-bool", "cas", "annotate"):
        await check_kubectl(everest, first(f"life-pause-{case}"))
    await check_kubectl(everest, first("life-pause-handler"), "handler")
    await kubectl(
        everest,
        "wait",
        "databasecluster/db1",
        "-n",
        "lf-sus",
        "--for=jsonpath={.status.status}=paused",
        "--timeout=60s",
    )
    await check(everest, first("life-rm-force-paused"))


async def test_engines_offer_versions_unless_nobody_can_be_asked(everest: SimulatedEverest) -> None:
    await everest.set_faults(no_version_service=True)
    await manage(everest, "lf-engines")
    engine = ("databaseengine", "percona-postgresql-operator", "-n", "lf-engines")
    status = (await everest.get(*engine))["status"]
    assert (status["status"], status["availableVersions"]) == ("installed", {})
    assert (await everest.get("databaseengine", "percona-xtradb-cluster-operator", "-n", "lf-engines"))["status"] == {
        "status": "not installed"
    }
    await everest.set_faults()
    await kubectl(everest, "wait", *engine, "--for=jsonpath={.status.availableVersions.engine}", "--timeout=60s")


# Rights.

_RIGHTS: tuple[tuple[str, str, str], ...] = (
    ("everest.percona.com", "databaseclusters", "list"),
    ("everest.percona.com", "backupstorages", "list"),
    ("everest.percona.com", "monitoringconfigs", "list"),
    ("operators.coreos.com", "clusterserviceversions", "delete"),
    ("operators.coreos.com", "subscriptions", "delete"),
    ("operators.coreos.com", "operatorgroups", "delete"),
    ("", "namespaces", "delete"),
    ("everest.percona.com", "databaseclusters", "deletecollection"),
    ("everest.percona.com", "backupstorages", "deletecollection"),
    ("everest.percona.com", "monitoringconfigs", "deletecollection"),
)


def without(rule: dict[str, Any], verb: str, plural: str) -> list[dict[str, Any]]:
    """The rules that leave of it all but this right."""
    if plural not in rule["resources"] or verb not in rule["verbs"]:
        return [rule]
    others = {**rule, "resources": [name for name in rule["resources"] if name != plural]}
    rest = {**rule, "resources": [plural], "verbs": [name for name in rule["verbs"] if name != verb]}
    return [part for part in (others, rest) if part["resources"] and part["verbs"]]


@pytest.mark.slow
@pytest.mark.parametrize("one", list(recorded("life-least-without")), ids=lambda one: one["note"])
async def test_each_right_is_missed_in_its_own_words(everest: SimulatedEverest, one: dict[str, Any]) -> None:
    verb, plural = re.fullmatch(r"without (\w+) on (\w+)", one["note"]).groups()  # type: ignore[union-attr]
    for manifest in FLAT.manifests:
        await kubectl(everest, "apply", "-f", str(manifest))
    held = [right for right in _RIGHTS if right[1:] != (plural, verb)]
    rules = [{"apiGroups": [group], "resources": [what], "verbs": [may]} for group, what, may in held]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "lifecycle"},
        "rules": rules,
    }
    await kubectl(everest, "apply", "-f", "-", stdin=json.dumps(role))
    bound = {item["roleRef"]["name"] for item in await items(everest, "clusterrolebindings")} - {"lifecycle"}
    for name in bound:
        full = await everest.get("clusterrole", name)
        less = full | {"rules": [part for rule in full["rules"] for part in without(rule, verb, plural)]}
        await everest.replace(less)
    for name in {"lifecycle", *bound}:
        await kubectl(everest, "delete", "clusterrolebinding", f"handler-{name}", "--ignore-not-found")
        await kubectl(
            everest, "create", "clusterrolebinding", f"handler-{name}", f"--clusterrole={name}", "--user=handler"
        )
    system = ("-n", "everest-system")
    for name in {item["roleRef"]["name"] for item in await items(everest, "rolebindings", *system)}:
        await kubectl(everest, "delete", "rolebinding", f"handler-{name}", "--ignore-not-found", *system)
        await kubectl(everest, "create", "rolebinding", f"handler-{name}", f"--role={name}", "--user=handler", *system)
    name = one["argv"][3]
    await manage(everest, name)
    for kind in ("DatabaseCluster", "BackupStorage", "MonitoringConfig"):
        await create(everest, kind, name, "one")
    path = everest.home / "handler.kubeconfig"
    path.write_text(everest.kubeconfig.read_text().replace(everest.server, f"{everest.server}/as/handler"))
    await check(everest, one, KUBECONFIG=str(path))


async def test_who_may_not_list_jobs_waits_for_ever(everest: SimulatedEverest) -> None:
    for manifest in FLAT.manifests:
        await kubectl(everest, "apply", "-f", str(manifest))
    roles = {item["roleRef"]["name"] for item in await items(everest, "clusterrolebindings")}
    rules = [
        {**rule, "verbs": [verb for verb in rule["verbs"] if verb != "list"]} if "jobs" in rule["resources"] else rule
        for name in roles
        for rule in (await everest.get("clusterrole", name))["rules"]
    ]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "no-jobs"}}
    await kubectl(everest, "apply", "-f", "-", stdin=json.dumps({**role, "rules": rules}))
    await kubectl(everest, "create", "clusterrolebinding", "no-jobs", "--clusterrole=no-jobs", "--user=nolist")
    system = ("-n", "everest-system")
    for name in {item["roleRef"]["name"] for item in await items(everest, "rolebindings", *system)}:
        await kubectl(everest, "create", "rolebinding", f"nolist-{name}", f"--role={name}", "--user=nolist", *system)
    path = everest.home / "nolist.kubeconfig"
    path.write_text(everest.kubeconfig.read_text().replace(everest.server, f"{everest.server}/as/nolist"))
    argv = ("everestctl", "namespaces", "add", "lf-nolist", *OPERATORS)
    adding = asyncio.create_task(everest.run(*argv, KUBECONFIG=str(path)))
    job = ("job", "everest-operators-installer", "-n", "lf-nolist", "--for=condition=Complete", "--timeout=60s")
    while not await everest.get(*job[:4]):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await kubectl(everest, "wait", *job)
    assert not (await asyncio.wait({adding}, timeout=1))[0]
    for run in (await everest.effects())["runs"]:
        if run["ended_at"] is None:
            os.kill(run["pid"], signal.SIGKILL)
    assert (await adding)[0] == -signal.SIGKILL
