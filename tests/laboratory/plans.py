"""Whether a plan says what the job then does: random states of a cluster, jobs of all kinds planned and then run.

`python -m tests.laboratory.plans [STATES] [SEED]` prints a line for each state, and how many were as planned.
"""

import asyncio
import json
import random
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.records import Outcome
from handlers.tenants.access import first_lines
from handlers.tenants.claims import JOB, LABEL, OWNER, SPEC
from tests.simulator import SimulatedEverest
from tests.support.clusters import open_cluster
from tests.support.workflows import RBAC_IMPORT, Attempt, Bench, open_bench

# All kinds of objects that a bootstrap may write.
_KINDS = (
    "namespaces,secrets,configmaps,resourcequotas,limitranges,rolebindings.rbac.authorization.k8s.io,"
    "subscriptions.operators.coreos.com"
)
_OUTCOMES = {  # of the job's step, by the words of the plan
    "would create": {Outcome.CREATED, Outcome.APPLIED},
    "would update": {Outcome.UPDATED, Outcome.APPLIED, Outcome.UNCHANGED},  # unchanged but for the claim's text
    "would remove": {Outcome.REMOVED},
    "would apply": {Outcome.APPLIED},
    "would verify": {Outcome.VERIFIED, Outcome.UNVERIFIED},
    "unchanged": {Outcome.UNCHANGED, Outcome.APPLIED},
    "skipped": {Outcome.SKIPPED},
}


@dataclass(slots=True)
class State:
    """A tenant-to-be in a cluster. `earlier` are jobs that ran before."""

    username: str
    request: dict[str, Any]
    kind: str = "bootstrap"
    traits: list[str] = field(default_factory=list)
    manifests: list[dict[str, Any]] = field(default_factory=list)
    lines: tuple[str, ...] = ()
    has_account: bool = False  # made by hand; where earlier jobs ran, in the place of theirs
    earlier: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    is_bound: bool = False

    @property
    def namespace(self) -> str:
        return self.username.replace("plan", "plan-")


@dataclass(frozen=True, slots=True)
class Trial:
    """A state, its plan, and what the job did; `differences` are empty where both are the same."""

    state: State
    plan: dict[str, Any]
    differences: list[str]


def draw_state(seed: int) -> State:
    """The same seed is the same state."""
    chance = random.Random(seed)
    username = f"plan{seed}"
    state = State(username, {"username": username, "namespace": f"plan-{seed}"})
    for draw in (_draw_request, _draw_namespace, _draw_account, _draw_policy, _draw_handler, _draw_kind):
        draw(chance, state)
    return state


def _draw_request(chance: random.Random, state: State) -> None:
    if operators := chance.choice(([], [], ["postgresql"], ["mongodb"], ["postgresql", "mongodb"])):
        state.request["operators"] = dict.fromkeys(operators, True)
    if chance.random() < 0.4:
        state.request["resources"] = {"ram_mb": chance.choice((1024, 4096)), "disk_gb": chance.choice((10, 50))}
    if chance.random() < 0.3:
        state.request["role"] = chance.choice(("viewer", "owner", "nobody-knows"))
    if chance.random() < 0.2:
        state.request |= {"account": False, "subjects": ["a team", f"{state.username}-group"]}
    if chance.random() < 0.4:
        state.request["take_ownership"] = True


def _draw_namespace(chance: random.Random, state: State) -> None:
    there = chance.choice(("absent", "absent", "again", "again", "changed", "first", "foreign", "another", "suspended"))
    state.traits.append(there)
    if there in ("again", "changed"):
        first = {**state.request, "role": "developer"} | ({} if there == "again" else _draw_other(chance))
        state.earlier.append(("bootstrap", first))
    if there == "again" and chance.random() < 0.7:
        state.request["role"] = "developer"
    if there in ("first", "another"):
        owner = state.username if there == "first" else "somebody_else"
        state.manifests.append(_namespace(state.namespace, {OWNER: owner, JOB: "an-earlier-job"}))
    if there == "suspended":
        wanted = {"role": "developer", "subjects": [state.username], "managed_by": "tests", "suspended": True}
        spec = json.dumps({"version": 1, "generation": 3, "wanted": wanted})
        claim = {OWNER: state.username, JOB: "an-earlier-job", SPEC: spec}
        state.manifests.append(_namespace(state.namespace, claim))
    if there == "foreign":
        state.manifests.append(_namespace(state.namespace, {}))
    if state.manifests and chance.random() < 0.4:
        state.traits.append("quota")
        state.manifests.append(_quota(state.namespace, chance.choice(("2", "7"))))
    if state.manifests and chance.random() < 0.3:
        state.traits.append("stuck release")
        state.manifests.append(_release(state.namespace, "pending-install"))


