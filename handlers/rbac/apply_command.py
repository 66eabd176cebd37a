"""The command of EVEREST_RBAC_APPLY_CMD: handed the lines to put in and the lines to take out, in private files."""

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, Self

from contracts.codes import CODES, Failure, Nature
from handlers.commands.outputs import clean
from handlers.commands.running import Command, Completed
from handlers.decisions import Decision
from handlers.preflight.rights import Right, policy_rights
from handlers.rbac.import_lock import WAITED
from handlers.results import RunCommand, StepFailed
from handlers.tools.failures import explain, find_reason

_OF_STEPS = (Nature.PERMANENT, Nature.TRANSIENT, Nature.INFRASTRUCTURE)
_IMPORTS = ("everest-rbac-import", "handlers.rbac_import")
_FILES = ("policy.csv", "withdraw.csv")
_OF_FILES = ("--file", "--withdraw", "{file}", "{withdraw}")
_MOST_WAITS = 100  # for the imports of other handlers on this machine


class Change(NamedTuple):
    """What is to become of the policy, in one write: `lines` put in, made comments, or made lines again; others go.

    `withdrawn`: what goes. With `--resume` that is what kept the tenant's role valid meanwhile.
    """

    lines: str = ""
    withdrawn: str = ""
    flag: Literal["--file", "--suspend", "--resume"] = "--file"


@dataclass(frozen=True, slots=True)
class ApplyCommand:
    words: tuple[str, ...]
    runner: RunCommand
    time_limit_seconds: float

    @classmethod
    def read(cls, template: str | None, runner: RunCommand, time_limit_seconds: float) -> Self | None:
        """Split as a shell would, and run without one. None where none is set. Raises StepFailed."""
        if not (template or "").strip():
            return None
        try:
            return cls(tuple(shlex.split(template or "")), runner, time_limit_seconds)
        except ValueError as error:
            reason = f"EVEREST_RBAC_APPLY_CMD cannot be split: {error}"
            raise StepFailed(Failure("rbac_command_failed", reason)) from None

    @property
    def is_import(self) -> bool:
        return any(os.path.basename(word) in _IMPORTS for word in self.words)

    @property
    def can_withdraw(self) -> bool:
        return self.is_import or any("{withdraw}" in word for word in self.words)

    async def run(self, change: Change) -> Completed:
        """Raises StepFailed. Waiting for other imports is no failure: the command is run again."""
        with _private_files(change.lines, change.withdrawn) as paths:
            return await self._repeat(self._to_run(change, *paths))

    async def try_out(self, change: Change) -> Completed:
        """The dry run of everest-rbac-import: the policy changed and judged, and nothing written. Raises StepFailed."""
        with _private_files(change.lines, change.withdrawn) as paths:
            command = self._to_run(change, *paths)
            return await self._repeat(replace(command, argv=(*command.argv, "--dry-run"), changes=False))

    def show(self, change: Change) -> Command:
        """As it would be run, the files without their folder."""
        return self._to_run(change, *map(Path, _FILES))

    def _to_run(self, change: Change, lines: Path, withdrawn: Path) -> Command:
        argv = self._resolve(change, lines, withdrawn)
        return Command(argv, time_limit_seconds=self.time_limit_seconds, changes=True)

    async def _repeat(self, command: Command) -> Completed:
        for _ in range(_MOST_WAITS):
            completed = await self.runner(command)
            if not (self.is_import and completed.exit_code == WAITED):
                break
        if completed.exit_code != 0:
            raise StepFailed(_explain(completed), completed)
        return completed

    def _resolve(self, change: Change, lines: Path, withdrawn: Path) -> tuple[str, ...]:
        """`{withdraw}` is an empty file where nothing is to be taken out."""
        if change.flag != "--file":  # of everest-rbac-import alone, without the files that it is given elsewhere
            words = [word for word in self.words if not any(mark in word for mark in _OF_FILES)]
            words += [change.flag, str(lines)]
        else:
            words = [word.replace("{file}", str(lines)) for word in self.words]
            if words == list(self.words):
                words += ["--file", str(lines)]
        if change.withdrawn and self.is_import and not any("{withdraw}" in word for word in words):
            words += ["--withdraw", str(withdrawn)]
        return tuple(word.replace("{withdraw}", str(withdrawn if change.withdrawn else os.devnull)) for word in words)

    def read_enforced(self, completed: Completed) -> bool | None:
        """What everest-rbac-import says; None from a command that does not tell."""
        said = completed.stdout.decode(errors="replace").splitlines()
        return True if "rbac_enforced=true" in said else False if "rbac_enforced=false" in said else None


@dataclass(frozen=True, slots=True)
class PolicyWrite:
    """What a step would have done to the policy; no `command` where nothing is to be done to it."""

    command: ApplyCommand | None
    change: Change

    @property
    def shown(self) -> tuple[Command, ...]:
        return (self.command.show(self.change),) if self.command else ()

    @property
    def rights(self) -> tuple[Right, ...]:
        return policy_rights() if self.command and self.command.is_import else ()

    async def carry_out(self) -> Completed | None:
        """Raises StepFailed."""
        return await self.command.run(self.change) if self.command else None

    async def try_out(self, decision: Decision) -> Decision:
        """By everest-rbac-import alone, others have no dry run; the decision stays as it is. Raises StepFailed."""
        if self.command and self.command.is_import:
            await self.command.try_out(self.change)
        return decision

    def read_enforced(self, completed: Completed | None) -> bool | None:
        """Whether Everest obeys the policy, as the command says."""
        return self.command.read_enforced(completed) if self.command and completed else None


@contextmanager
def _private_files(*texts: str) -> Iterator[list[Path]]:
    """Nobody else may read them, and they are gone afterwards, also when the step is cut. Raises StepFailed."""
    folder = None
    try:
        try:
            folder = Path(tempfile.mkdtemp(prefix="everest-bootstrap-"))  # mode 0700
            paths = [_write_private(folder / name, text) for name, text in zip(_FILES, texts, strict=True)]
        except OSError as error:
            reason = f"The policy's temporary file cannot be written: {error.strerror or error}."
            raise StepFailed(Failure("no_scratch_space", reason)) from error
        yield paths
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _write_private(path: Path, text: str) -> Path:
    with open(path, "x", opener=_open_private) as file:
        file.write(text)
    return path


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _explain(completed: Completed) -> Failure:
    """everest-rbac-import names the code; of another command only outages and conflicts are known for sure."""
    stderr = clean(completed.stderr)
    word, _, rest = stderr.partition(": ")
    code, _, message = rest.partition(": ")
    if word == "error" and code in CODES and CODES[code].nature in _OF_STEPS:
        reason, _, hint = message.partition("\nhint: ")
        return Failure(code, reason.strip(), hint.strip().partition("\n")[0])
    known = explain(completed)
    if known.nature in (Nature.INFRASTRUCTURE, Nature.TRANSIENT):
        return known
    reason = find_reason(stderr) or f"exit code {completed.exit_code}"
    return Failure("rbac_command_failed", f"`{completed.command}` failed: {reason}")
