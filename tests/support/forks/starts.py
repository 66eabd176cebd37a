"""Asking for a fork, and what is known of it: the part of asyncio's Process that tests use."""

import asyncio
import atexit
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LIMIT_SECONDS = 300  # generous: a machine may be busy with much else
MOST_BYTES = 65536  # of a request
# A grandchild: who counts the children of a test's own process finds none that the test has not made.
_PROGRAM = """
import os, runpy, sys
os.chdir(sys.argv[1])
if os.fork() == 0:
    runpy.run_module("tests.support.forks", run_name="__main__")
"""


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    stdout: str
    stderr: str


class Fork:
    """A running program; `returncode` as asyncio.subprocess.Process has it."""

    def __init__(self, news: socket.socket, pid: int) -> None:
        self._news = news
        self._status: int | None = None
        self.pid = pid

    def __del__(self) -> None:
        self._news.close()  # of one whose end nobody looked at

    @property
    def returncode(self) -> int | None:
        if self._status is None:
            try:
                self._status = int(json.loads(self._news.recv(64))["status"])
            except BlockingIOError:
                return None
            self._news.close()
        return self._status

    async def wait(self) -> int:
        while (status := self.returncode) is None:
            await _readable(self._news)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # its end is about to be told
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def start_fork(
    module: str,
    *arguments: str,
    environment: Mapping[str, str],
    stdout: int,
    stderr: int = 2,
    is_leader: bool = False,
) -> Fork:
    """`python -m module arguments` at the root of the checkout; `stdout` and `stderr` are open files.

    `is_leader`: of a session of its own.
    """
    request = {"module": module, "arguments": arguments, "environment": dict(environment), "is_leader": is_leader}
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        descriptors = [stdout, stderr, theirs.fileno()]
        socket.send_fds(_preloaded(), [json.dumps(request).encode()], descriptors)
    ours.setblocking(False)
    try:
        await _readable(ours)
        return Fork(ours, int(json.loads(ours.recv(64))["pid"]))
    except BaseException:
        _abandon(ours)
        raise


async def run_fork(module: str, *arguments: str, environment: Mapping[str, str]) -> Ended:
    """The same to its end."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        fork = await start_fork(
            module, *arguments, environment=environment, stdout=stdout.fileno(), stderr=stderr.fileno()
        )
        try:
            code = await asyncio.wait_for(fork.wait(), LIMIT_SECONDS)
        finally:
            fork.kill()
        stdout.seek(0)
        stderr.seek(0)
        return Ended(code, stdout.read().decode(), stderr.read().decode())


def _abandon(news: socket.socket) -> None:
    """A fork that has told its pid is killed; one that cannot any more ends by itself."""
    with news, contextlib.suppress(BlockingIOError):
        os.kill(int(json.loads(news.recv(64))["pid"]), signal.SIGKILL)


@cache
def _preloaded() -> socket.socket:
    """The way to the process that forks, which ends when we do."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        argv = [sys.executable, "-c", _PROGRAM, str(ROOT)]
        streams = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)]
        os.waitpid(os.posix_spawn(sys.executable, argv, os.environ, file_actions=streams, setsid=True), 0)
    atexit.register(ours.close)
    return ours


async def _readable(news: socket.socket) -> None:
    """Of a descriptor of its own, so that several may wait."""
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=os.dup(news.fileno())) as watched:
        ready = asyncio.Event()
        loop.add_reader(watched, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(watched)
