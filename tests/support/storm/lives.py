"""Tenants whose whole life is lived in a storm: jobs of every kind, and what the cluster must say of them in the end.

One job works on a tenant at a time, so their ends are an order, whatever order they were asked for in: replayed in it,
each end must be possible where it stands, and the last state must be the cluster's.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from contracts.names import credentials_secret_name
from handlers.rbac.policy import SUSPENSION
from handlers.tenants.claims import OWNER, SPEC
from tests.support.gateways import Gateway
from tests.support.storm.snapshot import Snapshot

KINDS = ("bootstrap", "offboard", "password", "suspend", "resume", "repair", "handover")
# After a bootstrap, which is more often asked for than the rest: else most tenants would be gone.
_DECK = (*KINDS, "bootstrap", "bootstrap", "resume")
_QUERIES = ("/tenants/{0}", "/tenants", "/accounts/list", "/tenants/{0}/namespaces/{0}", "dry run")
_ANSWERS = (200, 404, 409, 502, 503, 504)  # of a query while anything fails; never a fault of the gateway's own


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing that is asked for. `members` go into the body, where the kind has one."""

    kind: str
    username: str
    members: dict[str, Any] = field(default_factory=dict)

    @property
    def call(self) -> tuple[str, str, dict[str, Any] | None]:
        """Method, path and body."""
        name = self.username
        match self.kind:
            case "bootstrap":
                return "POST", "/bootstrap/users", {"username": name, **self.members}
            case "offboard":
                return "DELETE", f"/tenants/{name}", None
            case "repair":
                return "POST", f"/tenants/{name}/namespaces/{name}/repair", None
            case "handover":
                return "POST", f"/tenants/{name}/manager", self.members
        return "POST", f"/tenants/{name}/{self.kind}", None


def draw_life(chance: random.Random, username: str, length: int) -> list[Ask]:
    """It begins with a bootstrap; the rest is a deck that is shuffled anew when it is empty."""
    kinds = ["bootstrap"]
    while len(kinds) < length:
        kinds += chance.sample(_DECK, len(_DECK))
    return [_draw(chance, kind, username) for kind in kinds[:length]]


def _draw(chance: random.Random, kind: str, username: str) -> Ask:
    match kind:
        case "bootstrap":
            operators = {"operators": {"postgresql": True}} if chance.random() < 0.3 else {}
            return Ask(kind, username, {"resources": {"cpu_cores": chance.randint(1, 9)}} | operators)
        case "handover":
            return Ask(kind, username, {"caller": chance.choice(("billing", "portal"))})
    return Ask(kind, username)


