"""Provisioning: idempotent, growing what loses nothing, refusing what could."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import nats
import orjson
import pytest

from contracts import names
from tests.servers import ROOT, NatsServer, nats_server

DECLARED = orjson.loads((ROOT / "nats" / "declarations.json").read_bytes())


async def provision(server: NatsServer, *arguments: str, **variables: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "provision", *arguments,
        cwd=ROOT, env={**os.environ, "NATS_URL": server.url, **variables},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def ask(server: NatsServer, operation: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
    client = await nats.connect(server.url)
    answer = await client.request(f"$JS.API.{operation}", orjson.dumps(request or {}), timeout=5)
    await client.close()
    return dict(orjson.loads(answer.data))


async def test_everything_declared_is_made_once(tmp_path: Path) -> None:
    """A second run changes nothing; the lease is readable from the consumers."""
    async with nats_server(tmp_path) as server:
        code, output = await provision(server, LEASE_SECONDS="7")
        assert (code, "8 changes made" in output) == (0, True), output
        code, output = await provision(server, LEASE_SECONDS="7")
        assert (code, output.strip()) == (0, "everything is as declared")
        answer = await ask(server, f"CONSUMER.INFO.{names.JOBS_STREAM}.{names.JOBS_CONSUMER}")
        assert answer["config"]["ack_wait"] == 3.5e9


async def test_growth_is_applied_and_more_is_kept(tmp_path: Path) -> None:
    """A changed lease and a grown limit are applied; an operator's larger limit is no drift."""
    async with nats_server(tmp_path) as server:
        await server.provision()
        info = await ask(server, f"STREAM.INFO.{names.DEAD_STREAM}")
        config = info["config"]
        await ask(server, f"STREAM.UPDATE.{names.DEAD_STREAM}", {**config, "max_bytes": config["max_bytes"] * 2})
        code, output = await provision(server, LEASE_SECONDS="30")
        assert code == 0
        assert "ack_wait" in output
        assert names.DEAD_STREAM not in output
        await ask(server, f"STREAM.UPDATE.{names.DEAD_STREAM}", {**config, "max_bytes": 1024 * 1024})
        code, output = await provision(server, LEASE_SECONDS="30")
        assert (code, f"updated stream {names.DEAD_STREAM}: max_bytes" in output) == (0, True), output


@pytest.mark.parametrize(
    ("stream", "drift"),
    [
        (names.JOBS_STREAM, {"subjects": ["everest.v1.jobs.>"]}),
        (names.JOBS_STREAM, {"discard": "old", "discard_new_per_subject": False}),
        (names.JOBS_STREAM, {"max_age": 3600 * 10**9}),
        (f"KV_{names.JOBS_BUCKET}", {"max_msgs_per_subject": 5}),
        (f"KV_{names.JOBS_BUCKET}", {"allow_direct": True}),
    ],
)
async def test_a_drift_that_could_lose_data_is_refused(tmp_path: Path, stream: str, drift: dict[str, Any]) -> None:
    """It says what differs, exits 1, and changes nothing, not even what it could."""
    async with nats_server(tmp_path) as server:
        await server.provision()
        before = (await ask(server, f"STREAM.INFO.{stream}"))["config"]
        changed = await ask(server, f"STREAM.UPDATE.{stream}", {**before, **drift})
        assert "error" not in changed, changed
        code, output = await provision(server, LEASE_SECONDS="30")
        if "max_age" in drift:  # a longer life is growth: jobs that never expire
            assert code == 0
            return
        assert code == 1
        assert stream in output
        assert next(iter(drift)) in output
        consumer = await ask(server, f"CONSUMER.INFO.{names.JOBS_STREAM}.{names.JOBS_CONSUMER}")
        assert consumer["config"]["ack_wait"] == 30e9


async def test_what_is_in_the_way_is_said(tmp_path: Path) -> None:
    """Too few nodes, and no server at all."""
    async with nats_server(tmp_path) as server:
        code, output = await provision(server, "--replicas", "3")
        assert code == 1
        assert "NATS_REPLICAS" in output


def test_declarations_and_contracts_name_the_same_things() -> None:
    """nats/ and contracts/ agree on every name and subject."""
    streams = {stream["name"]: stream for stream in DECLARED["streams"]}
    buckets = {f"KV_{bucket}" for bucket in (names.JOBS_BUCKET, names.TENANTS_BUCKET, names.CANCELS_BUCKET)}
    assert set(streams) == {names.JOBS_STREAM, names.QUERIES_STREAM, names.DEAD_STREAM} | buckets
    for kind in names.JOB_KINDS:
        assert names.job_subject(kind, "*") in streams[names.JOBS_STREAM]["subjects"]
    consumers = {(consumer["stream_name"], consumer["config"]["durable_name"]) for consumer in DECLARED["consumers"]}
    assert consumers == {(names.JOBS_STREAM, names.JOBS_CONSUMER), (names.QUERIES_STREAM, names.QUERIES_CONSUMER)}
    assert not list((ROOT / "nats").rglob("*.py"))
