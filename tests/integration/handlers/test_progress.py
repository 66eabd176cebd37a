"""A step that takes long says what it is at: in the job's document, and to who listens."""

import asyncio
import json
from pathlib import Path
from typing import Any

from contracts import names
from tests.support.gateways import helping_hand
from tests.support.handlers import open_house
from tests.support.servers import LIMIT_SECONDS


async def test_a_long_installation_shows_its_last_lines(tmp_path: Path) -> None:
    """Without a write of its own: renewals carry it. Looks show no output, and what has ended shows none of it."""
    async with open_house(tmp_path) as house, helping_hand(house.server) as hand, house.handler():
        heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        async def hear(message: Any) -> None:
            await heard.put(json.loads(message.data))

        await hand.client.subscribe(names.progress_subject("*"), cb=hear)
        await house.everest.set_faults(job_seconds=12)
        job_id = await house.gateway.submit(username="alice", operators={"postgresql": True})
        async with asyncio.timeout(LIMIT_SECONDS):
            while not (told := await heard.get())["lines"]:
                assert told["job_id"] == job_id
        assert (told["step"], told["command"].split()[:3]) == ("add_namespace", ["everestctl", "namespaces", "add"])
        assert "\x1b" not in told["lines"]
        job = await house.wait_for_job(job_id, lambda job: "progress" in job["steps"][-1])
        progress = job["steps"][-1]["progress"]
        assert progress["command"] == told["command"]
        assert len(progress["lines"].encode()) <= 2048
        result = await house.wait_until_finished(job_id)
        assert result["overall_status"] == "succeeded", result
        assert not [step for step in (await house.job(job_id))["steps"] if "progress" in step]
