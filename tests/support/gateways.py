"""A real gateway process for tests, and a handler by hand that writes records as a handler would."""

import asyncio
import json
import os
import signal
import sys
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import nats
import nats.js.errors
from nats.aio.client import Client

from contracts import names
from contracts.kinds import read_request
from contracts.records import JobRecord, Outcome, Status, StepRecord, decode_record, encode_record
from contracts.requests import request_hash
from tests.support.eventually import eventually
from tests.support.forks import Fork, start_fork
from tests.support.servers import LIMIT_SECONDS, LOOPBACK, ROOT, NatsServer, free_port

KEY = "a-key-for-tests"


class Gateway:
    """`api` sends the key; `nobody` sends none."""

    def __init__(self, launch: Callable[[], Awaitable[Process | Fork]], port: int, log: Path) -> None:
        self._launch = launch
        self.process: Process | Fork
        self.port = port
        self._log = log
        base_url = f"http://{LOOPBACK}:{port}"
        # There is no TLS to verify: reading the machine's CAs would cost each client 30 ms.
        self.api = httpx.AsyncClient(
            base_url=base_url, headers={"X-Admin-Key": KEY}, timeout=LIMIT_SECONDS, verify=False
        )
        self.nobody = httpx.AsyncClient(base_url=base_url, timeout=LIMIT_SECONDS, verify=False)

    def read_log(self) -> str:
        return self._log.read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.read_log().splitlines() if line.startswith("{")]

    async def submit(self, headers: dict[str, str] | None = None, **request: Any) -> str:
        answer = await self.api.post("/bootstrap/users", json={"username": "alice", **request}, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    async def wait_until(self, path: str, status_code: int) -> httpx.Response:
        """Asks until the answer has the status."""
        seen: list[httpx.Response] = []

        async def look() -> bool:
            seen[:] = [await self.api.get(path)]
            return seen[0].status_code == status_code

        await eventually(look, lambda: f"{path} answers {status_code}: {[answer.text for answer in seen]}")
        return seen[0]

    async def start(self) -> None:
        self.process = await self._launch()
        await _wait_until_answering(self)

    async def restart(self) -> None:
        """kill -9, then a new process on the same port."""
        await self.stop(signal.SIGKILL)
        await self.start()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), LIMIT_SECONDS)


@asynccontextmanager
async def running_gateway(
    nats_url: str,
    folder: Path,
    *,
    ready: bool = True,
    port: int | None = None,
    most_files: int | None = None,
    **variables: str,
) -> AsyncIterator[Gateway]:
    """A gateway that answers, and is ready and watches unless said otherwise. `most_files` it may have open."""
    port = port or free_port()
    log = folder / f"gateway-{port}.log"
    settings = {"NATS_URL": nats_url, "PORT": str(port), "HOST": LOOPBACK, "ADMIN_API_KEY": KEY}
    environment = {**os.environ, **settings, **variables}

    async def launch() -> Process | Fork:
        with log.open("ab") as output:
            if most_files is None:
                return await start_fork(
                    "gateway", environment=environment, stdout=output.fileno(), stderr=output.fileno()
                )
            shell = ("sh", "-c", f'ulimit -n {most_files}; exec "$0" "$@"')
            return await asyncio.create_subprocess_exec(
                *shell, sys.executable, "-m", "gateway", cwd=ROOT, env=environment, stdout=output, stderr=output
            )

    gateway = Gateway(launch, port, log)
    try:
        await gateway.start()
        if ready:
            await gateway.wait_until("/readyz", 200)
            await _wait_until_watching(gateway)
        yield gateway
    finally:
        await gateway.api.aclose()
        await gateway.nobody.aclose()
        await gateway.stop()


async def _wait_until_answering(gateway: Gateway) -> None:
    async def look() -> httpx.Response:
        assert gateway.process.returncode is None, gateway.read_log()
        return await gateway.nobody.get("/healthz")

    await eventually(look, "the gateway answers")


