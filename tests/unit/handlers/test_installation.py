"""What an installation waits for is read with rights that it needs itself."""

from collections.abc import Sequence

import pytest

from handlers.bootstrap.installation import see_installation
from handlers.commands.running import Command, Completed
from handlers.preflight.rights import tenant_rights

CSV = "percona-postgresql-operator.v2.7.0"
JOB = "Job\teverest-operators-installer"
SUBSCRIPTION = "Subscription\tpercona-postgresql-operator"
SERVICE = f"ClusterServiceVersion\t{CSV}"


async def see(lines: Sequence[str], exit_code: int = 0) -> tuple[tuple[str, ...], list[Command]]:
    """The states of the installer and of one operator, and the commands that told."""
    ran: list[Command] = []

    async def run(command: Command) -> Completed:
        ran.append(command)
        printed = "".join(f"{line}\n" for line in lines).encode()
        return Completed(command.shown, exit_code, printed, b"", False, False, "", "", 0)

    seen = await see_installation("alice", frozenset({"postgresql"}), run)
    assert [(one.what, one.name) for one in seen] in (
        [],
        [("installer", "everest-operators-installer"), ("operator", "postgresql")],
    )
    return tuple(one.state for one in seen), ran


@pytest.mark.parametrize(
    ("lines", "states"),
    [
        ((), ("absent", "absent")),
        ((f"{JOB}\t\t\t\t\t",), ("waiting", "absent")),
        ((f"{JOB}\t\t\t1\t\t", f"{SUBSCRIPTION}\t\t\t\t\t"), ("running", "subscribed")),
        ((f"{JOB}\t\t\t1\t\t", f"{SUBSCRIPTION}\t{CSV}\t\t\t\t"), ("running", "subscribed")),
        (
            (f"{JOB}\t\t\t1\t\t", f"{SUBSCRIPTION}\t{CSV}\t\t\t\t", f"{SERVICE}\t\tInstalling\t\t\t"),
            ("running", "Installing"),
        ),
        (
            (f"{JOB}\t\t\t\t1\t", f"{SUBSCRIPTION}\t{CSV}\t\t\t\t", f"{SERVICE}\t\tSucceeded\t\t\t"),
            ("succeeded", "Succeeded"),
        ),
        ((f"{JOB}\t\t\t\t\tTrue",), ("failed", "absent")),
        ((f"{SERVICE}\t\tSucceeded\t\t\t", "Job\tsomebody-elses\t\t\t1\t\t"), ("absent", "absent")),
    ],
)
async def test_each_part_is_told_as_far_as_it_is(lines: tuple[str, ...], states: tuple[str, ...]) -> None:
    assert (await see(lines))[0] == states


async def test_what_cannot_be_read_is_not_told() -> None:
    """A part of the answer would say `absent` of what is there."""
    assert (await see((f"{JOB}\t\t\t1\t\t",), exit_code=1))[0] == ()


async def test_it_needs_no_right_of_its_own() -> None:
    _, (command,) = await see(())
    kinds = str(command.argv[2]).split(",")
    listed = {
        f"{right.resource}.{right.group}"
        for right in tenant_rights("alice")
        if right.verb == "list" and not right.is_optional
    }
    assert set(kinds) <= listed
    assert not command.changes
