"""Provisioning: idempotent, growing what loses nothing, refusing what could, clear about what is in the way."""

import asyncio
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import nats
import orjson
import pytest

from contracts import names
from gateway.commands.declarations import read_declarations
from tests.support.forks import run_fork
from tests.support.servers import LOOPBACK, ROOT, NatsServer, nats_server, write_configuration

HOUR = 3600 * 10**9
JOBS_BUCKET_STREAM = f"KV_{names.JOBS_BUCKET}"


async def start_provision(url: str, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "provision", *arguments,
        cwd=ROOT, env={**os.environ, "NATS_URL": url, **variables},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def provision(server: NatsServer, *arguments: str, **variables: str) -> tuple[int, str]:
    environment = {**os.environ, "NATS_URL": server.url, **variables}
    ended = await run_fork("gateway", "provision", *arguments, environment=environment)
    return ended.code, ended.stdout + ended.stderr


async def ask(server: NatsServer, operation: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
    return await ask_subject(server, f"$JS.API.{operation}", request)


async def ask_subject(server: NatsServer, subject: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
    client = await nats.connect(server.url)
    answer = await client.request(subject, orjson.dumps(request or {}), timeout=5)
    await client.close()
    return dict(orjson.loads(answer.data))


async def read_config(server: NatsServer, operation: str) -> dict[str, Any]:
    return dict((await ask(server, operation))["config"])


async def test_everything_declared_is_made_once(tmp_path: Path) -> None:
    """A second run changes nothing; the lease is readable from the consumers."""
    async with nats_server(tmp_path) as server:
        code, output = await provision(server, LEASE_SECONDS="7")
        declared = read_declarations(replicas=1, ack_wait_seconds=3.5)
        count = len(declared.streams) + len(declared.consumers)
        assert (code, f"{count} changes made" in output) == (0, True), output
        code, output = await provision(server, LEASE_SECONDS="7")
        assert (code, output.strip()) == (0, "everything is as declared")
        config = await read_config(server, f"CONSUMER.INFO.{names.JOBS_STREAM}.{names.BOOTSTRAP_CONSUMER}")
        assert config["ack_wait"] == 3.5e9


async def test_a_store_of_0_1_0_is_brought_up_to_date(tmp_path: Path) -> None:
    """What was declared since is made, nothing is lost, and a second run finds nothing to do."""
    with tarfile.open(ROOT / "tests" / "data" / "golden-0.1.0" / "store.tar.gz") as store:
        store.extractall(tmp_path / "nats", filter="data")
    async with nats_server(tmp_path) as server:
        before = {stream["config"]["name"]: stream["state"] for stream in (await ask(server, "STREAM.LIST"))["streams"]}
        code, output = await provision(server)
        assert (code, f"updated stream {JOBS_BUCKET_STREAM}: " in output) == (0, True), output
        told = [output.index(words) for words in KINDS_ARE_ADDED]
        assert told == sorted(told), output
        code, output = await provision(server)
        assert (code, output.strip()) == (0, "everything is as declared")
        after = {stream["config"]["name"]: stream["state"] for stream in (await ask(server, "STREAM.LIST"))["streams"]}
        kept = ("messages", "bytes", "first_seq", "last_seq")
        assert before[names.JOBS_STREAM]["messages"] == 2
        for name, state in before.items():
            assert [after[name][key] for key in kept] == [state[key] for key in kept], name
        assert (await read_config(server, f"STREAM.INFO.KV_{names.TENANTS_BUCKET}"))["allow_msg_ttl"]
        await expect_new_kinds_at_their_own_consumer(server)


# The handlers of 0.1.0 fail what they do not know: before the stream takes a new kind, their consumer leaves it alone.
KINDS_ARE_ADDED = (
    f"updated consumer {names.BOOTSTRAP_CONSUMER} of {names.JOBS_STREAM}: ",
    f"updated stream {names.JOBS_STREAM}: ",
    f"created consumer {names.LIFECYCLE_CONSUMER} of {names.JOBS_STREAM}",
)


async def expect_new_kinds_at_their_own_consumer(server: NatsServer) -> None:
    for job_id in ("order-42", "portal.order-42"):
        acknowledged = await ask_subject(server, names.job_subject("offboard", job_id), {"username": "alice"})
        assert acknowledged["stream"] == names.JOBS_STREAM
    pending = {
        consumer: (await ask(server, f"CONSUMER.INFO.{names.JOBS_STREAM}.{consumer}"))["num_pending"]
        for consumer in (names.BOOTSTRAP_CONSUMER, names.LIFECYCLE_CONSUMER)
    }
    assert pending[names.LIFECYCLE_CONSUMER] == 2
    assert pending[names.BOOTSTRAP_CONSUMER] <= 2  # those of 0.1.0


async def test_it_waits_for_a_server_that_starts(tmp_path: Path) -> None:
    """The order in which containers start does not matter."""
    server = NatsServer(tmp_path / "nats")
    process = await start_provision(server.url)
    try:
        await server.start()
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
    finally:
        await server.stop()


async def test_growth_is_applied_and_more_is_kept(tmp_path: Path) -> None:
    """A changed lease and a grown limit are applied; an operator's larger limit is no drift."""
    async with nats_server(tmp_path) as server:
        await server.provision()
        config = await read_config(server, f"STREAM.INFO.{names.DEAD_STREAM}")
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
        (names.JOBS_STREAM, {"max_age": HOUR}),
        (names.JOBS_STREAM, {"subjects": ["everest.v1.jobs.bootstrap.*"]}),
        (names.JOBS_STREAM, {"max_bytes": 1024 * 1024}),
        (JOBS_BUCKET_STREAM, {"allow_direct": False}),
        (f"KV_{names.TENANTS_BUCKET}", {"allow_direct": True}),
        (names.JOBS_STREAM, {"allow_atomic": True}),
        (names.DEAD_STREAM, {"duplicate_window": HOUR}),
    ],
)
async def test_a_drift_without_loss_is_mended(tmp_path: Path, stream: str, drift: dict[str, Any]) -> None:
    """Limits grow, direct reads come and go, a kind is added; what is stored stays."""
    async with nats_server(tmp_path) as server:
        await server.provision()
        before = await read_config(server, f"STREAM.INFO.{stream}")
        changed = await ask(server, f"STREAM.UPDATE.{stream}", {**before, **drift})
        assert "error" not in changed, changed
        code, output = await provision(server)
        assert (code, f"updated stream {stream}: {next(iter(drift))}" in output) == (0, True), output
        after = await read_config(server, f"STREAM.INFO.{stream}")
        assert {**after, "allow_direct": after.get("allow_direct", False)} == {
            **before,
            "allow_direct": before.get("allow_direct", False),
        }


@pytest.mark.parametrize(
    ("stream", "drift"),
    [
        (names.JOBS_STREAM, {"subjects": ["everest.v1.jobs.>"]}),
        (names.JOBS_STREAM, {"discard": "old", "discard_new_per_subject": False}),
        (names.JOBS_STREAM, {"allow_msg_ttl": True}),
        (JOBS_BUCKET_STREAM, {"max_msgs_per_subject": 5}),
    ],
)
async def test_a_drift_that_could_lose_data_is_refused(tmp_path: Path, stream: str, drift: dict[str, Any]) -> None:
    """It says what differs and what to do, exits 1, and changes nothing, not even what it could."""
    async with nats_server(tmp_path) as server:
        await server.provision()
        before = await read_config(server, f"STREAM.INFO.{stream}")
        changed = await ask(server, f"STREAM.UPDATE.{stream}", {**before, **drift})
        assert "error" not in changed, changed
        code, output = await provision(server, LEASE_SECONDS="30")
        assert code == 1
        assert f"stream {stream}: {next(iter(drift))}" in output
        assert "hint" in output
        assert await read_config(server, f"STREAM.INFO.{stream}") == changed["config"]
        consumer = await read_config(server, f"CONSUMER.INFO.{names.JOBS_STREAM}.{names.BOOTSTRAP_CONSUMER}")
        assert consumer["ack_wait"] == 30e9


@pytest.mark.parametrize("drift", [{"retention": "limits"}, {"storage": "memory"}])
async def test_a_stream_made_by_somebody_else_is_refused(tmp_path: Path, drift: dict[str, Any]) -> None:
    """What the server cannot change is for a person, and nothing is made beside it."""
    async with nats_server(tmp_path) as server:
        config = {"name": names.JOBS_STREAM, "subjects": ["everest.v1.jobs.bootstrap.*"], **drift}
        assert "error" not in await ask(server, f"STREAM.CREATE.{names.JOBS_STREAM}", config)
        code, output = await provision(server)
        assert (code, next(iter(drift)) in output) == (1, True), output
        assert (await ask(server, "STREAM.NAMES"))["streams"] == [names.JOBS_STREAM]


async def test_a_changed_consumer_is_mended_or_refused(tmp_path: Path) -> None:
    """A filter or a backoff goes; another deliver policy is said, with what to do."""
    async with nats_server(tmp_path) as server:
        await server.provision()
        where = f"{names.JOBS_STREAM}.{names.BOOTSTRAP_CONSUMER}"
        before = await read_config(server, f"CONSUMER.INFO.{where}")
        changed = {**before, "filter_subjects": ["everest.v1.jobs.bootstrap.*"], "max_ack_pending": 1}
        request = {"stream_name": names.JOBS_STREAM, "config": changed}
        assert "error" not in await ask(server, f"CONSUMER.DURABLE.CREATE.{where}", request)
        code, output = await provision(server)
        assert (code, "filter_subjects, max_ack_pending" in output) == (0, True), output
        assert await read_config(server, f"CONSUMER.INFO.{where}") == before
        await ask(server, f"CONSUMER.DELETE.{where}")
        filters = before["filter_subjects"]  # as declared: two consumers of a work queue may share no message
        other = {
            "durable_name": names.BOOTSTRAP_CONSUMER,
            "ack_policy": "explicit",
            "filter_subjects": filters,
            "max_waiting": 7,
        }
        request = {"stream_name": names.JOBS_STREAM, "config": other}
        assert "error" not in await ask(server, f"CONSUMER.DURABLE.CREATE.{where}", request)
        code, output = await provision(server)
        assert (code, "max_waiting" in output, "nats consumer rm" in output) == (1, True, True), output


async def test_what_is_queued_alone_is_given_out_again(tmp_path: Path) -> None:
    """A publisher's consumer that was made anew would tell it of a week again. What is refused changes nothing."""
    arguments = ("--give-out-again", "--publisher", "local")
    taken = {names.JOBS_STREAM: names.BOOTSTRAP_CONSUMER, names.EVENTS_STREAM: "local"}
    async with nats_server(tmp_path) as server:
        assert (await provision(server, *arguments))[0] == 0
        client = await nats.connect(server.url)
        jetstream = client.jetstream()
        await jetstream.publish(names.job_subject("bootstrap", "local.1"), b"{}")
        await jetstream.publish(names.told_subject("local.1"), b"{}")
        for stream, consumer in taken.items():
            subscription = await jetstream.pull_subscribe_bind(durable=consumer, stream=stream)
            await subscription.fetch(1, timeout=30)
            await subscription.unsubscribe()
        await client.close()

        async def count_unacknowledged() -> list[int]:
            found = [await ask(server, f"CONSUMER.INFO.{stream}.{consumer}") for stream, consumer in taken.items()]
            return [consumer["num_ack_pending"] for consumer in found]

        assert await count_unacknowledged() == [1, 1]
        before = await read_config(server, f"STREAM.INFO.{JOBS_BUCKET_STREAM}")
        await ask(server, f"STREAM.UPDATE.{JOBS_BUCKET_STREAM}", {**before, "max_msgs_per_subject": 5})
        assert (await provision(server, *arguments))[0] == 1
        assert await count_unacknowledged() == [1, 1]
        await ask(server, f"STREAM.UPDATE.{JOBS_BUCKET_STREAM}", before)
        assert (await provision(server, *arguments))[0] == 0
        assert await count_unacknowledged() == [0, 1]


async def test_too_few_nodes_are_said(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        code, output = await provision(server, "--replicas", "3")
        assert (code, "as many nodes" in output) == (1, True), output


async def test_a_server_without_jetstream_is_said(tmp_path: Path) -> None:
    plain = tmp_path / "plain.conf"
    plain.write_text("listen: $NATS_LISTEN\nhttp: $NATS_MONITOR\n")
    async with nats_server(tmp_path, configuration=plain) as server:
        code, output = await provision(server)
        assert (code, "JetStream is not enabled" in output) == (1, True), output


async def test_refused_credentials_are_said_at_once(tmp_path: Path) -> None:
    """Not after trying them for ever, and without the password."""
    closed = write_configuration(tmp_path / "conf", "node.conf", text="authorization { token: t }")
    async with nats_server(tmp_path, configuration=closed) as server:
        code, output = await provision(server, NATS_USER="provisioner", NATS_PASSWORD="not-the-password")
        assert (code, "check NATS_USER" in output, "not-the-password" in output) == (1, True, False), output


async def test_an_unreadable_file_is_said() -> None:
    process = await start_provision(f"nats://{LOOPBACK}:1", NATS_PASSWORD_FILE="/nowhere/password")
    output, _ = await process.communicate()
    assert (process.returncode, b"NATS_PASSWORD_FILE cannot be read: /nowhere/password" in output) == (2, True), output
