"""Stores that hold finished jobs, kept in a cache folder: filling a million takes minutes, a second run seconds.

The server that is filled has `sync_interval` off; what is measured is started afterwards, with `always`.
"""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import nats

from contracts import names
from tests.laboratory.benchmarks.bench import Bench, UnexpectedAnswer
from tests.support.servers import ROOT, NatsServer, write_configuration

CACHE = ROOT / ".data" / "benchmarks"
_BUCKET_STREAM = f"KV_{names.JOBS_BUCKET}"
_ALWAYS, _OFF = "sync_interval: always", "sync_interval: 10m"
_RECOVERY_SECONDS = 60  # a server reads its store when it starts


async def open_store(bench: Bench, count: int) -> NatsServer:
    """A server whose bucket holds so many finished jobs, and whose queue is empty."""
    store = CACHE / f"store-{count}"
    if not store.exists():
        await _fill(bench, store, count)
    server = await bench.start_nats(store, provisioned=False)
    await _ask(server, f"STREAM.DELETE.{names.JOBS_STREAM}")  # what the last run has put into it
    await server.provision()
    state = (await _ask(server, f"STREAM.INFO.{_BUCKET_STREAM}"))["state"]
    if state["messages"] < count:
        raise UnexpectedAnswer(f"{store} holds {state['messages']} jobs only: remove it")
    return server


async def _fill(bench: Bench, store: Path, count: int) -> None:
    """Renamed when it is whole, so that a run that was cut leaves nothing that looks so."""
    filling = store.with_name(f"filling-{count}")
    await asyncio.to_thread(shutil.rmtree, filling, ignore_errors=True)
    configuration = write_configuration(bench.folder / "unsynced", "node.conf")
    node = configuration.with_name("node.conf")
    text = node.read_text()
    if _ALWAYS not in text:
        raise UnexpectedAnswer(f"{node.name} does not say `{_ALWAYS}`")
    node.write_text(text.replace(_ALWAYS, _OFF))
    server = await bench.start_nats(filling, configuration)
    await bench.run_program("seeding", str(server.port), str(count))
    await server.stop()
    filling.rename(store)


async def _ask(server: NatsServer, operation: str) -> dict[str, Any]:
    client = await nats.connect(server.url)
    try:
        answer = await client.request(f"$JS.API.{operation}", timeout=_RECOVERY_SECONDS)
        return dict(json.loads(answer.data))
    finally:
        await client.close()
