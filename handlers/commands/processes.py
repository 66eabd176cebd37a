"""The one place where a handler starts processes: its guard, the guard's commands, and what a console script runs.

Standard library only, and little of it: the guard imports this module too.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from errno import ENOENT, ENOTDIR
from functools import cache

TYPE_CHECKING = False  # as in `typing`, whose import would make the guard larger
if TYPE_CHECKING:
    import subprocess
    from typing import NoReturn

_SOURCE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# `-I` leaves the source root out of sys.path. It goes to the end, where nothing of it can shadow the standard library.
_GUARD_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from handlers.commands.guard import main; main()"

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Python ignores the first two and the guard the others; a program that is started expects the defaults.
SIGNALS_TO_RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ExecutableMissing(Exception):
    """There is no program of this name on the child's PATH, or its interpreter is not there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was not found. Install it, or put its folder on the handler's PATH.")
        self.name = name


class ExecutableUnusable(Exception):
    """A program of this name is there, but cannot be run: not executable, or built for another machine."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} cannot be run: {reason}. Check its mode and that it is built for this machine.")
        self.name = name


def find_executable(name: str, environment: Mapping[str, str]) -> str:
    """The path of the program as the child's own PATH has it. Raises ExecutableMissing, ExecutableUnusable."""
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    candidates = [name] if os.sep in name else [os.path.join(folder or os.curdir, name) for folder in folders]
    unusable = None
    for path in candidates:
        if not os.path.isfile(path):
            continue
        if os.access(path, os.X_OK):
            return path
        unusable = path
    if unusable:
        raise ExecutableUnusable(name, f"{unusable} is not executable for this user")
    raise ExecutableMissing(name)


def spawn(path: str, argv: list[str], environment: Mapping[str, str], stdin: int) -> int:
    """Starts a program as leader of a new session and gives its pid. It says nothing on stdout. Raises OSError.

    Its working directory and its stderr are the caller's.
    """
    actions = ((os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_RDWR, 0))
    # vfork underneath: the cost does not grow with the caller's memory.
    return os.posix_spawn(
        path, argv, environment, file_actions=actions, setsid=True, setsigmask=(), setsigdef=SIGNALS_TO_RESET
    )


def spawn_bound(
    path: str, argv: list[str], environment: Mapping[str, str], stdin: int | None, stdout: int, stderr: int
) -> int:
    """The same with all of its streams, for a program that the kernel kills when the caller dies (Linux only).

    The caller handles SIGNALS_TO_RESET, so that exec resets them. Raises OSError.

    A fork, for nothing else lets the child ask for that: cheap from the guard, which is small and has one thread. What
    the child does before exec is the least: each page that it touches is copied first.
    """
    prctl, parent = load_prctl(), os.getpid()
    failed, failing = os.pipe()
    try:
        try:
            pid = os.fork()
            if pid == 0:
                _become(path, argv, environment, (stdin, stdout, stderr), prctl, parent, failing)
        finally:
            os.close(failing)
        reason = os.read(failed, 16)  # until exec has closed the other end
    finally:
        os.close(failed)
    if reason:
        os.waitpid(pid, 0)
        raise OSError(int(reason), os.strerror(int(reason)))
    return pid


def _become(
    path: str,
    argv: list[str],
    environment: Mapping[str, str],
    streams: tuple[int | None, int, int],
    prctl: Callable[..., int] | None,
    parent: int,
    failing: int,
) -> "NoReturn":
    try:
        os.setsid()
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(127)  # it died before it could be asked for
        for target, source in enumerate(streams):
            os.dup2(os.open(os.devnull, os.O_RDWR) if source is None else source, target)
        os.execve(path, argv, environment)
    except OSError as error:
        os.write(failing, str(error.errno).encode())
    finally:
        os._exit(127)


@cache
def load_prctl() -> Callable[..., int] | None:
    """The kernel's call for what a process wants for itself and its children. None where it is not to be had."""
    if sys.platform != "linux":
        return None
    try:
        import ctypes

        return ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None


def start_guard(environment: Mapping[str, str]) -> tuple[socket.socket, int]:
    """Starts a guard in a session of its own: the handler's end of the link to it, and its pid. Raises OSError.

    It is a fresh program rather than a fork: small, and without the handler's memory, threads and open files.
    """
    ours, theirs = socket.socketpair()
    try:
        argv = [sys.executable, "-I", "-S", "-c", _GUARD_PROGRAM, _SOURCE_ROOT]
        pid = spawn(sys.executable, argv, environment, theirs.fileno())
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return ours, pid


class TimeLimitPassed(Exception):
    """The program was ended because it ran longer than it may. What it did so far is unknown."""


def run(
    argv: Sequence[str], environment: Mapping[str, str], *, stdin: bytes = b"", time_limit_seconds: float
) -> "subprocess.CompletedProcess[bytes]":
    """Runs a program to its end, for a console script that is itself a command of a handler.

    It stays in the caller's process group, so that whoever ends the script ends it too.
    Raises ExecutableMissing, ExecutableUnusable, TimeLimitPassed.
    """
    import subprocess  # the guard, which imports this module, stays small without it

    path, pipe = find_executable(argv[0], environment), subprocess.PIPE
    program = None
    try:
        with sigterm_held_back():
            program = subprocess.Popen(argv, executable=path, env=environment, stdin=pipe, stdout=pipe, stderr=pipe)
        stdout, stderr = program.communicate(stdin, time_limit_seconds)
        return subprocess.CompletedProcess(argv, program.returncode, stdout, stderr)
    except subprocess.TimeoutExpired as error:
        raise TimeLimitPassed(f"{argv[0]} was ended after {time_limit_seconds:g} s") from error
    except OSError as error:
        raise unstartable(argv[0], error.errno or 0) from error
    finally:
        if program is not None:
            if program.returncode is None:
                program.kill()
            with program:  # closes its pipes, and waits
                pass


@contextmanager
def sigterm_held_back() -> Iterator[None]:
    """A handler of the script's that raises between a program's start and our knowing of it would leave it running."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if came:
            signal.raise_signal(signal.SIGTERM)


def unstartable(name: str, error_number: int) -> ExecutableMissing | ExecutableUnusable:
    """What a failed start says of the program."""
    if error_number in (ENOENT, ENOTDIR):
        return ExecutableMissing(name)
    return ExecutableUnusable(name, os.strerror(error_number))
