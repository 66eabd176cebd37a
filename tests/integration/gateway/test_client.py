"""The command `everest-bootstrap` as people and scripts run it, against a live service."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.support.eventually import eventually
from tests.support.forks import Ended, run_fork
from tests.support.gateways import KEY, running_gateway
from tests.support.handlers import Service, open_service, running_handler
from tests.support.servers import LIMIT_SECONDS, LOOPBACK, ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")

_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Client:
    service: Service

    async def run(self, *arguments: str, **variables: str) -> Ended:
        """An empty variable is left out."""
        return await run_fork("gateway.client", *arguments, environment=self._environment(variables))

    async def start(
        self, *arguments: str, stdout: int = asyncio.subprocess.PIPE, **variables: str
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.client", *arguments,
            cwd=ROOT, env=self._environment(variables),
            stdin=asyncio.subprocess.DEVNULL, stdout=stdout, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        settings = {"BASE_URL": str(self.service.gateway.api.base_url), "ADMIN_API_KEY": KEY, **variables}
        environment = {**os.environ, **settings, "HOME": str(self.service.folder)}
        return {name: value for name, value in environment.items() if value}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """One service for all, each with tenants of its own; who needs a handler starts one."""
    async with open_service(tmp_path_factory.mktemp("service")) as service:
        yield Client(service)


async def test_a_tenant_is_onboarded_and_looked_at(client: Client) -> None:
    """Submit and wait, then everything that shows a job, for people and for scripts."""
    async with running_handler(client.service.server.url, client.service.everest, client.service.folder):
        submitted = await client.run("submit", "alice", "--operator", "postgresql", "--cpu-cores", "0.5", "--wait")
        assert submitted.code == 0, submitted
        assert "succeeded" in submitted.stdout
        assert "add_namespace" in submitted.stdout

        page = json.loads((await client.run("jobs", "--username", "alice", "-o", "json")).stdout)
        (job,) = page["jobs"]
        result = json.loads((await client.run("result", job["job_id"], "-o", "json")).stdout)
        assert result["inputs"]["operators"]["postgresql"] is True
        assert result["inputs"]["resources"]["cpu_cores"] == 0.5
        shown = await client.run("result", job["job_id"])
        assert result["credentials_secret"]["read_with"] in shown.stdout
        assert "alice" in (await client.run("jobs")).stdout
        assert job["job_id"] in (await client.run("job", job["job_id"])).stdout
        assert "postgresql" in (await client.run("tenant", "alice")).stdout
        assert (await client.run("tenants")).stdout.splitlines()[1].split() == ["alice", "alice", "developer", "1"]
        planned = await client.run("plan", "alice", "--operator", "postgresql", "--cpu-cores", "0.5")
        assert (planned.code, planned.stdout.splitlines()[0]) == (0, "would nothing")
        refused = await client.run("plan", "bob", "--namespace", "alice", "-o", "json")
        assert (refused.code, json.loads(refused.stdout)["would"]) == (1, "fail")
        watched = await client.run("watch", job["job_id"], "-o", "json")
        assert [json.loads(line)["status"] for line in watched.stdout.splitlines()] == ["succeeded"]

        mistyped = await client.run("offboard", "alice", "--confirm", "alcie")
        assert (mistyped.code, "confirm: must be" in mistyped.stderr) == (3, True), mistyped
        gone = await client.run("offboard", "alice", "--wait")
        assert (gone.code, "delete_credentials" in gone.stdout) == (0, True), gone
        nobody = await client.run("offboard", "alice")
        assert (nobody.code, "tenant_not_found" in nobody.stderr) == (3, True), nobody


async def test_exit_codes_tell_scripts_what_became_of_it(client: Client) -> None:
    """Cancelled is failed (1), unfinished is 5, and what failed is told with its code and hint."""
    job_id = json.loads((await client.run("submit", "exits", "-o", "json")).stdout)["job_id"]
    unfinished = await client.run("wait", job_id, "--timeout", "0")
    assert (unfinished.code, unfinished.stderr.split(":")[0]) == (5, "unfinished")
    assert (await client.run("cancel", job_id)).code == 0
    failed = await client.run("wait", job_id)
    assert failed.code == 1
    assert "cancelled: " in failed.stdout
    assert "hint: " in failed.stdout
    assert (await client.run("retry", job_id, "--from-start")).code == 0


@pytest.mark.parametrize("command", ["watch", "wait"])
async def test_a_gateway_that_dies_is_waited_for(client: Client, command: str) -> None:
    """Whoever follows a job goes on with the next gateway at the address."""
    job_id = await client.service.gateway.submit(username=f"left{command}")
    url, folder = client.service.server.url, client.service.folder
    async with running_gateway(url, folder) as first:
        address = str(first.api.base_url)
        following = await client.start(command, job_id, "-o", "json", BASE_URL=address)

        async def is_followed() -> bool:
            return "everest_bootstrap_waiters 1.0" in (await first.nobody.get("/metrics")).text

        await eventually(is_followed, "the client follows")
        await first.stop(signal.SIGKILL)
        async with running_gateway(url, folder, port=first.port):
            assert (await client.service.gateway.api.post(f"/jobs/{job_id}/cancel")).status_code == 202
            stdout, stderr = await asyncio.wait_for(following.communicate(), 2 * LIMIT_SECONDS)
    assert (following.returncode, stderr) == (1, b"")
    assert json.loads(stdout.splitlines()[-1])["reason"] == "cancelled"


async def test_a_heartbeat_is_no_event(client: Client) -> None:
    """A gateway sends one each quarter of a minute, to whoever watches for so long."""
    told = [b'{"job_id": "one", "status": "running"}', b'{"job_id": "one", "status": "succeeded"}']
    events = [b"id: %d\r\ndata: %s\r\n\r\n" % (number, document) for number, document in enumerate(told, start=1)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Whose last event has been told may stop: nothing else is asked for."""
        assert b"/events " in await reader.readuntil(b"\r\n\r\n")
        writer.write(_STREAM_HEAD + b": ping\r\n\r\n".join((b"", *events, b"")))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, LOOPBACK, 0) as server:
        port = server.sockets[0].getsockname()[1]
        watched = await client.run("watch", "one", "-o", "json", BASE_URL=f"http://{LOOPBACK}:{port}")
    assert (watched.code, watched.stderr) == (0, "")
    shown = [(line.get("type"), line["status"]) for line in map(json.loads, watched.stdout.splitlines())]
    assert shown == [("transition", "running"), (None, "succeeded")], "the events, and the job as the last one has it"


