"""What happened and was told to nobody: ends, cancels and retries without an entry of the audit."""

from typing import Any

import orjson

from tests.support.eventually import eventually
from tests.support.gateways import Gateway


async def find_untold(gateway: Gateway, jobs: dict[str, dict[str, Any]], retried: list[str]) -> list[str]:
    """`retried` were cancelled before, both by a person. What is still being copied is waited for."""
    found: list[str] = []

    async def look() -> bool:
        found[:] = _compare(await _read_entries(gateway), jobs, retried)
        return not found

    try:
        await eventually(look, "every change has its entry", limit_seconds=30)
    except AssertionError:
        return found
    return []


async def _read_entries(gateway: Gateway) -> set[tuple[str, str, str]]:
    answer = await gateway.api.get("/audit", headers={"Accept": "application/x-ndjson"})
    entries = [orjson.loads(line) for line in answer.content.splitlines()]
    return {(entry["job_id"], entry["action"], entry["outcome"]) for entry in entries}


def _compare(entries: set[tuple[str, str, str]], jobs: dict[str, dict[str, Any]], retried: list[str]) -> list[str]:
    wanted = {(job_id, "retry" if job_id in retried else "submit", job["status"]) for job_id, job in jobs.items()}
    for job_id in retried:
        wanted |= {(job_id, "submit", "failed"), (job_id, "cancel", "cancelled")}
    return [" ".join(change) for change in sorted(wanted - entries)]
