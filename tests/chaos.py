"""`make chaos`: many jobs while handlers, NATS and the gateway are killed, frozen, stopped and cut off, and their ends.

A half are bootstraps, every tenth cancelled and retried; the others are of all kinds, for tenants that live in a storm.
"""

import argparse
import asyncio
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests.support.handlers import Service, open_service, start_handler
from tests.support.storm import lives
from tests.support.storm.fleet import KINDS, Faults, running_fleet
from tests.support.storm.oracle import Verdict, Witness, judge
from tests.support.storm.untold import find_untold

HANDLERS = 4
_JOBS_PER_TENANT = 1.5
_JOBS_PER_LIFE = 12
_CANCELLED = 10  # every tenth job is cancelled, and retried in the end
_SETTLE_SECONDS = 900
_SETTLE_SECONDS_EACH = 4  # of what waits for its turn: a job takes a second and more of processor time
_GOAL_LEASES = 1.6  # half a lease until the message comes again, one of watching


@dataclass(slots=True)
class Run:
    """One chaos run: what was submitted, what was done to it, and what came of it."""

    service: Service
    seed: int
    lease_seconds: float
    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)
    lived: dict[str, lives.Ask] = field(default_factory=dict)
    refused: int = 0  # at once, as the tenant was then
    cancelled: list[str] = field(default_factory=list)
    retried_by_person: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    claims: int = 0
    wrong_ends: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    seconds: float = 0

    async def submit_all(self, count: int, pace_seconds: float) -> None:
        """A half of each sort."""
        await asyncio.gather(self.submit(count - count // 2, pace_seconds * 2), self.live(count // 2, pace_seconds * 2))

    async def submit(self, count: int, pace_seconds: float) -> None:
        """As a caller does it: the same key again until it is accepted."""
        for number in range(count):
            tenant = f"tenant{int(number / _JOBS_PER_TENANT)}"
            request: dict[str, Any] = {"username": tenant, "resources": {"cpu_cores": 1 + number % 4}}
            if number % 3 == 0:
                request["operators"] = {"postgresql": True}
            job_id = await self._submit_until_accepted(number, request)
            self.accepted[job_id] = request
            if number % _CANCELLED == _CANCELLED - 1:
                await self._cancel(job_id)
            await asyncio.sleep(pace_seconds)

    async def live(self, count: int, pace_seconds: float) -> None:
        """Jobs of all kinds for tenants that live side by side, and questions about them."""
        tenants = max(1, count // _JOBS_PER_LIFE)
        await asyncio.gather(
            *(self._live_one(number, count // tenants, pace_seconds * tenants) for number in range(tenants))
        )

    async def _live_one(self, number: int, length: int, pace_seconds: float) -> None:
        chance = random.Random(f"{self.seed}-{number}")
        for place, ask in enumerate(lives.draw_life(chance, f"life{number}x", length)):
            job_id = await lives.submit(self.service.gateway, ask, f"{self.seed}-{number}-{place}")
            if job_id is None:
                self.refused += 1
            else:
                self.lived[job_id] = ask
            await lives.ask_something(self.service.gateway, chance, ask.username)
            await asyncio.sleep(pace_seconds * chance.uniform(0.1, 2))

    async def submit_batch(self, count: int) -> None:
        """As one call, the same key again until it is accepted: by then all of it is stored, before that none."""
        requests: list[dict[str, Any]] = [
            {"username": f"tenant{number}", "resources": {"cpu_cores": 1 + number % 4}} for number in range(count)
        ]
        headers = {"Idempotency-Key": f"{self.seed}-batch"}
        while not self.accepted:
            try:
                answer = await self.service.gateway.api.post(
                    "/bootstrap/users/bulk", json={"requests": requests}, headers=headers
                )
            except httpx.TransportError:
                await asyncio.sleep(0.2)  # the gateway was killed
                continue
            assert answer.status_code in (202, 503), answer.text
            if answer.status_code == 202:
                accepted = answer.json()["jobs"]
                self.accepted = {job["job_id"]: request for job, request in zip(accepted, requests, strict=True)}

    async def _submit_until_accepted(self, number: int, request: dict[str, Any]) -> str:
        headers = {"Idempotency-Key": f"{self.seed}-{number}"}
        answer = await self._post("/bootstrap/users", json=request, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    async def _cancel(self, job_id: str) -> None:
        answer = await self._post(f"/jobs/{job_id}/cancel")
        assert answer.status_code in (202, 409), answer.text
        self.cancelled.append(job_id)

    async def _post(self, path: str, **request: Any) -> httpx.Response:
        """Until it is answered."""
        while True:
            try:
                answer = await self.service.gateway.api.post(path, **request)
            except httpx.TransportError:
                answer = None  # the gateway was killed
            if answer is not None and answer.status_code != 503:
                return answer
            await asyncio.sleep(0.2)

    async def do_faults(self, faults: Faults, submits: "asyncio.Task[None]") -> None:
        """Two at a time, as long as jobs are submitted, and until there was one of each kind."""

        async def do_some() -> None:
            while not submits.done() or set(faults.done) != set(faults.kinds):
                await self.service.everest.set_faults(job_seconds=faults.pick_seconds())
                await faults.do_one()
                await faults.pause()

        await asyncio.gather(do_some(), do_some())
        await self.service.everest.set_faults(job_seconds=0.2)
        self.faults = faults.done

    async def settle(self) -> None:
        """Until all have ended; the cancelled ones are then retried, and must succeed."""
        ends_at = time.monotonic() + _SETTLE_SECONDS + _SETTLE_SECONDS_EACH * len(self.accepted)
        await self._wait_for_ends(ends_at)
        for job_id in self.cancelled:
            job = await self.service.job(job_id)
            if job["status"] == "failed":
                assert job["reason"] == "cancelled", job
                answer = await self._post(f"/jobs/{job_id}/retry")
                assert answer.status_code == 202, answer.text
                self.retried_by_person.append(job_id)
        await self._wait_for_ends(ends_at)

    async def _wait_for_ends(self, ends_at: float) -> None:
        for job_id in (*self.accepted, *self.lived):
            while time.monotonic() < ends_at:
                try:
                    answer = await self.service.gateway.api.get(f"/jobs/{job_id}", params={"wait": "5"})
                except httpx.TransportError:
                    await asyncio.sleep(0.2)  # the gateway was killed
                    continue
                if answer.status_code == 404 or answer.json().get("status") in ("succeeded", "failed"):
                    break

    @property
    def is_good(self) -> bool:
        return self.verdict.is_good and not self.wrong_ends and not self.untold

    def _count_kinds(self) -> str:
        kinds = Counter(ask.kind for ask in self.lived.values()) + Counter(bootstrap=len(self.accepted))
        return ", ".join(f"{kind} {count}" for kind, count in kinds.items())

    def report(self) -> str:
        verdict = self.verdict
        lines = {
            "seed": self.seed,
            "seconds": round(self.seconds),
            "faults": ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())),
            "accepted": f"{len(self.accepted) + len(self.lived)} ({self._count_kinds()})",
            "refused at once": self.refused,
            "lost": len(verdict.lost),
            "overlapped": len(verdict.overlapped),
            "unfinished": len(verdict.unfinished),
            "failed": len(verdict.failed),
            "records that disagree with the cluster": len(verdict.untrue),
            "handlers that ended wrongly": len(self.wrong_ends),
            "changes without an entry of the audit": len(self.untold),
            "retried": f"{sum(job['losses'] > 0 for job in verdict.jobs.values())} after losses "
            f"({sum(job['losses'] for job in verdict.jobs.values())} losses, {self.claims} claims in all), "
            f"{len(self.retried_by_person)} by a person after a cancel",
        }
        return "\n".join(
            [
                *(f"{name:40} {value}" for name, value in lines.items()),
                *verdict.complaints,
                *self.wrong_ends,
                *self.untold,
            ]
        )


async def run_chaos(
    folder: Path,
    *,
    seed: int,
    jobs: int,
    lease_seconds: float,
    pace_seconds: float,
    handlers: int = HANDLERS,
    kinds: Sequence[str] = KINDS,
) -> Run:
    """One run from an empty cluster to the verdict."""
    started_at = time.monotonic()
    async with open_service(folder, lease_seconds=lease_seconds) as service:
        run = Run(service, seed, lease_seconds)
        witness = Witness()
        watching = asyncio.create_task(witness.watch(service.server.url))
        async with running_fleet(service, handlers, SHUTDOWN_GRACE="2", HANDLER_CONCURRENCY="3") as supervisors:
            submits = asyncio.create_task(run.submit_all(jobs, pace_seconds))
            await run.do_faults(Faults(service, supervisors, lease_seconds, seed, kinds), submits)
            await submits
            await run.settle()
            run.verdict = await judge(service, run.accepted, witness, run.lived)
            run.untold = await find_untold(service.gateway, run.verdict.jobs, run.retried_by_person)
            run.wrong_ends = [end for supervisor in supervisors for end in supervisor.wrong_ends]
            logs = [handler.read_log() for supervisor in supervisors for handler in supervisor.handlers]
            run.claims = sum(log.count('"event":"job.claimed"') for log in logs)
        watching.cancel()
        await asyncio.wait({watching})
    run.seconds = time.monotonic() - started_at
    return run


async def measure_recovery(folder: Path, lease_seconds: float) -> float:
    """Leases from the kill -9 of a handler whose command runs until another handler has claimed the job."""
    async with open_service(folder, lease_seconds=lease_seconds, job_seconds=lease_seconds * 20) as service:
        first = await start_handler(service.server.url, service.everest, folder)
        job_id = await service.gateway.submit(username="carol", operators={"postgresql": True})
        await service.wait_for_run("namespaces", "add")
        async with service.handler() as second:
            await asyncio.sleep(lease_seconds * random.random())  # renewals come each quarter of a lease
            killed_at = time.time()
            await first.stop(signal.SIGKILL)
            (claim,) = await second.wait_for_event("job.claimed")
            await second.stop(signal.SIGKILL)
    assert claim["lost"], claim
    assert claim["job_id"] == job_id
    return (datetime.fromisoformat(claim["timestamp"]).timestamp() - killed_at) / lease_seconds


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--lease", type=float, default=4.0, help="seconds")
    parser.add_argument("--recoveries", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        run = await run_chaos(
            Path(folder) / "run", seed=options.seed, jobs=options.jobs, lease_seconds=options.lease, pace_seconds=0.7
        )
        print(run.report(), flush=True)
        recoveries = [
            await measure_recovery(Path(folder) / f"recovery-{number}", options.lease)
            for number in range(options.recoveries)
        ]
    slowest = max(recoveries)
    print(
        f"{'recovery after kill -9, in leases':40} median {statistics.median(recoveries):.2f}, "
        f"slowest {slowest:.2f} of {len(recoveries)} (goal {_GOAL_LEASES})"
    )
    return 0 if run.is_good and slowest <= _GOAL_LEASES else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