async def test_a_reader_that_leaves_makes_no_failed_job(client: Client) -> None:
    """Until then it reads each event as it happens, also in a pipe."""
    has_left = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_STREAM_HEAD + b'id: 1\r\ndata: {"job_id": "one", "status": "running"}\r\n\r\n')
        await has_left.wait()
        writer.write(b'id: 2\r\ndata: {"job_id": "one", "status": "succeeded"}\r\n\r\n')
        await writer.drain()
        writer.close()

    ours, its = os.pipe()
    async with await asyncio.start_server(answer, LOOPBACK, 0) as server:
        address = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        watching = await client.start("watch", "one", "-o", "json", BASE_URL=address, stdout=its)
        os.close(its)
        line = await asyncio.wait_for(asyncio.to_thread(os.read, ours, 4096), LIMIT_SECONDS)
        os.close(ours)
        has_left.set()
        _, stderr = await asyncio.wait_for(watching.communicate(), LIMIT_SECONDS)
    assert (json.loads(line)["status"], watching.returncode, stderr) == ("running", 141, b"")


@pytest.mark.slow
async def test_a_tenant_of_an_identity_provider_is_submitted(client: Client) -> None:
    """No account, groups with commas and blanks, and a role."""
    groups = ("CN=Ops, OU=A", "data people")
    named = [word for group in groups for word in ("--subject", group)]
    request = ("submit", "team-x", "--no-account", "--role", "viewer", *named)
    async with running_handler(client.service.server.url, client.service.everest, client.service.folder):
        job_id = json.loads((await client.run(*request, "-o", "json")).stdout)["job_id"]
        assert (await client.run("wait", job_id, "--timeout", "inf")).code == 0
    inputs = json.loads((await client.run("result", job_id, "-o", "json")).stdout)["inputs"]
    assert (inputs["account"], inputs["role"], tuple(inputs["subjects"])) == (False, "viewer", groups)


