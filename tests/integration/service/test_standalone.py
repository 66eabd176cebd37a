"""One machine, one command: it starts everything, keeps jobs over restarts, and leaves nothing behind."""

import asyncio
import os
import signal
import socket
import tarfile
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.simulator import simulated_everest
from tests.support.eventually import eventually
from tests.support.peers.accounts import knock
from tests.support.servers import LIMIT_SECONDS, LOOPBACK, ROOT, find_listened, free_port
from tests.support.standalone import standalone

GOLDEN_STORE = ROOT / "tests" / "data" / "golden-0.1.0" / "store.tar.gz"
GOLDEN_JOBS = {
    "finished": "83489f0a-c773-4563-a40f-7fe1f3495750",
    "running": "968b6842-e03e-4e52-a82a-e77772a3218c",
    "queued": "19ffd8a3-bc15-4ba3-a706-78b2c31c1505",
}


def processes_of(data: Path) -> list[int]:
    """Whoever was started for this folder, and lives: its environment names it."""
    mark = f"DATA_DIR={data}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


async def wait_until_gone(data: Path) -> None:
    await eventually(lambda: not processes_of(data), lambda: f"all are gone, but {processes_of(data)}")


async def test_jobs_survive_a_restart_and_nothing_is_left(tmp_path: Path) -> None:
    """Submitted while no handler runs, done by the next start; SIGTERM ends all with 0. Its folder has a space.

    Unless HOST says otherwise nobody but this machine is served.
    """
    data = tmp_path / "my data"
    async with simulated_everest(tmp_path / "everest") as everest:
        async with standalone(everest, data, "--handlers", "0") as first:
            await first.wait_until_ready()
            assert [find_listened(port) for port in (first.port, first.nats_port)] == [{LOOPBACK}] * 2
            job_id = (await first.api.post("/bootstrap/users", json={"username": "alice"})).json()["job_id"]
            assert (await first.api.get(f"/jobs/{job_id}")).json()["status"] == "queued"
            assert await first.end() == 0
        await wait_until_gone(data)
        async with standalone(everest, data) as second:
            await second.wait_until_ready()
            job = (await second.api.get(f"/jobs/{job_id}", params={"wait": "60"})).json()
            assert job["status"] == "succeeded", job
            assert await second.end(signal.SIGINT) == 0
        await wait_until_gone(data)


async def test_the_jobs_of_the_version_that_asked_nobody_go_on(tmp_path: Path) -> None:
    """A data folder of 0.1.0: what had finished is there, what was running and what was queued end."""
    data = tmp_path / "data"
    with tarfile.open(GOLDEN_STORE) as store:
        store.extractall(data / "nats", filter="data")
    async with simulated_everest(tmp_path / "everest") as everest, standalone(everest, data) as running:
        await running.wait_until_ready()
        finished = (await running.api.get(f"/jobs/{GOLDEN_JOBS['finished']}/result")).json()
        assert (finished["inputs"]["username"], finished["overall_status"]) == ("alice", "succeeded")
        for state, username in (("running", "bob"), ("queued", "carol")):
            job = (await running.api.get(f"/jobs/{GOLDEN_JOBS[state]}", params={"wait": "60"})).json()
            assert (job["username"], job["status"]) == (username, "succeeded"), job
        assert {job["username"] for job in (await running.api.get("/jobs")).json()["jobs"]} == {"alice", "bob", "carol"}
        assert "are in the account EVEREST now" in running.log.read_text()


async def test_nobody_on_the_machine_comes_into_its_nats(tmp_path: Path) -> None:
    """The secrets are files that only their owner reads; a service comes in as the local publisher, and as no more."""
    data, port = tmp_path / "data", free_port()
    async with (
        simulated_everest(tmp_path / "everest") as everest,
        standalone(everest, data, nats_port=port) as running,
    ):
        await running.wait_until_ready()
        url = f"nats://{LOOPBACK}:{port}"
        assert await knock(port) == "-ERR 'Authorization Violation'"
        modes = {path.stat().st_mode & 0o777 for path in (data / "credentials").rglob("*") if path.is_file()}
        assert modes == {0o600}
        seed = data / "credentials" / "local" / "user.nk"
        client = await nats.connect(url, nkeys_seed=str(seed), inbox_prefix=b"_INBOX_local")
        await client.jetstream().publish("everest.v1.jobs.bootstrap.order-42", b'{"username": "dora"}')
        await client.close()
        job = (await running.api.get("/jobs/local.order-42", params={"wait": "60"})).json()
        assert (job["caller"], job["status"]) == ("local", "succeeded"), job


