"""What would be lost with a namespace: each workload is named once, by whoever is at its top."""

import asyncio
import json
from typing import Any

from handlers.commands.running import Command, Completed
from handlers.offboarding.contents import look_into
from handlers.tools.kubectl import Kubectl

APPS = "apps/v1"


def held(kind: str, name: str, *, api: str = APPS, owner: tuple[str, str] | None = None) -> dict[str, Any]:
    owners = [{"apiVersion": owner[0], "kind": owner[1], "name": "one", "uid": "1"}] if owner else []
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "ownerReferences": owners}}


def see(*objects: dict[str, Any]) -> tuple[str, ...]:
    """As a namespace that holds these: only kinds that are asked for are answered."""

    async def run(command: Command) -> Completed:
        asked = {kind.partition(".")[0] for kind in ",".join(map(str, command.argv)).split(",")}
        items = [one for one in objects if f"{one['kind'].lower()}s" in asked]
        return Completed(command.shown, 0, json.dumps({"items": items}).encode(), b"", False, False, "", "", 0)

    return asyncio.run(look_into(Kubectl(run, 60), "alice")).all


def test_the_pods_of_a_rollout_are_a_loss() -> None:
    """Its ReplicaSets own them, and no Deployment is there to be named instead; nor of ReplicaSets by themselves."""
    rollout = held("ReplicaSet", "web-5d", owner=("argoproj.io/v1alpha1", "Rollout"))
    pods = [held("Pod", f"web-5d-{n}", api="v1", owner=(APPS, "ReplicaSet")) for n in range(2)]
    assert see(rollout, *pods) == ("ReplicaSet/web-5d",)
    assert see(held("ReplicaSet", "bare"), *pods) == ("ReplicaSet/bare",)


def test_a_deployment_is_named_and_its_replica_sets_are_not() -> None:
    assert see(
        held("Deployment", "web"),
        held("ReplicaSet", "web-5d", owner=(APPS, "Deployment")),
        held("Pod", "web-5d-1", api="v1", owner=(APPS, "ReplicaSet")),
    ) == ("Deployment/web",)
