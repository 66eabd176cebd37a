"""What the versions of everestctl and of the server allow together: golden cases."""

import pytest

from handlers.commands.running import Command, Completed
from handlers.results import StepFailed
from handlers.tools.compatibility import Versions, find_difference, find_missing_charts, find_unsupported
from handlers.tools.everestctl import Everestctl


@pytest.mark.parametrize(
    ("client", "server", "needed"),
    [
        ("v1.10.0", "v1.16.1", "1.16.1"),
        ("v1.12.0", "v1.14.0", "1.14.0"),
        ("v1.13.0", "v1.14.2", "1.14.2"),
        ("v1.16.2", "v1.10.0", "1.10.0"),
        ("v1.14.0", "v1.13.0", "1.13.0"),
        ("v1.12.0", "v1.13.1", "1.14.0"),  # the last 1.13 is in the new repository alone
        ("v1.16.2", "v1.13.1", None),
        ("v1.10.0", "v1.13.0", None),
        ("v1.16.2", "v1.14.0", None),
        ("v1.10.0", "v1.10.3", None),
        ("0.0.0-dev", "v1.16.1", None),
        ("v1.10.0", "0.0.0", None),
    ],
)
def test_operators_need_an_everestctl_of_the_servers_side(client: str, server: str, needed: str | None) -> None:
    failure = find_missing_charts(Versions(client, server))
    if needed is None:
        assert failure is None
        return
    assert failure is not None
    assert failure.code == "unsupported_version"
    assert failure.hint == f"Build the handlers' image with EVERESTCTL_VERSION={needed}."
    assert client in failure.message
    assert server in failure.message


@pytest.mark.parametrize(
    ("client", "server", "is_said"),
    [("v1.16.2", "v1.16.1", False), ("v1.10.0", "v1.11.0", True), ("0.0.0", "v1.11.0", False)],
)
def test_another_minor_version_is_worth_a_warning(client: str, server: str, is_said: bool) -> None:
    assert (find_difference(Versions(client, server)) is not None) == is_said


@pytest.mark.parametrize(
    ("client", "server", "code"),
    [
        ("v1.16.2", None, "everest_not_installed"),
        ("v2.0.0-dev.1", "v1.16.1", "unsupported_version"),
        ("v1.16.2", "2.0.0-dev.4", "unsupported_version"),
        ("v1.16.2", "v1.4.0", None),
    ],
)
def test_no_everest_and_another_major_version_are_refused(client: str, server: str | None, code: str | None) -> None:
    failure = find_unsupported(Versions(client, server))
    assert (failure and failure.code) == code


def everestctl(client: str, stdout: str = "", stderr: str = "", code: int = 0) -> Everestctl:
    """One whose `version` ends like this, and whose `version --client-only` names it."""

    async def run(command: Command) -> Completed:
        alone = f"ProjectName: everestctl\nVersion: {client}\nFullCommit: 4ebf\n"
        answer = (0, alone, "") if "--client-only" in command.argv else (code, stdout, stderr)
        return Completed(command.shown, answer[0], answer[1].encode(), answer[2].encode(), False, False, "", "", 0.1)

    return Everestctl(run, 60)


@pytest.mark.parametrize(
    ("stdout", "stderr", "code"),
    [
        ("", "❌ could not discover OpenEverest namespace\n", 1),
        ("", "connect: connection refused\n", 1),
        ("Version: v2.0.0-dev.1\n", "", 0),
    ],
)
async def test_everestctl_2_is_refused_whatever_it_says(stdout: str, stderr: str, code: int) -> None:
    with pytest.raises(StepFailed) as failed:
        await everestctl("v2.0.0-dev.1", stdout, stderr, code).read_versions()
    assert failed.value.failure.code == "unsupported_version"
    assert failed.value.failure.message == "everestctl is v2.0.0-dev.1; 1.x is supported."


async def test_what_an_everestctl_1_says_is_kept() -> None:
    with pytest.raises(StepFailed, match="cluster_unreachable"):
        await everestctl("v1.16.2", "", "connect: connection refused\n", 1).read_versions()
    said = "ProjectName: everestctl\nVersion: v1.16.2\nFullCommit: 4ebf\nServerVersion: v1.16.1\n"
    assert await everestctl("v1.16.2", said).read_versions() == Versions("v1.16.2", "v1.16.1")