def _draw_other(chance: random.Random) -> dict[str, Any]:
    return chance.choice(({"role": "owner"}, {"resources": {"disk_gb": 99}}, {"operators": {}}))


def _draw_account(chance: random.Random, state: State) -> None:
    if chance.random() < (0.15 if state.earlier else 0.3):
        state.traits.append("account anew" if state.earlier else "account")
        state.has_account = True


def _draw_policy(chance: random.Random, state: State) -> None:
    right = f"p, role:{state.username}, database-clusters, *, elsewhere/*"
    choices: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("", ()),
        ("", ()),
        ("ours", first_lines(state.username, state.namespace)),
        ("foreign role", (right, f"g, somebody, role:{state.username}")),
        ("name's rights", (f"p, {state.username}, database-clusters, read, */*",)),
    )
    trait, state.lines = chance.choice(choices)
    state.traits += [trait] if trait else []


def _draw_handler(chance: random.Random, state: State) -> None:
    if chance.random() < 0.1:
        state.traits.append("no command")
        state.settings["EVEREST_RBAC_APPLY_CMD"] = ""
    if chance.random() < 0.1:
        state.traits.append("bound caller")
        state.is_bound = True


def _draw_kind(chance: random.Random, state: State) -> None:
    """What is asked of a tenant who is there, mostly."""
    kind = chance.choice(("bootstrap", "bootstrap", "offboard", "suspend", "resume", "password", "repair"))
    if kind == "bootstrap" or not (state.earlier or state.manifests):
        return
    state.kind = kind
    if state.earlier and (kind == "resume" or chance.random() < 0.2):
        state.traits.append("suspended by a job")
        state.earlier.append(("suspend", {"username": state.username}))
    members = {"offboard": ("namespace",), "repair": ("namespace",)}.get(kind, ())
    state.request = {"username": state.username} | {name: state.request[name] for name in members}
    if kind == "offboard" and chance.random() < 0.5:
        state.request |= {"confirm": state.request["namespace"], "delete_account": chance.random() < 0.5}


def _namespace(name: str, annotations: dict[str, str]) -> dict[str, Any]:
    labels = {"name": name} | ({LABEL: "true"} if SPEC in annotations else {})
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
    }


def _quota(name: str, cpu: str) -> dict[str, Any]:
    metadata = {"name": "user-quota", "namespace": name}
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": metadata,
        "spec": {"hard": {"limits.cpu": cpu}},
    }


