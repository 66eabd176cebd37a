"""A service that publishes over NATS with an account of its own, made by the real command."""

import os
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
from nats.aio.client import Client

from tests.support.forks import run_fork
from tests.support.servers import NatsServer


@dataclass(frozen=True, slots=True)
class Publisher:
    """`block` is its account, for publishers.conf."""

    name: str
    block: str
    seed_file: Path

    @asynccontextmanager
    async def connected(self, server: NatsServer) -> AsyncIterator[Client]:
        client = await nats.connect(
            server.url, nkeys_seed=str(self.seed_file), inbox_prefix=f"_INBOX_{self.name}".encode()
        )
        try:
            yield client
        finally:
            await client.close()


async def make_publisher(folder: Path, name: str, *arguments: str) -> Publisher:
    """`python -m gateway new-publisher`, and what a person does with its output."""
    ended = await run_fork("gateway", "new-publisher", name, *arguments, environment=os.environ)
    assert ended.code == 0, ended
    parts = [textwrap.dedent(part) for part in ended.stdout.split("\n\n")]
    (block,) = (part for part in parts if part.startswith(f'"{name}": {{'))
    (seed,) = (line for part in parts for line in part.splitlines() if line.startswith("SU"))
    seed_file = folder / f"{name}.nk"
    seed_file.write_text(seed)
    return Publisher(name, block, seed_file)