async def _wait_until_watching(gateway: Gateway) -> None:
    """Ready it is also without its watch; but who follows a job then is told what it finds at its next look."""
    await eventually(lambda: '"watch.opened"' in gateway.read_log(), "the gateway opens its watch")


class ManualHandler:
    """Writes records and takes messages as a handler would, without running anything."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.jetstream = client.jetstream()

    async def write(self, record: JobRecord, bucket: str | None = None) -> int:
        """The last write of a job carries a time to live. `bucket`: another than that of its kind."""
        headers = {"Nats-TTL": "600s"} if record.is_finished else {}
        ack = await self.jetstream.publish(
            f"$KV.{bucket or names.bucket_of(record.kind)}.{record.job_id}", encode_record(record), headers=headers
        )
        return ack.seq

    async def read(self, job_id: str) -> JobRecord:
        message = await self.jetstream.get_last_msg(f"KV_{names.JOBS_BUCKET}", f"$KV.{names.JOBS_BUCKET}.{job_id}")
        return decode_record(message.data or b"")

    async def take(self, kind: str = "bootstrap") -> tuple[Any, JobRecord]:
        """The next message of the queue, claimed: the message and its running record."""
        stream = names.stream_of(kind)
        consumer = names.consumer_of(kind)
        subscription = await self.jetstream.pull_subscribe_bind(durable=consumer, stream=stream)
        (message,) = await subscription.fetch(1, timeout=LIMIT_SECONDS)
        await subscription.unsubscribe()
        address = names.read_subject(message.subject)
        assert address.job_id is not None
        record = claimed_record(address.job_id, address.kind, message.data)
        await self.write(record)
        return message, record

    async def finish(self, message: Any, record: JobRecord) -> JobRecord:
        """The last write, then the acknowledgement."""
        await self.write(record)
        await message.ack_sync(timeout=LIMIT_SECONDS)
        return record

    async def find_event(self, job_id: str) -> Any:
        """The last one that is kept of the job; None where none is."""
        try:
            return await self.jetstream.get_last_msg(names.EVENTS_STREAM, names.event_subject(job_id))
        except nats.js.errors.NotFoundError:
            return None

    async def count_messages(self, subject: str) -> int:
        info = await self.jetstream.stream_info(names.JOBS_STREAM, subjects_filter=subject)
        return sum((info.state.subjects or {}).values())


@asynccontextmanager
async def manual_handler(server: NatsServer) -> AsyncIterator[ManualHandler]:
    client = await nats.connect(server.url)
    try:
        yield ManualHandler(client)
    finally:
        await client.close()


NOW = "2026-01-31T12:00:00.000Z"
LATER = "2026-01-31T12:00:05.000Z"


def new_record(username: str = "alice", job_id: str | None = None, **changes: Any) -> JobRecord:
    """A queued record of a bootstrap."""
    body = json.dumps({"username": username}).encode()
    request = read_request("bootstrap", body)
    record = JobRecord(
        job_id or str(uuid.uuid4()),
        "bootstrap",
        "admin",
        request_hash("bootstrap", request),
        NOW,
        NOW,
        request={"username": username, "namespace": username},
    )
    return replace(record, **changes)


def claimed_record(job_id: str, kind: str, body: bytes) -> JobRecord:
    request = read_request(kind, body)
    queued = JobRecord(job_id, kind, "admin", request_hash(kind, request), NOW, NOW, request=json.loads(body))
    return queued.claimed(str(uuid.uuid4()), NOW)


def succeeded_record(record: JobRecord) -> JobRecord:
    """With one finished step."""
    running = record if record.status is Status.RUNNING else record.claimed("somebody", NOW)
    step = StepRecord(
        "create_account", NOW, LATER, Outcome.CREATED, "everestctl accounts create -u alice -p ********", 0
    )
    return running.started("create_account", NOW).finished(step, LATER).succeeded("User alice created.", LATER)
