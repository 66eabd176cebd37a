"""The role provisioner takes a stream away as a backup and brings it back, however large: the server's own protocol."""

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import names
from tests.support.servers import LIMIT_SECONDS, NatsServer, nats_server, write_configuration

VARIABLES = {f"NATS_{role}_PASSWORD": f"p0{role.lower()}" for role in ("GATEWAY", "HANDLER", "PROVISIONER")}
CREDENTIALS: dict[str, Any] = {"NATS_USER": "provisioner", "NATS_PASSWORD": VARIABLES["NATS_PROVISIONER_PASSWORD"]}
MESSAGES = 100
STREAM = names.JOBS_STREAM


async def connect(server: NatsServer) -> Client:
    client = Client()
    password = VARIABLES["NATS_PROVISIONER_PASSWORD"]
    await client.connect(server.url, user="provisioner", password=password, inbox_prefix=b"_INBOX_provisioner")
    return client


async def ask(client: Client, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    answer = await client.request(f"$JS.API.{operation}", json.dumps(request).encode(), timeout=LIMIT_SECONDS)
    found = json.loads(answer.data)
    assert "error" not in found, found
    return dict(found)


async def take_backup(client: Client) -> tuple[dict[str, Any], list[bytes]]:
    """Its description and its chunks. After some unacknowledged megabytes the server gives up."""
    inbox, arrived = client.new_inbox(), asyncio.Queue[Msg]()
    await client.subscribe(inbox, cb=arrived.put)
    described = await ask(client, f"STREAM.SNAPSHOT.{STREAM}", {"deliver_subject": inbox, "no_consumers": False})
    chunks: list[bytes] = []
    while True:
        message = await asyncio.wait_for(arrived.get(), LIMIT_SECONDS)
        if not message.data:
            assert "408" not in (message.headers or {}).get("Status", ""), "the acknowledgements did not arrive"
            return described, chunks
        chunks.append(message.data)
        if message.reply:
            await client.publish(message.reply, b"")


async def bring_back(client: Client, described: dict[str, Any], chunks: list[bytes]) -> None:
    request = {"config": described["config"], "state": described["state"]}
    target = (await ask(client, f"STREAM.RESTORE.{STREAM}", request))["deliver_subject"]
    for chunk in chunks:
        await client.request(target, chunk, timeout=LIMIT_SECONDS)
    last = json.loads((await client.request(target, b"", timeout=LIMIT_SECONDS)).data)
    assert "error" not in last, last


async def test_a_backup_of_any_size_comes_back(tmp_path: Path) -> None:
    """Every message and both consumers, in a new server with an empty store; provision finds nothing to do there."""
    configuration = write_configuration(tmp_path / "conf", "node.conf", "accounts.conf")
    bodies = [base64.b64encode(os.urandom(140_000)) for _ in range(MESSAGES)]  # nothing that compresses away
    async with nats_server(tmp_path / "old", configuration=configuration, variables=VARIABLES) as server:
        await server.provision(**CREDENTIALS)
        client = await connect(server)
        for number, body in enumerate(bodies):
            await client.jetstream().publish(f"everest.v1.jobs.bootstrap.{number}", body)
        described, chunks = await take_backup(client)
        await client.close()
        assert "violation" not in server.read_log().lower()
    async with nats_server(tmp_path / "new", configuration=configuration, variables=VARIABLES) as server:
        client = await connect(server)
        await bring_back(client, described, chunks)
        info = await client.jetstream().stream_info(STREAM)
        assert (info.state.messages, info.state.consumer_count) == (MESSAGES, 2)
        for number in (0, MESSAGES - 1):
            stored = await client.jetstream().get_last_msg(STREAM, f"everest.v1.jobs.bootstrap.{number}")
            assert stored.data == bodies[number]
        await client.close()
        await server.provision(**CREDENTIALS)
