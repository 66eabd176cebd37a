"""Plans of one batch read the cluster once for what they have in common."""

import asyncio

from handlers.commands.running import Command, Completed
from handlers.queries.shared_looks import KEPT_SECONDS, SharedLooks


def ran(commands: list[Command], *, batch: str, at: float = 0, exit_code: int = 0) -> list[str]:
    """The commands that were run for two batches' plans in turn, of which the second asks the same."""
    now, seen = [0.0], []

    async def run(command: Command) -> Completed:
        seen.append(command.shown)
        return Completed(command.shown, exit_code, b"", b"", False, False, "", "", 0)

    async def plan_twice() -> None:
        looks = SharedLooks(lambda: now[0])
        for one, moment in (("first", 0.0), (batch, at)):
            now[0] = moment
            look = looks.of(one, run)
            for command in commands:
                await look(command)

    asyncio.run(plan_twice())
    return seen


LOOK = Command(("kubectl", "get", "ns"))


def test_a_look_is_had_once_for_a_batch() -> None:
    assert ran([LOOK], batch="first") == ["kubectl get ns"]
    other_input = Command(LOOK.argv, stdin=b"x")
    assert ran([LOOK, other_input], batch="first") == ["kubectl get ns"] * 2, "what is put in makes another look"


def test_nothing_old_is_shown() -> None:
    """Another batch, a minute later, and what failed: each is asked again. What changes the cluster is always run."""
    assert len(ran([LOOK], batch="second")) == 2
    assert len(ran([LOOK], batch="first", at=KEPT_SECONDS)) == 2
    assert len(ran([LOOK], batch="first", exit_code=1)) == 2
    assert len(ran([Command(("kubectl", "delete", "ns"), changes=True)], batch="first")) == 2
