"""The simulated Everest goes wrong on demand: each fault does what its name says, and ends when it is taken back."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.simulator import SimulatedEverest, simulated_everest

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIST = ("everestctl", "accounts", "list")
CREATE = ("everestctl", "accounts", "create", "-p", "Secret_pw123", "-u")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedEverest]:
    async with simulated_everest(tmp_path_factory.mktemp("simulated")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def everest(cluster: SimulatedEverest) -> AsyncIterator[SimulatedEverest]:
    """With nothing wrong before, and working again after."""
    yield cluster
    await cluster.set_faults(unreachable=False)
    assert (await cluster.run(*LIST))[0] == 0


async def test_slow(everest: SimulatedEverest) -> None:
    await everest.set_faults(slow_seconds=1.5)
    begun = time.monotonic()
    assert (await everest.run(*LIST))[0] == 0
    assert time.monotonic() - begun >= 1.5


async def test_hang(everest: SimulatedEverest) -> None:
    await everest.set_faults(hang=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await everest.run(*LIST)
    await everest.set_faults()
    for run in (await everest.effects())["runs"]:
        if run["ended_at"] is None:
            os.kill(run["pid"], signal.SIGKILL)


async def test_conflict(everest: SimulatedEverest) -> None:
    await everest.set_faults(conflicts={"everest-accounts": 1})
    code, _, stderr = await everest.run(*CREATE, "conflict")
    assert (code, "the object has been modified" in stderr) == (1, True)
    assert (await everest.run(*CREATE, "conflict"))[0] == 0


async def test_a_race_loses_a_write_as_it_does_in_earnest(everest: SimulatedEverest) -> None:
    await everest.set_faults(holds="write_race")
    racers = [asyncio.create_task(everest.run(*CREATE, f"racer{number}")) for number in range(4)]
    await everest.wait_until_held("accounts", "create", count=4)
    await everest.set_faults()
    ended = await asyncio.gather(*racers)
    assert sorted(code for code, *_ in ended) == [0, 1, 1, 1]
    assert all("the object has been modified" in stderr for code, _, stderr in ended if code)


async def test_a_delete_undoes_a_create_that_it_overlaps(everest: SimulatedEverest) -> None:
    """Everest's own bug, which is why an account that was created is looked for."""
    await everest.run(*CREATE, "leaver")
    await everest.set_faults(only="accounts delete", holds="race")
    delete = asyncio.create_task(everest.run("everestctl", "accounts", "delete", "-u", "leaver"))
    await everest.wait_until_held("accounts", "delete")  # it has read what it will write back
    assert (await everest.run(*CREATE, "comer"))[0] == 0
    await everest.set_faults()
    assert (await delete)[0] == 0
    assert "comer" not in (await everest.run(*LIST))[1]


async def test_unreachable(everest: SimulatedEverest) -> None:
    await everest.set_faults(unreachable=True)
    code, _, stderr = await everest.run(*LIST)
    assert (code, "connection refused" in stderr) == (1, True)
    code, _, stderr = await everest.run("kubectl", "get", "ns")
    assert (code, "refused" in stderr) == (1, True)


async def test_binary_output(everest: SimulatedEverest) -> None:
    await everest.set_faults(binary_output=True)
    code, stdout, _ = await everest.run(*LIST)
    assert (code, "\0" in stdout, "�" in stdout) == (0, True, True)


async def test_50_mb_of_output(everest: SimulatedEverest) -> None:
    await everest.set_faults(output_bytes=50_000_000)
    code, stdout, _ = await everest.run(*LIST)
    assert code == 0
    assert len(stdout) > 49_000_000


async def test_a_failure_in_any_words_so_many_times_for_some_commands(everest: SimulatedEverest) -> None:
    await everest.set_faults(only="accounts list", times=1, fail={"exit_code": 7, "stderr": "no\n"})
    assert (await everest.run("everestctl", "version"))[0] == 0
    assert await everest.run(*LIST) == (7, "", "no\n")
    assert (await everest.run(*LIST))[0] == 0


