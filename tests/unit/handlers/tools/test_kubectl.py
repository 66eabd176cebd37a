"""kubectl's verbs: the exact commands, and what is made of their answers."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from handlers.commands.running import Command, Completed
from handlers.commands.secret import Secret
from handlers.results import StepFailed
from handlers.tools.kubectl import AlreadyExists, Changed, Kubectl


def kubectl(
    stdout: str = "{}", stderr: str = "", code: int = 0, overflowed: bool = False
) -> tuple[Kubectl, list[Command]]:
    """One whose every command ends like this, and the commands that it has run."""
    ran: list[Command] = []

    async def run(command: Command) -> Completed:
        ran.append(command)
        streams = (stdout.encode(), stderr.encode())
        return Completed(command.shown, code, *streams, False, overflowed, "", "", 0.1, command.all_secrets)

    return Kubectl(run, 60), ran


async def test_the_commands_are_exactly_these() -> None:
    """A review goes without validation: for it kubectl would list the cluster's CRDs, which a handler may not."""
    tool, ran = kubectl(json.dumps({"items": []}))
    await tool.get("ns", "alice")
    await tool.get("secret", "s", "everest-system")
    await tool.list("secret", "alice", "owner=helm")
    await tool.write(tool.to_create({"kind": "Secret"}, [Secret("pw")]))
    await tool.ask({"kind": "SelfSubjectReview"})
    await tool.ask_all([{"kind": "SelfSubjectAccessReview"}])
    await tool.carry_out(tool.to_apply("alice", "kind: X"))
    await tool.write(tool.to_patch("ns", "alice", {"metadata": {"resourceVersion": "7"}}))
    await tool.find("ns", ("name", "alice"), ("annotations.a/b", "c"))
    await tool.bind_role(tool.to_bind_role("alice", "handler", "tenant", "system:serviceaccount:x:y"))
    await tool.carry_out(tool.to_delete("secret", "s", "alice"))
    assert [command.shown for command in ran] == [
        "kubectl get ns alice -o json --ignore-not-found",
        "kubectl get secret s -n everest-system -o json --ignore-not-found",
        "kubectl get secret -n alice -l owner=helm -o json",
        "kubectl create -f -",
        "kubectl create -f - -o json --validate=false",
        "kubectl create -f - -o json --validate=false",
        "kubectl apply -n alice -f -",
        "kubectl patch ns alice --type=merge --patch-file=/dev/stdin",
        "kubectl get ns -o "
        """'jsonpath={.items[?(@.metadata.name=="alice")]}{.items[?(@.metadata.annotations.a/b=="c")]}'""",
        "kubectl create rolebinding handler -n alice --clusterrole=tenant --user=system:serviceaccount:x:y",
        "kubectl delete secret s -n alice --wait=false --ignore-not-found",
    ]
    assert ran[3].secrets == (Secret("pw"),)


async def test_absence_is_not_a_failed_look() -> None:
    assert await kubectl("")[0].get("ns", "alice") is None
    with pytest.raises(StepFailed, match="cluster_unreachable"):
        await kubectl("", "connect: connection refused", 1)[0].get("ns", "alice")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"stdout": '{"items": [1', "overflowed": True}, "printed more than is read"),
        ({"stdout": '{"items": [1'}, "printed no JSON"),
        ({"stdout": "[]"}, "printed no object"),
    ],
)
async def test_half_an_answer_is_never_used(answer: dict[str, Any], words: str) -> None:
    with pytest.raises(StepFailed, match=words):
        await kubectl(**answer)[0].list("secret", "alice")


async def test_what_a_look_at_secrets_printed_is_not_kept() -> None:
    """Nobody knows what to mask in it."""
    tool, _ = kubectl('{"data": {"password": "c2VjcmV0"}}', "Error from server (Forbidden): no", 1)
    with pytest.raises(StepFailed) as failed:
        await tool.get("secret", "s", "alice")
    assert failed.value.deciding is not None
    assert failed.value.deciding.stdout == b""


async def write(tool: Kubectl, make: Callable[[Kubectl], Command]) -> None:
    await tool.write(make(tool))


async def test_who_was_faster_is_told_apart_from_a_failure() -> None:
    exists = 'Error from server (AlreadyExists): error when creating "STDIN": secrets "s" already exists'
    with pytest.raises(AlreadyExists):
        await write(kubectl("", exists, 1)[0], lambda tool: tool.to_create({}))
    changed = "Error from server (Conflict): the object has been modified"
    with pytest.raises(Changed):
        await write(kubectl("", changed, 1)[0], lambda tool: tool.to_patch("ns", "alice", {}))
    bound = 'error: failed to create rolebinding: rolebindings "handler" already exists'
    tool, _ = kubectl("", bound, 1)
    binding = tool.to_bind_role("alice", "handler", "tenant", "me")
    await tool.bind_role(binding)
    with pytest.raises(StepFailed, match="forbidden"):
        await kubectl("", "Error from server (Forbidden): no", 1)[0].bind_role(binding)
