"""The simulated Everest goes wrong on demand: each fault does what its name says, and ends when it is taken back."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

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
    await everest.set_faults(write_race_seconds=3)
    ended = await asyncio.gather(*(everest.run(*CREATE, f"racer{number}") for number in range(4)))
    assert sorted(code for code, *_ in ended)[0] == 0
    assert any("the object has been modified" in stderr for _, _, stderr in ended)


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
