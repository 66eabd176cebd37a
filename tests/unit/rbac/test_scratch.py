"""Where no temporary file can be written, nothing is tried: jobs wait, as for any other fault of the surroundings."""

import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from contracts.codes import Nature
from handlers.commands.running import Command, Completed
from handlers.rbac.apply_command import ApplyCommand, Change
from handlers.rbac.import_commands import ImportCommands, Refused
from handlers.results import StepFailed


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow: what a full disk does to it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def never(_: Command) -> Completed:
    raise AssertionError("a command was run without its policy")


async def test_the_step_waits_for_space() -> None:
    command = ApplyCommand.read("apply {file}", never, 1)
    assert command is not None
    with full_disk(), pytest.raises(StepFailed) as failed:
        await command.run(Change("p, a, b, c, d\n"))
    assert failed.value.failure.code == "no_scratch_space"
    assert failed.value.failure.nature is Nature.INFRASTRUCTURE


def test_the_import_waits_for_space() -> None:
    with full_disk(), pytest.raises(Refused) as refused:
        ImportCommands({}, 1e12).validate("p, a, b, c, d\n")
    assert refused.value.failure.code == "no_scratch_space"


async def test_without_a_folder_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/none")
    command = ApplyCommand.read("apply {file}", never, 1)
    assert command is not None
    with pytest.raises(StepFailed) as failed:
        await command.run(Change("p, a, b, c, d\n"))
    with pytest.raises(Refused) as refused:
        ImportCommands({}, 1e12).validate("p, a, b, c, d\n")
    assert failed.value.failure.code == refused.value.failure.code == "no_scratch_space"