async def test_an_interrupted_job_goes_on_with_the_next_start(tmp_path: Path) -> None:
    """What was handed back is given out again at once, although the server forgot it: it would wait half a lease.

    The folder has a blank in its name, as folders have.
    """
    data = tmp_path / "a folder"
    lease: dict[str, Any] = {"LEASE_SECONDS": str(20 * LIMIT_SECONDS)}
    async with simulated_everest(tmp_path / "everest") as everest:
        await everest.set_faults(job_seconds=20 * LIMIT_SECONDS)
        async with standalone(everest, data, SHUTDOWN_GRACE="0.1", **lease) as first:
            await first.wait_until_ready()
            request = {"username": "alice", "operators": {"postgresql": True}}
            job_id = (await first.api.post("/bootstrap/users", json=request)).json()["job_id"]
            await first.wait_until_step(job_id, "add_namespace")
            assert await first.end() == 0
        await wait_until_gone(data)
        await everest.set_faults(job_seconds=0.2)
        async with standalone(everest, data, **lease) as second:
            await second.wait_until_ready()
            job = (await second.api.get(f"/jobs/{job_id}", params={"wait": "60"})).json()
            assert (job["status"], job["losses"]) == ("succeeded", 0), job


async def test_its_children_end_with_it_also_when_it_is_killed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with simulated_everest(tmp_path / "everest") as everest, standalone(everest, data) as running:
        await running.wait_until_ready()
        assert len(processes_of(data)) >= 4  # itself, the server, the gateway, a handler
        await running.end(signal.SIGKILL)
        await wait_until_gone(data)


async def test_a_handler_that_dies_is_started_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with simulated_everest(tmp_path / "everest") as everest, standalone(everest, data) as running:
        await running.wait_until_ready()
        handlers = await eventually(
            lambda: [pid for pid in processes_of(data) if is_handler(pid)], "a handler is there"
        )
        os.kill(handlers[0], signal.SIGKILL)
        job_id = (await running.api.post("/bootstrap/users", json={"username": "alice"})).json()["job_id"]
        job = (await running.api.get(f"/jobs/{job_id}", params={"wait": "60"})).json()
        assert job["status"] == "succeeded", job
        assert "the next starts in" in running.log.read_text()


async def test_settings_that_a_handler_cannot_use_end_all_with_its_message(tmp_path: Path) -> None:
    """Where it was started again for ever, a first job stood queued without a word."""
    data, bad = tmp_path / "data", "cpu=4"
    async with (
        simulated_everest(tmp_path / "everest") as everest,
        standalone(everest, data, EVEREST_DEFAULT_RESOURCES=bad) as running,
    ):
        assert await asyncio.wait_for(running.process.wait(), 2 * LIMIT_SECONDS) == 2
        await wait_until_gone(data)
    said = running.log.read_text()
    assert "EVEREST_DEFAULT_RESOURCES" in said
    assert said.splitlines()[-1].startswith("everything is stopped, because the handler cannot use its settings")


@pytest.mark.parametrize("name", [pytest.param("gateway", marks=pytest.mark.slow), "nats-server"])
async def test_the_end_of_what_all_need_ends_all_and_is_the_last_word(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    async with simulated_everest(tmp_path / "everest") as everest, standalone(everest, data) as running:
        await running.wait_until_ready()
        (pid,) = [pid for pid in processes_of(data) if is_called(name, arguments_of(pid))]
        os.kill(pid, signal.SIGKILL)
        assert await asyncio.wait_for(running.process.wait(), 2 * LIMIT_SECONDS) == 1
        await wait_until_gone(data)
    last = running.log.read_text().splitlines()[-1]
    assert last == f"everything is stopped, because {name} ended with -9"


def is_called(name: str, arguments: list[bytes]) -> bool:
    """A module's name is the last argument, a program's the first."""
    return name.encode() in (arguments[-1], os.path.basename(arguments[0]))


def is_handler(pid: int) -> bool:
    return b"handlers" in arguments_of(pid)


def arguments_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return [b""]


@pytest.mark.parametrize("name", ["PORT", "NATS_PORT"])
async def test_a_taken_port_is_said_clearly(tmp_path: Path, name: str) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"port": port} if name == "PORT" else {"nats_port": port}
        async with (
            simulated_everest(tmp_path / "everest") as everest,
            standalone(everest, tmp_path / "data", **ports) as running,
        ):
            assert await asyncio.wait_for(running.process.wait(), LIMIT_SECONDS) == 1
    said = running.log.read_text()
    assert f"port {port} cannot be listened on" in said
    assert f"set {name} to another" in said


async def test_one_folder_is_one_standalones(tmp_path: Path) -> None:
    """nats-server itself would let two write to one store."""
    data = tmp_path / "data"
    async with simulated_everest(tmp_path / "everest") as everest, standalone(everest, data, "--handlers", "0") as one:
        await one.wait_until_ready()
        async with standalone(everest, data) as other:
            assert await asyncio.wait_for(other.process.wait(), LIMIT_SECONDS) == 1
        assert "is in use by another standalone" in one.log.read_text()