WRONG: tuple[tuple[tuple[str, ...], dict[str, str], int, tuple[str, ...]], ...] = (
    (("submit", "x"), {}, 3, ("validation_failed", "username: must be", "hint: ")),
    (("job", "never-submitted"), {}, 3, ("job_not_found", "hint: ")),
    (("job", "../accounts/list"), {}, 3, ("not_found", "hint: ")),
    (("job", ".."), {}, 3, ("job_not_found", "hint: ")),
    (("cancel", "x?wait=60"), {}, 3, ("job_not_found", "hint: ")),
    (("jobs",), {"ADMIN_API_KEY": "wrong"}, 3, ("unauthorized", "the key: ADMIN_API_KEY of the environment", "hint: ")),
    (("submit", "bob", "--idempotency-key", "é"), {}, 3, ("bad_parameter", "printable ASCII")),
    (("jobs",), {"ADMIN_API_KEY": "s3crét"}, 2, ("ADMIN_API_KEY of the environment", "must be printable")),
    (("jobs",), {"ADMIN_API_KEY": "s3cr\n"}, 2, ("ADMIN_API_KEY of the environment", "must be printable")),
    (("jobs",), {"ADMIN_API_KEY": ""}, 2, ("config: there is no admin_api_key. Set ADMIN_API_KEY",)),
    (("jobs",), {"BASE_URL": "http://127.0.0.1:1"}, 4, ("unreachable: http://127.0.0.1:1 (BASE_URL of ", "hint: ")),
    (("jobs",), {"BASE_URL": "http://[::1"}, 2, ("config: http://[::1 (BASE_URL of ",)),
    (("jobs",), {"BASE_URL": "https://h.invalid", "https_proxy": "u:s3cr@127.0.0.1:1"}, 4, ("proxy 127.0.0.1:1: ",)),
    (("jobs",), {"BASE_URL": "https://h.invalid", "https_proxy": "socks5://h"}, 2, ("through the proxy h ", "SOCKS")),
    (("jobs",), {"SSL_CERT_FILE": "/nowhere"}, 2, ("config: ", "SSL_CERT_FILE")),
    (("jobs", "--username", "\udcff"), {}, 2, ("UnicodeEncodeError: ",)),
    (("job", ""), {}, 2, ("must not be empty",)),
    (("jobs",), {"BASE_URL": "nonsense"}, 4, ("unreachable: ", "hint: ")),
    (("apply", "-f", "/nowhere.yaml"), {}, 2, ("file: /nowhere.yaml cannot be read",)),
    (("jobs", "--limit", "0"), {}, 2, ("--limit",)),
)


async def test_what_is_wrong_is_said_on_stderr(client: Client) -> None:
    runs = await asyncio.gather(*(client.run(*arguments, **variables) for arguments, variables, _, _ in WRONG))
    for ended, (arguments, _, code, said) in zip(runs, WRONG, strict=True):
        assert (ended.code, ended.stdout) == (code, ""), (arguments, ended)
        assert [part for part in said if part not in ended.stderr] == [], ended.stderr
        assert "Traceback" not in ended.stderr
        assert "s3cr" not in ended.stderr


async def test_a_proxy_never_reads_the_key(client: Client) -> None:
    """Nor is it asked for what is on this machine."""
    asked = asyncio.Event()

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.close()

    async with await asyncio.start_server(note, LOOPBACK, 0) as server:
        proxy = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        checked = await client.run("check", http_proxy=proxy, https_proxy=proxy, all_proxy=proxy)
    assert (checked.code, asked.is_set()) == (0, False), checked
    assert " is ready and takes the key" in checked.stdout


