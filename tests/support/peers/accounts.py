"""A server with accounts, and who tries there what is not his."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.peers.publishers import Publisher
from tests.support.servers import LIMIT_SECONDS, LOOPBACK, NatsServer, nats_cluster, nats_server, write_configuration

PASSWORDS = {role: f"secret-of-{role}" for role in ("gateway", "handler", "provisioner")}
VARIABLES = {f"NATS_{role.upper()}_PASSWORD": password for role, password in PASSWORDS.items()}


@asynccontextmanager
async def secured_server(folder: Path, publishers: Sequence[Publisher] = ()) -> AsyncIterator[NatsServer]:
    """Running and provisioned, with an account for each of the publishers."""
    blocks = "\n".join(publisher.block for publisher in publishers)
    configuration = write_configuration(folder / "conf", "node.conf", "accounts.conf", publishers=blocks)
    async with nats_server(folder, configuration=configuration, variables=VARIABLES) as running:
        names = [publisher.name for publisher in publishers]
        await running.provision(publishers=names, NATS_USER="provisioner", NATS_PASSWORD=PASSWORDS["provisioner"])
        yield running


@asynccontextmanager
async def secured_cluster(folder: Path, publishers: Sequence[Publisher] = ()) -> AsyncIterator[list[NatsServer]]:
    """Three nodes, provisioned with as many copies, with an account for each of the publishers."""
    blocks = "\n".join(publisher.block for publisher in publishers)
    configuration = write_configuration(folder / "conf", "cluster.conf", "accounts.conf", publishers=blocks)
    async with nats_cluster(folder, configuration=configuration, variables=VARIABLES) as servers:
        await servers[0].provision(60, 3, NATS_USER="provisioner", NATS_PASSWORD=PASSWORDS["provisioner"])
        yield servers


class Intruder:
    """A connection with a role's credentials, and what came of its attempts."""

    def __init__(self, role: str) -> None:
        self.client = Client()
        self._inbox = f"_INBOX_{role}.attempt"
        self._heard: asyncio.Queue[str] = asyncio.Queue()

    async def listen(self) -> None:
        async def hear(message: Msg) -> None:
            status = (message.headers or {}).get("Status", "")
            self._heard.put_nowait("nobody is there" if status == "503" else f"an answer: {message.data!r}")

        await self.client.subscribe(self._inbox, cb=hear)

    async def on_error(self, error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            self._heard.put_nowait(str(error).lower())

    async def expect_refusal(self, subject: str) -> None:
        """Fails when the server held nothing against the subject."""
        violation = await asyncio.wait_for(self._heard.get(), LIMIT_SECONDS)
        assert f'"{subject.lower()}"' in violation

    async def expect_no_way(self, subject: str, body: bytes) -> None:
        """Fails unless the server refuses the subject, or it leads nowhere from this account."""
        await self.client.publish(subject, body, reply=self._inbox)
        heard = await asyncio.wait_for(self._heard.get(), LIMIT_SECONDS)
        assert heard == "nobody is there" or heard.startswith("nats: permissions violation for publish"), heard


@asynccontextmanager
async def intruding(server: NatsServer, role: str, publishers: Sequence[Publisher]) -> AsyncIterator[Intruder]:
    intruder = Intruder(role)
    credentials: dict[str, object] = {"user": role, "password": PASSWORDS.get(role)}
    for publisher in publishers:
        if publisher.name == role:
            credentials = {"nkeys_seed": str(publisher.seed_file)}
    prefix = f"_INBOX_{role}".encode()
    await intruder.client.connect(server.url, inbox_prefix=prefix, error_cb=intruder.on_error, **credentials)  # type: ignore[arg-type]
    try:
        await intruder.listen()
        yield intruder
    finally:
        await intruder.client.close()


async def knock(port: int, **credentials: str) -> str:
    """What the server answers to who comes in so; by hand, for nats-py leaves sockets open where it is refused."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        await reader.readline()
        options = {"verbose": False, "pedantic": False, "lang": "test", "version": "1", **credentials}
        writer.write(b"CONNECT %s\r\nPING\r\n" % json.dumps(options).encode())
        return (await asyncio.wait_for(reader.readline(), LIMIT_SECONDS)).decode().strip()
    finally:
        writer.close()
        await writer.wait_closed()
