"""`python -m gateway standalone` as tests start it: ports and a data folder of its own, a simulated Everest."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.simulator import SimulatedEverest
from tests.support.eventually import eventually
from tests.support.servers import LIMIT_SECONDS, LOOPBACK, ROOT, free_port

KEY = "a-key-for-tests"


class Standalone:
    """A running one; `api` bears its key."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, nats_port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.nats_port = nats_port
        self.log = log
        self.api = httpx.AsyncClient(
            base_url=f"http://{LOOPBACK}:{port}", headers={"X-Admin-Key": KEY}, timeout=LIMIT_SECONDS
        )

    async def wait_until_ready(self) -> None:
        async def is_ready() -> bool:
            assert self.process.returncode is None, self.log.read_text()
            return (await self.api.get("/readyz")).status_code == 200

        await eventually(is_ready, self.log.read_text)

    async def wait_until_step(self, job_id: str, step: str) -> None:
        async def has_begun() -> bool:
            steps = (await self.api.get(f"/jobs/{job_id}")).json()["steps"]
            return any(one["name"] == step and one["state"] != "pending" for one in steps)

        await eventually(has_begun, f"{step} has begun")

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), LIMIT_SECONDS)


@asynccontextmanager
async def standalone(
    everest: SimulatedEverest,
    data: Path,
    *arguments: str,
    port: int | None = None,
    nats_port: int | None = None,
    **settings: str,
) -> AsyncIterator[Standalone]:
    """Started, and maybe not yet ready; ended afterwards. `settings` are environment variables, HOST none of them."""
    port, nats_port = port or free_port(), nats_port or free_port()
    variables = {
        **{name: value for name, value in os.environ.items() if name != "HOST"},
        **everest.variables,
        "PORT": str(port),
        "NATS_PORT": str(nats_port),
        "DATA_DIR": str(data),
        "ADMIN_API_KEY": KEY,
        **settings,
    }
    log = data.with_suffix(".log")
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "standalone", *arguments,
            cwd=ROOT, env=variables, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    running = Standalone(process, port, nats_port, log)
    try:
        yield running
    finally:
        await running.api.aclose()
        await running.end()