async def test_a_missing_binary_and_a_missing_kubeconfig(everest: SimulatedEverest, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await everest.run(str(tmp_path / "everestctl"), "version")
    code, _, stderr = await everest.run(*LIST, KUBECONFIG=str(tmp_path / "nowhere"))
    assert (code, "could not read kubeconfig file" in stderr) == (1, True)


async def test_an_invalid_policy_crashes_the_server(everest: SimulatedEverest) -> None:
    """Whether or not it is enforced; and a good one that is written later does not start it again."""
    found = await everest.get("configmap", "everest-rbac", "-n", "everest-system")
    good = found["data"]["policy.csv"]
    for policy in (good + "p, role:nobody, namespaces, read, x\n", good):
        found["data"]["policy.csv"] = policy
        found["metadata"].pop("resourceVersion", None)
        assert (await everest.run("kubectl", "replace", "-f", "-", stdin=json.dumps(found)))[0] == 0
        assert (await everest.state())["has_server_crashed"]
    server = await everest.get("deployment", "everest-server", "-n", "everest-system")
    assert server["status"]["availableReplicas"] == 0


ADD = ("everestctl", "namespaces", "add", "--operator.postgresql=true")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            {"kubernetes_version": "v1.26.4"},
            "chart requires kubeVersion: >=1.27.0-0 which is incompatible with Kubernetes v1.26.4",
        ),
        ({"invalid_ownership": True}, "cannot be imported into the current release: invalid ownership metadata; "),
        (
            {"denials": [{"resource": "namespaces", "verb": "create", "policy": "names", "message": "not here"}]},
            "ValidatingAdmissionPolicy 'names' with binding 'names' denied request: not here",
        ),
        ({"chart_unreachable": True}, "is not a valid chart repository or cannot be reached"),
    ],
)
async def test_what_a_cluster_says_of_a_chart(everest: SimulatedEverest, fault: dict[str, Any], words: str) -> None:
    await everest.set_faults(**fault)
    code, _, stderr = await everest.run(*ADD, "unfitting")
    assert (code, words in " ".join(stderr.split())) == (1, True), stderr
    assert await everest.get("namespace", "unfitting") is None
    assert not await everest.get("secret", "-n", "unfitting", "-l", "owner=helm", "--no-headers")


async def test_a_newer_cluster_fits_and_says_its_version(everest: SimulatedEverest) -> None:
    await everest.set_faults(kubernetes_version="v1.27.0")
    assert (await everest.run(*ADD, "fitting"))[0] == 0
    code, stdout, _ = await everest.run("kubectl", "version", "-o", "json")
    assert (code, json.loads(stdout)["serverVersion"]["gitVersion"]) == (0, "v1.27.0")


async def test_the_list_of_namespaces_fails_for_one_that_is_not_ready(everest: SimulatedEverest) -> None:
    await everest.set_faults(job_hangs=True)
    adding = asyncio.create_task(everest.run(*ADD, "unready"))
    while not await everest.get("job", "everest-operators-installer", "-n", "unready"):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    code, stdout, stderr = await everest.run("everestctl", "namespaces", "list")
    assert (code, stdout, "resource name may not be empty" in stderr) == (1, "", True)
    await everest.set_faults()
    assert (await adding)[0] == 0
    code, stdout, _ = await everest.run("everestctl", "namespaces", "list")
    assert (code, "unready" in stdout) == (0, True)


async def test_helm_keeps_three_releases(everest: SimulatedEverest) -> None:
    await everest.run(*ADD, "often")
    for _ in range(4):
        assert (await everest.run("everestctl", "namespaces", "update", "often", "--operator.postgresql=true"))[0] == 0
    found = (await everest.get("secret", "-n", "often", "-l", "owner=helm"))["items"]
    labels = [one["metadata"]["labels"] for one in found]
    assert sorted((one["version"], one["status"]) for one in labels) == [
        ("3", "superseded"),
        ("4", "superseded"),
        ("5", "deployed"),
    ]
