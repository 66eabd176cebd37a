"""A step that takes long says what it is at: in the job's document, and to who listens."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from contracts import names
from tests.support.eventually import eventually
from tests.support.gateways import KEY, manual_handler
from tests.support.handlers import Service, open_service
from tests.support.servers import LIMIT_SECONDS, ROOT

INSTALLER = "everest-operators-installer"


@asynccontextmanager
async def watching(service: Service, job_id: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """What a person sees who follows the job, from when the gateway knows of him."""
    environment = {**os.environ, "BASE_URL": str(service.gateway.api.base_url), "ADMIN_API_KEY": KEY}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.client", "watch", job_id),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )

    async def is_followed() -> bool:
        return "everest_bootstrap_waiters 1.0" in (await service.gateway.nobody.get("/metrics")).text

    try:
        await eventually(is_followed, "the client follows")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_long_installation_shows_its_last_lines_and_what_it_waits_for(tmp_path: Path) -> None:
    """Without a write of its own: renewals carry it. Looks show no output, and what has ended shows none of it."""
    async with (
        open_service(tmp_path) as service,
        manual_handler(service.server) as manual,
        service.handler(),
        AsyncExitStack() as stack,
    ):
        heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        async def hear(message: Any) -> None:
            await heard.put(json.loads(message.data))

        async def hear_until(is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
            async with asyncio.timeout(LIMIT_SECONDS):
                while not ((told := await heard.get())["step"] == "add_namespace" and is_so(told)):
                    assert told["job_id"] == job_id
            return told

        await manual.client.subscribe(names.progress_subject("*"), cb=hear)
        await service.everest.set_faults(job_hangs=True)
        job_id = await service.gateway.submit(username="alice", operators={"postgresql": True})
        watched = await stack.enter_async_context(watching(service, job_id))
        while not heard.empty():
            heard.get_nowait()  # nobody watched then
        waits = {"what": "operator", "name": "postgresql", "state": "subscribed"}
        told = await hear_until(lambda told: bool(told["lines"]) and waits in told["waiting_for"])
        assert told["command"].split()[:3] == ["everestctl", "namespaces", "add"]
        assert told["waiting_for"] == [{"what": "installer", "name": INSTALLER, "state": "running"}, waits]
        assert "\x1b" not in told["lines"]
        job = await service.wait_for_job(job_id, lambda job: "progress" in job["steps"][1])
        assert [step["state"] for step in job["steps"]] == ["finished", "running", "pending", "pending", "pending"]
        progress = job["steps"][1]["progress"]
        assert progress["command"] == told["command"]
        assert len(progress["lines"].encode()) <= 2048
        await service.everest.set_faults(operators_hang=True)
        installs = {**waits, "state": "Installing"}
        await hear_until(lambda told: installs in told["waiting_for"])
        await service.everest.set_faults()
        result = await service.wait_until_finished(job_id)
        assert result["overall_status"] == "succeeded", result
        commands = [command["command"] for command in result["steps"][1]["commands"]]
        assert not [command for command in commands if "jobs" in command], "who watches is no part of the step"
        assert not [step for step in (await service.job(job_id))["steps"] if "progress" in step]
        shown, _ = await asyncio.wait_for(watched.communicate(), LIMIT_SECONDS)
        for state in ("subscribed", "Installing"):
            awaited = f"add_namespace  installer {INSTALLER}: running, operator postgresql: {state}"
            assert awaited in shown.decode(), shown.decode()
