"""`python -m tests.laboratory.audit`: what the audit of 1,000 jobs of half an hour takes, and why it is copied.

Each job is written as a handler writes it: five steps, and a renewal each quarter of a lease in between. The other way,
an entry beside each transition in one atomic batch, is tried in a bucket that is full, where the end of a job that runs
must still find room.
"""

import asyncio
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
import orjson
from nats.aio.client import Client

from contracts import names
from contracts.records import CommandRecord, JobRecord, Outcome, StepRecord, encode_record
from gateway.commands.declarations import DECLARATIONS
from tests.support.eventually import eventually
from tests.support.gateways import NOW, new_record
from tests.support.servers import NatsServer, write_configuration

JOBS = 1000
RENEWALS = 120  # half an hour, every 15 seconds
ROOM_BYTES = 8 * 1024 - 32  # what a running record is filled up to (`handlers.jobs.lease`)
STEPS = ("create_account", "add_namespace", "apply_resource_quota", "apply_rbac_policy", "verify_tenant")
_ENTRIES = "everest.v1.audit.entries"


def writes_of(job_id: str) -> list[bytes]:
    """The bytes of each write of a job, the last one its end."""
    record = replace(new_record("alice"), job_id=job_id).claimed("a-claim", NOW, lease_seconds=60)
    bodies = [_running(record)]
    for name in STEPS:
        record = record.started(name, NOW)
        bodies += [_running(record)] * (RENEWALS // len(STEPS))
        commands = tuple(CommandRecord(f"kubectl get something-{number} -n alice -o json", 0) for number in range(4))
        shown = "everestctl namespaces add alice --operator.mongodb=true --take-ownership"
        step = StepRecord(name, NOW, NOW, Outcome.CREATED, shown, 0, stdout="x" * 600, commands=commands)
        record = record.finished(step, NOW)
    return [*bodies, encode_record(record.succeeded("User alice and namespace alice created.", NOW))]


def _running(record: JobRecord) -> bytes:
    return encode_record(record).ljust(ROOM_BYTES)


async def main() -> int:
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        lax = write_configuration(Path(folder) / "conf", "node.conf", text="jetstream { sync_interval: 1m }")
        server = NatsServer(Path(folder) / "nats", configuration=lax, variables={})
        await server.start()
        client = await nats.connect(server.url)
        try:
            await _make(client)
            await _write(client)
            await _report(client)
            await _try_full(client)
        finally:
            await client.close()
            await server.stop()
    return 0


async def _ask(client: Client, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    answer = await client.request(f"$JS.API.{operation}", orjson.dumps(request), timeout=60)
    return dict(orjson.loads(answer.data))


async def _make(client: Client) -> None:
    declared = {stream["name"]: stream for stream in orjson.loads(DECLARATIONS.read_bytes())["streams"]}
    bucket, audit = declared[f"KV_{names.JOBS_BUCKET}"], declared[names.AUDIT_STREAM]
    # The bucket as it would be with batches, beside the one that there is.
    batched = {**bucket, "name": "KV_batched", "subjects": ["$KV.batched.>", f"{_ENTRIES}.>"], "allow_atomic": True}
    batched |= {"republish": None, "max_msgs_per_subject": 1}
    for stream in (bucket, audit, batched):
        answer = await _ask(client, f"STREAM.CREATE.{stream['name']}", stream)
        assert "error" not in answer, answer


async def _write(client: Client) -> None:
    jetstream = client.jetstream()
    lanes = asyncio.Semaphore(32)

    async def run(number: int) -> None:
        async with lanes:
            for body in writes_of(f"job-{number}"):
                await jetstream.publish(f"$KV.{names.JOBS_BUCKET}.job-{number}", body, timeout=60)

    await asyncio.gather(*(run(number) for number in range(JOBS)))


async def _report(client: Client) -> None:
    async def look() -> dict[str, Any]:
        state = (await _ask(client, f"STREAM.INFO.{names.AUDIT_STREAM}", {}))["state"]
        return state if state["messages"] == JOBS and state["last_seq"] >= JOBS else {}

    await eventually(look, "every job is copied")
    state = await eventually(look, "every job is copied")
    bodies = writes_of("job-0")
    print(f"{'writes of one job':44} {len(bodies)}, {sum(map(len, bodies)):,} bytes")
    print(f"{'1,000 jobs, every write kept':44} {JOBS * sum(map(len, bodies)):,} bytes")
    print(f"{'1,000 jobs, the newest record of each (ours)':44} {state['bytes']:,} bytes, {state['messages']} messages")


async def _try_full(client: Client) -> None:
    """A running record's end fits a bucket that is full to the last byte; with an entry beside it, it does not."""
    jetstream = client.jetstream()
    first, *_, last = writes_of("full")
    await jetstream.publish("$KV.batched.full", first)
    state = await _ask(client, "STREAM.INFO.KV_batched", {})
    config = {**state["config"], "max_bytes": state["state"]["bytes"]}
    answer = await _ask(client, "STREAM.UPDATE.KV_batched", config)
    assert "error" not in answer, answer
    batch = {"Nats-Batch-Id": "an-end"}
    await client.publish("$KV.batched.full", last, headers={**batch, "Nats-Batch-Sequence": "1"})
    commit = {**batch, "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"}
    refused = await client.request(f"{_ENTRIES}.full", last, headers=commit, timeout=10)
    print(f"{'a full bucket, the end with an entry, atomic':44} {orjson.loads(refused.data).get('error')}")
    taken = await jetstream.publish("$KV.batched.full", last)
    print(f"{'a full bucket, the end alone (ours)':44} stored as {taken.seq}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
