"""kill -9 of the gateway and of NATS during bulks: each is accepted whole or not at all, and no job is queued twice."""

import asyncio
import random
import signal
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from contracts import names
from tests.support.eventually import eventually
from tests.support.gateways import Gateway, ManualHandler, manual_handler, running_gateway
from tests.support.servers import NatsServer, nats_server

pytestmark = pytest.mark.asyncio

SIZE = 200
LEASE_SECONDS = 2
KINDS = ("gateway", "NATS", "both")


class Callers:
    """Who submit batches, and the keys of those that were accepted."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.accepted: set[str] = set()

    async def submit(self, key: str) -> None:
        """A caller whose gateway dies hears nothing."""
        body = {"requests": [{"username": f"t{number:03}"} for number in range(SIZE)]}
        with suppress(httpx.HTTPError):
            answer = await self._gateway.api.post("/bootstrap/users/bulk", json=body, headers={"Idempotency-Key": key})
            assert answer.status_code in (202, 503), answer.text
            if answer.status_code == 202:
                self.accepted.add(key)


async def interrupt(submit: "asyncio.Task[None]", gateway: Gateway, server: NatsServer, kind: str) -> None:
    if kind in ("gateway", "both"):
        await gateway.stop(signal.SIGKILL)
    if kind in ("NATS", "both"):
        await server.restart()
    if kind in ("gateway", "both"):
        await gateway.start()
    await submit


async def list_ids(manual: ManualHandler, stream: str, prefix: str) -> set[str]:
    state = (await manual.jetstream.stream_info(stream, subjects_filter=f"{prefix}>")).state
    assert all(count == 1 for count in (state.subjects or {}).values())
    return {subject.removeprefix(prefix) for subject in state.subjects or {}}


async def test_a_batch_is_accepted_whole_or_not_at_all(tmp_path: Path) -> None:
    """Whatever dies at whatever moment; asked for again under its key it is accepted, and each job is queued once."""
    moments = random.Random(19)
    async with (
        nats_server(tmp_path, lease_seconds=LEASE_SECONDS) as server,
        running_gateway(server.url, tmp_path) as gateway,
    ):
        callers = Callers(gateway)
        wanted: dict[str, set[str]] = {}
        for number, kind in enumerate(KINDS):
            key = f"batch-{number}"
            batch_id = names.idempotent_batch_id("admin", key)
            wanted[key] = {names.batch_job_id(batch_id, index) for index in range(SIZE)}
            submit = asyncio.create_task(callers.submit(key))
            await asyncio.sleep(moments.uniform(0.02, 0.2))  # at any moment
            await interrupt(submit, gateway, server, kind)
            async with manual_handler(server) as manual:
                stored = wanted[key] & await list_ids(manual, f"KV_{names.JOBS_BUCKET}", f"$KV.{names.JOBS_BUCKET}.")
            assert len(stored) in ((SIZE,) if key in callers.accepted else (0, SIZE)), kind

        async def accept_all() -> bool:
            for key in wanted.keys() - callers.accepted:
                await callers.submit(key)
            return callers.accepted == wanted.keys()

        await eventually(accept_all, "every batch is accepted")
        everything = set().union(*wanted.values())
        async with manual_handler(server) as manual:

            async def are_queued() -> bool:
                return everything == await list_ids(manual, names.JOBS_STREAM, names.job_subject("bootstrap", ""))

            await eventually(are_queued, "each job has its message, and there is no other")