async def test_who_interrupts_the_waiting_is_told_that_the_job_goes_on(client: Client) -> None:
    waits = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What is asked at once, and nothing to who would wait."""
        if b"?wait=" in await reader.readuntil(b"\r\n\r\n"):
            waits.set()
            await reader.read()
        else:
            writer.write(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"job_id": "one", "status": "running"}')
        writer.close()

    async with await asyncio.start_server(answer, LOOPBACK, 0) as server:
        address = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        waiting = await client.start("wait", "one", BASE_URL=address)
        await asyncio.wait_for(waits.wait(), LIMIT_SECONDS)
        waiting.send_signal(signal.SIGINT)
        _, stderr = await asyncio.wait_for(waiting.communicate(), LIMIT_SECONDS)
    assert (waiting.returncode, b"the job goes on" in stderr) == (130, True), stderr


async def test_a_gateway_that_is_not_ready_says_why(client: Client) -> None:
    problem = json.dumps({"status": "not ready", "problems": ["EVEREST_JOBS is missing"], "notices": ["simulated"]})

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Unavailable\r\nConnection: close\r\n\r\n" + problem.encode())
        writer.close()

    async with await asyncio.start_server(answer, LOOPBACK, 0) as server:
        checked = await client.run("check", BASE_URL=f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}")
    assert (checked.code, checked.stdout.splitlines()[1:]) == (4, ["EVEREST_JOBS is missing", "simulated"])


async def test_what_cannot_be_written_is_no_failed_job() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.client", "--help"), cwd=ROOT, stdout=full, stderr=asyncio.subprocess.PIPE
        )
    finally:
        os.close(full)
    _, stderr = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
    assert (process.returncode, stderr.count(b"\n")) == (2, 1), stderr


async def test_a_config_file_is_read_when_it_is_its_owners_alone(client: Client) -> None:
    config = client.service.folder / "config.toml"
    config.write_text(f'base_url = "{client.service.gateway.api.base_url}"\nadmin_api_key = "{KEY}"\n')
    unset = {"BASE_URL": "", "ADMIN_API_KEY": ""}
    config.chmod(0o644)
    refused = await client.run("check", "--config", str(config), **unset)
    assert refused.code == 2
    assert "chmod 600" in refused.stderr
    assert KEY not in refused.stderr
    config.chmod(0o600)
    assert (await client.run("check", "--config", str(config), **unset)).code == 0


async def test_a_file_of_requests_applied_twice_is_the_same_jobs(client: Client) -> None:
    """Exit code 1 when one of them failed, with all of them shown."""
    file = client.service.folder / "tenants.yaml"
    file.write_text("requests:\n- username: carol\n- username: bob\n  namespace: carol\n")
    async with running_handler(client.service.server.url, client.service.everest, client.service.folder):
        planned = await client.run("apply", "-f", str(file), "--plan", "-o", "json")
        first = await client.run("apply", "-f", str(file))
        again = await client.run("apply", "-f", str(file), "-o", "json")
    assert (planned.code, first.code, again.code) == (0, 1, 1), planned.stderr
    plans = json.loads(planned.stdout)["plans"]
    assert [(plan["index"], plan["plan"]["would"]) for plan in plans] == [(0, "change"), (1, "change")]
    jobs = json.loads(again.stdout)["jobs"]
    assert sorted(job["status"] for job in jobs) == ["failed", "succeeded"]
    assert [job["job_id"] for job in jobs if job["job_id"] not in first.stdout] == []
    assert "1 succeeded, 1 failed" in first.stdout


async def test_an_applied_file_tells_its_batch_at_once(client: Client) -> None:
    """Whoever interrupts it knows what goes on."""
    file = client.service.folder / "interrupted.yaml"
    file.write_text("requests:\n- username: dave\n")
    applying = await client.start("apply", "-f", str(file), "-o", "json")
    assert applying.stderr is not None
    told = (await asyncio.wait_for(applying.stderr.readline(), LIMIT_SECONDS)).decode()
    applying.send_signal(signal.SIGINT)
    await asyncio.wait_for(applying.communicate(), LIMIT_SECONDS)
    assert applying.returncode == 130
    assert told.startswith("accepted: requests[0] to requests[0], batch ")
    batch = (await client.service.gateway.api.get(f"/batches/{told.split()[-1]}")).json()
    assert batch["counts"]["queued"] == 1


async def test_of_a_file_of_thousands_it_is_told_what_was_accepted_and_what_not(client: Client) -> None:
    file = client.service.folder / "thousands.yaml"
    file.write_text("requests:\n" + "".join(f"- username: user{number}\n" for number in range(1002)))
    refusal = {
        "code": "validation_failed",
        "title": "Not so",
        "fields": [{"field": "role", "message": "no", "index": 1}],
    }
    answers = iter((("202 Accepted", {"batch_id": "one", "jobs": []}), ("422 No", refusal)))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r")[0]))
        status, document = next(answers)
        body = json.dumps(document)
        writer.write(f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, LOOPBACK, 0) as server:
        port = server.sockets[0].getsockname()[1]
        applied = await client.run("apply", "-f", str(file), BASE_URL=f"http://{LOOPBACK}:{port}")
    assert (applied.code, applied.stdout) == (3, "")
    assert applied.stderr.splitlines() == [
        "accepted: requests[0] to requests[999], batch one",
        "validation_failed: requests[1000] to requests[1001]: Not so",
        "  requests[1001].role: no",
    ]