async def submit(gateway: Gateway, ask: Ask, key: str) -> str | None:
    """The same key again until it is accepted. None where it is refused at once, as a handler sees the tenant then."""
    method, path, body = ask.call
    while True:
        try:
            answer = await gateway.api.request(method, path, json=body, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            await asyncio.sleep(0.2)  # the gateway was killed
            continue
        if answer.status_code == 202:
            return str(answer.json()["job_id"])
        if answer.status_code in (404, 409):
            return None
        assert answer.status_code == 503, answer.text
        await asyncio.sleep(0.2)


async def ask_something(gateway: Gateway, chance: random.Random, username: str) -> None:
    """A query, or the plan of an offboarding: it may be answered or not, and changes nothing."""
    path = chance.choice(_QUERIES)
    try:
        if path == "dry run":
            answer = await gateway.api.delete(f"/tenants/{username}", params={"dry_run": "true"})
        else:
            answer = await gateway.api.get(path.format(username))
    except httpx.TransportError:
        return  # the gateway was killed
    assert answer.status_code in _ANSWERS, answer.text


@dataclass(slots=True)
class Life:
    """A tenant as its ended jobs leave it. `keeper`: the job whose Secret holds its password."""

    username: str
    exists: bool = False
    suspended: bool = False
    manager: str | None = None
    cpu_cores: int = 0
    keeper: str | None = None
    keepers: set[str] = field(default_factory=set)  # all that there ever were
    faults: list[str] = field(default_factory=list)

    def replay(self, job_id: str, ask: Ask, job: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """What its end says that it did."""
        if job["status"] == "failed":
            self._check_refusal(job_id, ask, job["reason"])
            return
        if not self.exists and ask.kind != "bootstrap":
            self.faults.append(f"{ask.kind} {job_id} succeeded when it was gone")
        match ask.kind:
            case "bootstrap":
                self._begin(job_id, ask, job, result)
            case "offboard":
                self.exists, self.suspended, self.manager, self.keeper = False, False, None, None
            case "suspend" | "resume":
                self.suspended = ask.kind == "suspend"
            case "password":
                self._keep(job_id)
            case "handover":
                self.manager = ask.members["caller"]
            case "repair" if self.suspended:
                self.faults.append(f"repair {job_id} succeeded when it was suspended")

    def _check_refusal(self, job_id: str, ask: Ask, reason: str) -> None:
        is_so = {"tenant_suspended": self.suspended, "tenant_not_found": not self.exists}
        if reason not in is_so or not is_so[reason]:
            self.faults.append(f"{ask.kind} {job_id} failed: {reason}")

    def _begin(self, job_id: str, ask: Ask, job: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        outcomes = {step["name"]: step["outcome"] for step in result["steps"]}
        made = [name for name in ("create_account", "add_namespace") if outcomes[name] == "created"]
        if len(made) != (0 if self.exists else 2):
            there = "was there" if self.exists else "was gone"
            self.faults.append(f"bootstrap {job_id} says that it created {made}, and the tenant {there}")
        if self.suspended:
            self.faults.append(f"bootstrap {job_id} succeeded when it was suspended")
        if not self.exists:
            self._keep(job_id)
            self.manager = job["caller"]
        self.exists, self.cpu_cores = True, ask.members["resources"]["cpu_cores"]

    def _keep(self, job_id: str) -> None:
        self.keeper = job_id
        self.keepers.add(job_id)

    def compare(self, snapshot: Snapshot) -> list[str]:
        """What the cluster says otherwise."""
        metadata = snapshot.namespaces.get(self.username, {}).get("metadata", {})
        annotations = metadata.get("annotations") or {}
        lines = [line for line in snapshot.policy.splitlines() if f"role:{self.username}" in line]
        held = {job_id for job_id in self.keepers if credentials_secret_name(job_id) in snapshot.secrets}
        enabled = snapshot.is_enabled(self.username)
        if not self.exists:
            left = {"namespace": bool(metadata), "account": enabled is not None, "lines": lines, "passwords": held}
            return [f"gone, and its {name} is there: {what}" for name, what in left.items() if what]
        wanted = orjson.loads(annotations.get(SPEC, '{"wanted": {}}'))["wanted"]
        hard = snapshot.quotas.get(self.username, {}).get("spec", {}).get("hard", {})
        seen = {
            "owner": (annotations.get(OWNER), self.username),
            "suspended": (wanted.get("suspended"), self.suspended),
            "manager": (wanted.get("managed_by"), self.manager),
            "account enabled": (enabled, not self.suspended),
            "lines in force": ({line.startswith(SUSPENSION) for line in lines}, {self.suspended}),
            "quota": (hard.get("limits.cpu"), str(self.cpu_cores)),
            "passwords": (held, {self.keeper}),
        }
        found = [f"{name} is {there}, not {meant}" for name, (there, meant) in seen.items() if there != meant]
        fault = snapshot.find_password_fault(self.username, credentials_secret_name(self.keeper or ""))
        return [*found, *([fault] if fault else [])]


def find_untrue(
    snapshot: Snapshot, asked: Mapping[str, Ask], jobs: Mapping[str, Any], results: Mapping[str, Any]
) -> list[str]:
    """What the jobs say of their tenants and the cluster does not, or another of them."""
    lives: dict[str, Life] = {}
    for job_id in sorted(asked.keys() & jobs.keys(), key=lambda one: jobs[one]["finished_at"]):
        ask = asked[job_id]
        lives.setdefault(ask.username, Life(ask.username)).replay(job_id, ask, jobs[job_id], results[job_id])
    return [f"{name}: {what}" for name, life in lives.items() for what in (*life.faults, *life.compare(snapshot))]