def _release(name: str, status: str) -> dict[str, Any]:
    labels = {"owner": "helm", "name": name, "status": status, "version": "1"}
    metadata = {"name": f"sh.helm.release.v1.{name}.v1", "namespace": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", "metadata": metadata}


async def bring_about(everest: SimulatedEverest, bench: Bench, state: State) -> None:
    """Makes the cluster be so."""
    if state.manifests:
        await everest.create(*state.manifests)
    for number, (kind, request) in enumerate(state.earlier):
        await bench.attempt(f"{state.username}-earlier-{number}", kind=kind, **request)
    if state.has_account:
        if state.earlier:
            await everest.run("everestctl", "accounts", "delete", "-u", state.username)
        await _must(everest, "everestctl", "accounts", "create", "-u", state.username, "-p", "Their_own_pw1")
    if state.lines:
        found = await everest.get("configmap", "everest-rbac", "-n", "everest-system")
        found["data"]["policy.csv"] += "".join(f"{line}\n" for line in state.lines)
        await everest.replace(found)


async def _must(everest: SimulatedEverest, *argv: str, stdin: str = "") -> None:
    code, _, stderr = await everest.run(*argv, stdin=stdin)
    assert code == 0, stderr


async def read_versions(everest: SimulatedEverest) -> dict[tuple[str, ...], str]:
    """The resourceVersion of every object that a bootstrap may write."""
    found = await everest.get(_KINDS, "-A")
    return {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one["metadata"]["resourceVersion"]
        for one in found["items"]
    }


async def try_state(everest: SimulatedEverest, bench: Bench, state: State) -> Trial:
    """Plans, runs, and compares. The job runs once, without the retries of a handler."""
    await bring_about(everest, bench, state)
    caller = "another" if state.is_bound else "tests"
    handler = bench.having(**state.settings).called_by(caller, is_bound=state.is_bound)
    before = await read_versions(everest)
    plan = await handler.plan(kind=state.kind, **state.request)
    planned = await read_versions(everest)
    made = await handler.attempt(f"{state.username}-job", kind=state.kind, **state.request)
    after = await read_versions(everest)
    differences = ["the plan changed something"] if planned != before else []
    return Trial(state, plan, differences + compare(plan, made, changed=after != before))


def compare(plan: dict[str, Any], made: Attempt, *, changed: bool) -> list[str]:
    """How the job was another than its plan."""
    differences = []
    steps = {step["name"]: step for step in plan["steps"]}
    refused = [(name, step["error"]["code"]) for name, step in steps.items() if step["error"]]
    failed = [(made.failed_step, made.code)] if made.failure else []
    if refused != failed:
        differences.append(f"planned {refused or 'no refusal'}, and got {failed or 'none'}")
    if (plan["would"] == "fail") != bool(failed):
        differences.append(f"would {plan['would']}, and failed: {failed}")
    if not failed and changed != (plan["would"] == "change"):
        differences.append(f"would {plan['would']}, and something changed: {changed}")
    for name, result in made.results.items():
        outcome = steps[name]["outcome"] if name in steps else "absent"
        if result.outcome not in _OUTCOMES.get(outcome, ()):
            differences.append(f"{name} {outcome}, and was {result.outcome}")
    commands = [command for step in plan["steps"] for command in step["commands"]]
    ran = [_normalize(command.shown) for command in made.commands if command.changes]
    if commands != ran:
        differences.append(f"planned {commands}, and ran {ran}")
    return differences


def _normalize(command: str) -> str:
    """Without the folder of the import's files, which is another each time."""
    words = command.split() if command.startswith(RBAC_IMPORT) else []
    return " ".join(Path(word).name if word.startswith("/") and n > 2 else word for n, word in enumerate(words)) or (
        command
    )


def describe(trial: Trial) -> str:
    state, plan = trial.state, trial.plan
    wanted = ",".join(f"{name}={_short(value)}" for name, value in state.request.items() if name not in _NAMES)
    outcomes = "; ".join(step["outcome"] for step in plan["steps"])
    verdict = "as planned" if not trial.differences else "NOT AS PLANNED: " + " | ".join(trial.differences)
    head = f"{state.username:8} {state.kind:9} {' + '.join(state.traits):36} {wanted:60.60} {plan['would']:8}"
    return f"{head} {outcomes}\n  {verdict}"


_NAMES = ("username", "namespace")


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "/".join(f"{name}" if part is True else f"{name}:{part}" for name, part in value.items())
    return str(value)


async def main(states: int, seed: int) -> int:
    """Prints the table. Gives the exit code."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        async with open_cluster(Path(folder), job_seconds=0.05) as everest, open_bench(everest.variables) as bench:
            for number in range(seed, seed + states):
                trial = await try_state(everest, bench, draw_state(number))
                wrong += bool(trial.differences)
                print(describe(trial), flush=True)
    print(f"{states - wrong} of {states} states: the job did what its plan had said.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*(int(word) for word in [*sys.argv[1:], "100", "0"][:2]))))
