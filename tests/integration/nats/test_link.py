"""The link to NATS on a real server: what its answers mean, and what a full bucket still takes."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import nats.js.errors
import pytest

from contracts import names
from contracts.link.errors import BucketFull, Conflict, NotProvisioned, TooLarge
from contracts.link.messages import Message
from contracts.process.settings import NatsSettings
from gateway.jetstream import JetStream, connect
from handlers.jetstream import connect as connect_handler
from handlers.jobs.tenant_lock import Tenants
from tests.support.eventually import eventually
from tests.support.forks import run_fork
from tests.support.servers import LIMIT_SECONDS, LOOPBACK, NatsServer, free_port, nats_server

BUCKET_STREAM = f"KV_{names.JOBS_BUCKET}"
SUBJECTS = f"$KV.{names.JOBS_BUCKET}.>"
SERVICES = {
    "gateway": ("gateway",),
    "handlers": ("handlers",),
    "provision": ("gateway", "provision"),
    "dead-letters": ("gateway", "dead-letters", "list"),
}


@asynccontextmanager
async def connected(server: NatsServer) -> AsyncIterator[JetStream]:
    jetstream = await connect(NatsSettings(nats_url=server.url), "a test")
    try:
        yield jetstream
    finally:
        await jetstream.close()


async def limit_bucket(server: NatsServer) -> None:
    """It is full: not a byte more than it holds."""
    client = await nats.connect(server.url)
    info = await client.jetstream().stream_info(BUCKET_STREAM)
    info.config.max_bytes = info.state.bytes
    await client.jetstream().update_stream(info.config)
    await client.close()


async def test_a_full_bucket_takes_a_value_again_at_every_revision(tmp_path: Path) -> None:
    """A running job renews over revisions of more digits: only the header of the write grows, and it must not."""
    async with nats_server(tmp_path, lease_seconds=60) as server:
        handler = await connect_handler(NatsSettings(nats_url=server.url), "a test", lambda: None)
        revision = await handler.jobs.write("job", b"x" * 100, last=0)
        await limit_bucket(server)
        with pytest.raises(BucketFull):
            await handler.jobs.write("another", b"x" * 100, last=0)
        while revision < 105:
            revision = await handler.jobs.write("job", b"x" * 100, last=revision)
        await handler.close()


async def test_a_time_to_live_that_a_bucket_does_not_take_is_said(tmp_path: Path) -> None:
    """By what must be done: an older version has provisioned this NATS."""
    async with nats_server(tmp_path, lease_seconds=60) as server:
        handler = await connect_handler(NatsSettings(nats_url=server.url), "a test", lambda: None)
        with pytest.raises(NotProvisioned, match="run python -m gateway provision"):
            await handler.cancels.write("job", b"{}", last=0, ttl_seconds=60)
        await handler.close()


async def test_the_bucket_of_tenants_forgets_who_is_gone(tmp_path: Path) -> None:
    """Some time after the record of the last job, whose name alone is there: a later job takes the tenant anew."""
    async with nats_server(tmp_path, lease_seconds=60) as server, connected(server) as gateway:
        handler = await connect_handler(NatsSettings(nats_url=server.url), "a test", lambda: None)
        tenants = Tenants(handler, retention_seconds=3600)
        assert await tenants.take("alice", "first") is None
        key = await gateway.read_key(names.TENANTS_BUCKET, "alice")
        assert key is not None
        assert (key.body, key.headers["Nats-TTL"]) == (b"first", f"{3600 + 30 * 86_400}s")
        await handler.tenants.write("alice", b"first", last=key.sequence, ttl_seconds=1)
        await eventually(lambda: _is_gone(gateway, "alice"), lambda: "the key is there")
        assert await tenants.take("alice", "second") is None
        await handler.close()


async def _is_gone(gateway: JetStream, tenant: str) -> bool:
    return await gateway.read_key(names.TENANTS_BUCKET, tenant) is None


async def test_a_full_bucket_takes_nothing_of_what_belongs_together(tmp_path: Path) -> None:
    """Room for some of the values is room for none; nor is one stored where another key has a value already."""
    values = [(f"job-{number}", b"x" * 100) for number in range(120)]
    async with nats_server(tmp_path, lease_seconds=60) as server, connected(server) as gateway:
        await gateway.create_keys(names.JOBS_BUCKET, values, timeout=LIMIT_SECONDS)
        with pytest.raises(Conflict):
            await gateway.create_keys(names.JOBS_BUCKET, [("job", b""), ("job-7", b"")], timeout=LIMIT_SECONDS)
        change = {**await read_config(gateway), "max_bytes": 2 * await count_bytes(gateway)}
        await gateway.api.manage(f"STREAM.UPDATE.{BUCKET_STREAM}", change)
        more = [(f"more-{number}", b"x" * 100) for number in range(150)]
        with pytest.raises(BucketFull):
            await gateway.create_keys(names.JOBS_BUCKET, more, timeout=LIMIT_SECONDS)
        assert (await gateway.read_stream_state(BUCKET_STREAM)).messages == len(values)


async def read_config(gateway: JetStream) -> dict[str, Any]:
    answer = await gateway.api.find(f"STREAM.INFO.{BUCKET_STREAM}")
    assert answer is not None
    return dict(answer["config"])


async def count_bytes(gateway: JetStream) -> int:
    return (await gateway.read_stream_state(BUCKET_STREAM)).size_bytes


async def test_a_header_that_grows_is_refused(tmp_path: Path) -> None:
    """Why the revision has a fixed width: the server counts headers too."""
    async with nats_server(tmp_path, lease_seconds=60) as server:
        client = await nats.connect(server.url)
        subject, jetstream = f"$KV.{names.JOBS_BUCKET}.job", client.jetstream()
        for last in range(9):
            await jetstream.publish(subject, b"x", headers={"Nats-Expected-Last-Subject-Sequence": str(last)})
        await limit_bucket(server)
        await jetstream.publish(subject, b"x", headers={"Nats-Expected-Last-Subject-Sequence": "9"})
        with pytest.raises(nats.js.errors.APIError, match="maximum bytes"):
            await jetstream.publish(subject, b"x", headers={"Nats-Expected-Last-Subject-Sequence": "10"})
        await client.close()


@pytest.mark.parametrize("size", [600_000, 2_000_000], ids=["for the bucket", "for the server"])
async def test_what_never_fits_is_no_silence(tmp_path: Path, size: int) -> None:
    async with nats_server(tmp_path, lease_seconds=60) as server, connected(server) as jetstream:
        with pytest.raises(TooLarge):
            await jetstream.write_key(names.JOBS_BUCKET, "job", b"x" * size)


async def test_what_is_not_provisioned_is_said(tmp_path: Path) -> None:
    """Publishing, reading, writing and following: nobody answers, and what is missing is named."""
    async with nats_server(tmp_path) as server, connected(server) as jetstream:
        with pytest.raises(NotProvisioned, match=r"EVEREST_JOBS.*provision"):
            await jetstream.publish(names.job_subject("bootstrap", "a"), b"{}", {}, timeout=5)
        with pytest.raises(NotProvisioned, match=BUCKET_STREAM):
            await jetstream.read_key(names.JOBS_BUCKET, "a")
        with pytest.raises(NotProvisioned, match=BUCKET_STREAM):
            await jetstream.write_key(names.JOBS_BUCKET, "a", b"x", last=0)
        with pytest.raises(NotProvisioned, match=BUCKET_STREAM):
            await jetstream.follow_records(lambda message: None)


async def test_a_feed_brings_what_is_stored_from_now_on(tmp_path: Path) -> None:
    """In order, by the names of the bucket; what was there before is for the replay."""
    heard: asyncio.Queue[Message] = asyncio.Queue()
    async with nats_server(tmp_path, lease_seconds=60) as server, connected(server) as jetstream:
        await jetstream.write_key(names.JOBS_BUCKET, "before", b"0")
        feed = await jetstream.follow_records(heard.put_nowait)
        for number in range(1, 4):
            await jetstream.write_key(names.JOBS_BUCKET, f"job-{number}", b"%d" % number)
        messages = [await asyncio.wait_for(heard.get(), LIMIT_SECONDS) for _ in range(3)]
        assert [(message.subject, message.body, message.sequence) for message in messages] == [
            (f"$KV.{names.JOBS_BUCKET}.job-{number}", b"%d" % number, number + 1) for number in range(1, 4)
        ]
        assert feed.is_whole
        await feed.close()
        replay = await jetstream.replay(BUCKET_STREAM, SUBJECTS, heard.put_nowait, 2)
        replayed = [await asyncio.wait_for(heard.get(), LIMIT_SECONDS) for _ in range(3)]
        await replay.close()
        assert [message.sequence for message in replayed] == [2, 3, 4]


async def test_a_feed_that_missed_something_knows(tmp_path: Path) -> None:
    """What the leader stored and did not tell shows at its heartbeat, also when nothing more comes."""
    async with nats_server(tmp_path, lease_seconds=60) as server, connected(server) as jetstream:
        feed = await jetstream.follow_records(lambda message: None)
        client = await nats.connect(server.url)
        info = await client.jetstream().stream_info(BUCKET_STREAM)
        info.config.republish = None
        await client.jetstream().update_stream(info.config)
        await client.close()
        await jetstream.write_key(names.JOBS_BUCKET, "job", b"unheard")
        await eventually(lambda: not feed.is_whole, "the feed knows that it lacks a message")
        await feed.close()


async def test_a_feed_outlives_what_is_no_record(tmp_path: Path) -> None:
    """Whatever is published where the bucket tells of its records: the connection is read on, and the feed is whole."""
    heard: asyncio.Queue[Message] = asyncio.Queue()
    async with nats_server(tmp_path, lease_seconds=60) as server, connected(server) as jetstream:
        feed = await jetstream.follow_records(heard.put_nowait)
        client = await nats.connect(server.url)
        subject = names.RECORD_SUBJECTS.replace(">", "job")
        for headers in (None, {"Nats-Sequence": "first", "Nats-Subject": "job", "Nats-Time-Stamp": "now"}):
            await client.publish(subject, b"{}", headers=headers)
        await client.close()
        await jetstream.write_key(names.JOBS_BUCKET, "job", b"a record")
        assert (await asyncio.wait_for(heard.get(), LIMIT_SECONDS)).body == b"a record"
        assert feed.is_whole
        await feed.close()


async def test_a_closed_feed_hears_nothing_more(tmp_path: Path) -> None:
    heard: list[bytes] = []
    async with nats_server(tmp_path, lease_seconds=60) as server, connected(server) as jetstream:
        closed = await jetstream.follow_records(lambda message: heard.append(b"closed: " + message.body))
        await closed.close()
        feed = await jetstream.follow_records(lambda message: heard.append(message.body))
        await jetstream.create_keys(names.JOBS_BUCKET, [("one", b"1"), ("two", b"2")], timeout=LIMIT_SECONDS)
        await eventually(lambda: len(heard) >= 2, "both are heard of")
        assert heard == [b"1", b"2"]
        await feed.close()


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("NATS_URL", "http://nats:4222", "NATS_URL must be nats://host:port"),
        ("NATS_URL", "nats://nats:port", "NATS_URL must be nats://host:port"),
        ("NATS_PASSWORD_FILE", "/nowhere/password", "NATS_PASSWORD_FILE cannot be read: /nowhere/password"),
        ("NATS_CREDS_FILE", __file__, f"NATS_CREDS_FILE cannot be used: {__file__} holds no user's JWT"),
        ("NATS_NKEY_FILE", __file__, f"NATS_NKEY_FILE cannot be used: {__file__} holds no seed"),
        ("NATS_TLS_CA", "/nowhere/ca.pem", "NATS_TLS_CA cannot be read: /nowhere/ca.pem"),
        ("NATS_TLS_CA", __file__, f"NATS_TLS_CA cannot be used: {__file__} holds no PEM certificate"),
        ("NATS_TLS_CERT", __file__, f"NATS_TLS_CERT cannot be used: {__file__}"),
    ],
)
async def test_a_setting_that_cannot_be_used_is_named(service: str, setting: str, value: str, told: str) -> None:
    """By all alike: one line with the setting and the file, another exit code than 0, no traceback."""
    variables = {"ADMIN_API_KEY": "k", "PORT": str(free_port()), "NATS_URL": f"nats://{LOOPBACK}:1", setting: value}
    ended = await run_fork(*SERVICES[service], environment={**os.environ, **variables})
    output = ended.stdout + ended.stderr
    lines = output.splitlines()
    assert ended.code == 2, lines
    assert [line for line in lines if line.startswith(told)] == [line for line in lines if setting in line], lines
    assert len([line for line in lines if line.startswith(told)]) == 1, lines
    assert "Traceback" not in output
