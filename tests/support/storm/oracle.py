"""What must be true in the end: each accepted job ended, once, its commands one by one, its record the truth."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import nats
from nats.aio.client import Client

from contracts import names
from contracts.records import JobRecord, UnreadableRecord, decode_record
from handlers.tenants.claims import JOB, OWNER
from tests.simulator.effects import overlaps
from tests.support.handlers import FINISHED, Service
from tests.support.storm import lives
from tests.support.storm.snapshot import Snapshot, read_snapshot


class Witness:
    """Sees the writes of the records as they are stored, over restarts of NATS; some may escape it."""

    def __init__(self) -> None:
        self._last: dict[str, JobRecord] = {}
        self.ends: Counter[tuple[str, int]] = Counter()  # of a job's run
        self.wrong: list[str] = []

    async def watch(self, url: str) -> None:
        """Until cancelled."""
        client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=_ignore)
        try:
            await self._follow(client)
        finally:
            await client.close()

    async def _follow(self, client: Client) -> None:
        await client.jetstream().subscribe(
            f"$KV.{names.JOBS_BUCKET}.>", stream=f"KV_{names.JOBS_BUCKET}", ordered_consumer=True, cb=self._see
        )
        await asyncio.Event().wait()

    async def _see(self, message: Any) -> None:
        try:
            record = decode_record(message.data)
        except UnreadableRecord:
            self.wrong.append(f"unreadable: {message.subject}")
            return
        before = self._last.get(record.job_id)
        self._last[record.job_id] = record
        if record.is_finished:
            self.ends[record.job_id, record.run] += before is None or before.write != record.write
        elif before is not None and before.is_finished and before.run == record.run:
            self.wrong.append(f"{record.job_id} went on after its end")


async def _ignore(_: Exception) -> None:
    """Lost connections are what this is about."""


@dataclass(slots=True)
class Verdict:
    """The jobs that break a promise."""

    lost: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    overlapped: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.unfinished or self.failed or self.overlapped or self.untrue)

    @property
    def complaints(self) -> list[str]:
        parts = {
            "lost": self.lost,
            "unfinished": self.unfinished,
            "failed": self.failed,
            "overlapped": self.overlapped,
            "untrue": self.untrue,
        }
        return [f"{name}: {one}" for name, ones in parts.items() for one in ones]


async def judge(
    service: Service,
    accepted: dict[str, dict[str, Any]],
    witness: Witness,
    lived: Mapping[str, lives.Ask] | None = None,
) -> Verdict:
    """`accepted`: the request of each bootstrap that was answered with 202. `lived`: the jobs of tenants that live."""
    verdict, lived = Verdict(), lived or {}
    for job_id in (*accepted, *lived):
        answer = await service.gateway.api.get(f"/jobs/{job_id}")
        if answer.status_code == 404:
            verdict.lost.append(job_id)
            continue
        job = answer.json()
        if job["status"] not in FINISHED:
            verdict.unfinished.append(f"{job_id}: {job}")
            continue
        verdict.jobs[job_id] = job
        if job["status"] == "failed" and job_id in accepted:
            verdict.failed.append(f"{job_id}: {job['reason']} {job['summary']}")
    runs = (await service.everest.effects())["runs"]
    verdict.overlapped = [f"{one['tenant']}: {one} and {other}" for one, other in overlaps(runs)]
    snapshot = await read_snapshot(service)
    results = {job_id: await _read_result(service, job_id) for job_id in verdict.jobs}
    verdict.untrue = _find_untrue(snapshot, accepted, results)
    verdict.untrue += lives.find_untrue(snapshot, lived, verdict.jobs, results)
    verdict.untrue += witness.wrong
    verdict.untrue += [
        f"{job_id} ended {count} times in run {run}" for (job_id, run), count in witness.ends.items() if count > 1
    ]
    return verdict


def _find_untrue(snapshot: Snapshot, accepted: dict[str, dict[str, Any]], results: dict[str, Any]) -> list[str]:
    by_tenant: dict[str, list[str]] = defaultdict(list)
    for job_id in accepted.keys() & results.keys():
        by_tenant[accepted[job_id]["username"]].append(job_id)
    found = []
    for username, job_ids in by_tenant.items():
        ended_well = [job_id for job_id in job_ids if results[job_id]["overall_status"] == "succeeded"]
        if ended_well:
            faults = _find_disagreements(snapshot, username, accepted, results, ended_well)
            found += [f"{username}: {why}" for why in faults]
    return found


async def _read_result(service: Service, job_id: str) -> dict[str, Any]:
    return dict((await service.gateway.api.get(f"/jobs/{job_id}/result")).json())


def _find_disagreements(
    snapshot: Snapshot, username: str, accepted: dict[str, Any], results: dict[str, Any], job_ids: list[str]
) -> list[str]:
    """What the tenant's succeeded jobs say and the cluster does not."""
    found = []
    namespace = snapshot.namespaces.get(username, {}).get("metadata", {})
    annotations = namespace.get("annotations") or {}
    if annotations.get(OWNER) != username:
        found.append("its namespace is not there, or not its own")
    created = [job_id for job_id in job_ids if _step(results[job_id], "add_namespace")["outcome"] == "created"]
    if created != [annotations.get(JOB)]:
        found.append(f"namespace created by {annotations.get(JOB)}, says {created}")
    makers = [job_id for job_id in job_ids if _step(results[job_id], "create_account")["outcome"] == "created"]
    if len(makers) != 1:
        found.append(f"account created by {makers}")
    for job_id in makers:
        found += _check_password(snapshot, username, results[job_id])
    last = max(job_ids, key=lambda job_id: _step(results[job_id], "apply_resource_quota")["finished_at"])
    wanted = str(accepted[last]["resources"]["cpu_cores"])
    if (hard := snapshot.quotas.get(username, {}).get("spec", {}).get("hard", {})).get("limits.cpu") != wanted:
        found.append(f"its quota is {hard}, not the {wanted} of {last}")
    if f"g, {username}, " not in snapshot.policy:
        found.append("it has no role in the policy")
    is_managed = (namespace.get("labels") or {}).get("app.kubernetes.io/managed-by") == "everest"
    if not is_managed and any(accepted[job_id].get("operators") for job_id in job_ids):
        found.append("its namespace is not managed by Everest")
    return found


def _check_password(snapshot: Snapshot, username: str, result: dict[str, Any]) -> list[str]:
    fault = snapshot.find_password_fault(username, (result.get("credentials_secret") or {}).get("name", ""))
    return [fault] if fault else []


def _step(result: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(next(step for step in result["steps"] if step["name"] == name))
