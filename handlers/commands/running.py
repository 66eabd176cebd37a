"""Running commands: bounded in time and output, under a lease, and with nothing left behind."""

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from contracts.records import Awaited
from handlers.clock import monotonic, utc_now
from handlers.commands.guard_client import End, GuardClient, Interrupted, LeaseEnded, Running
from handlers.commands.pipes import Capture, Feed
from handlers.commands.processes import ExecutableMissing, ExecutableUnusable, find_executable
from handlers.commands.secret import MASK, Secret

__all__ = [
    "Command",
    "Commands",
    "Completed",
    "ExecutableMissing",
    "ExecutableUnusable",
    "Interrupted",
    "LeaseEnded",
    "child_environment",
]

# Is given, when a command has begun, what tells the last bytes of its outputs at any time.
Watcher = Callable[[Callable[[], bytes]], None]

CAPTURE_BYTES = 8 * 1024 * 1024  # of each stream: a list of 10,000 accounts is 1 MB

_DRAIN_SECONDS = 1  # a pipe that is open so long after all of its command is dead is held by an escaped process

_HANDED_ON = ("PATH", "HOME", "XDG_CACHE_HOME", "KUBECONFIG")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a command gets of the handler's environment: no more than it needs."""
    names = (*_HANDED_ON, *_PROXIES, *(name.lower() for name in _PROXIES))
    return {name: environment[name] for name in names if name in environment} | {"NO_COLOR": "1"}


@dataclass(frozen=True, slots=True)
class Command:
    """One invocation of a program, never through a shell. Without `stdin` it reads /dev/null.

    `secrets` are those in its stdin; the ones in its argv are known. `changes`: it changes the cluster, so a handler
    that is to stop gives its step the grace; what only looks is cut. `see_awaited` looks, while it runs, what it waits
    for: with whatever runs a command, and raising nothing but what that raises.
    """

    argv: tuple[str | Secret, ...]
    stdin: bytes | None = field(default=None, repr=False)
    time_limit_seconds: float = 60
    secrets: tuple[Secret, ...] = ()
    changes: bool = False
    see_awaited: "SeeAwaited | None" = field(default=None, repr=False, compare=False)

    @property
    def shown(self) -> str:
        """As a person would type it, secrets masked."""
        return " ".join(map(_show_argument, self.argv))

    @property
    def all_secrets(self) -> tuple[Secret, ...]:
        return (*(argument for argument in self.argv if isinstance(argument, Secret)), *self.secrets)


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command did. The output is as it came; `outputs.show` makes it fit to be seen, with `secrets` masked."""

    command: str  # as shown
    exit_code: int | None  # None when our time limit ended it; negative for a signal, as subprocess has it
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    timed_out: bool
    overflowed: bool  # more came than is kept: never parse it
    started_at: str
    finished_at: str
    duration_seconds: float
    secrets: tuple[Secret, ...] = ()


RunCommand = Callable[[Command], Awaitable[Completed]]
SeeAwaited = Callable[[RunCommand], Awaitable[tuple[Awaited, ...]]]


class Commands:
    """Runs commands in sessions of their own, through the guard. To be used as `async with`."""

    def __init__(self, environment: Mapping[str, str], *, capture_bytes: int = CAPTURE_BYTES) -> None:
        """`environment` is what `child_environment` gives. `capture_bytes` are kept of each stream."""
        self._environment = environment
        self._capture_bytes = capture_bytes
        self._guard = GuardClient(environment)

    async def __aenter__(self) -> Self:
        self._guard.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._guard.close()

    def renew(self, lease: str, until: float) -> None:
        """Lets commands run under the lease until this instant of the machine's monotonic clock."""
        self._guard.renew(lease, until)

    def end(self, lease: str) -> None:
        """Kills the lease's commands. None is started under it any more."""
        self._guard.end(lease)

    async def run(self, command: Command, lease: str | None = None, watch: Watcher | None = None) -> Completed:
        """Runs the command to its end. Cancelled, it kills the command, waits for its end, and then raises.

        Raises ExecutableMissing, ExecutableUnusable; LeaseEnded when the lease is not held, or ended meanwhile;
        Interrupted when it was killed otherwise, or could not be started.
        """
        argv = [argument.argument if isinstance(argument, Secret) else argument for argument in command.argv]
        path = find_executable(argv[0], self._environment)
        started_at, start = utc_now(), monotonic()
        with _Pipes(command.stdin, self._capture_bytes) as pipes:
            running = self._guard.start(
                path,
                argv,
                lease=lease,
                until=start + command.time_limit_seconds,
                descriptors=pipes.child_ends,
            )
            if watch:
                watch(pipes.read_end)
            end = await self._outlast(running)
            await pipes.drain()
        return Completed(
            command=command.shown,
            exit_code=None if end.timed_out else end.status,
            stdout=pipes.stdout.content,
            stderr=pipes.stderr.content,
            timed_out=end.timed_out,
            overflowed=pipes.stdout.overflowed or pipes.stderr.overflowed,
            started_at=started_at,
            finished_at=utc_now(),
            duration_seconds=monotonic() - start,
            secrets=command.all_secrets,
        )

    async def _outlast(self, running: Running) -> End:
        try:
            return await asyncio.shield(running.ended)
        except asyncio.CancelledError:
            self._guard.kill(running)
            while not running.ended.done():
                try:
                    await asyncio.wait({running.ended})
                except asyncio.CancelledError:
                    continue  # asked again; nobody may go on while the command lives
            raise


class _Pipes:
    """The pipes of one command, closed whatever happens."""

    def __init__(self, stdin: bytes | None, capture_bytes: int) -> None:
        """Raises Interrupted when the handler has no descriptors left."""
        loop = asyncio.get_running_loop()
        with ExitStack() as made:
            try:
                self.stdout = Capture(loop, capture_bytes)
                made.callback(self.stdout.abandon)
                self.stderr = Capture(loop, capture_bytes)
                made.callback(self.stderr.abandon)
                self.feed = None if stdin is None else Feed(loop, stdin)
            except OSError as error:
                raise Interrupted(f"no pipes could be made: {error.strerror}") from error
            made.pop_all()

    @property
    def child_ends(self) -> list[int]:
        return [pipe.child_end for pipe in (self.stdout, self.stderr, self.feed) if pipe]

    def read_end(self) -> bytes:
        """The last lines so far, those of stderr behind those of stdout."""
        return b"\n".join(filter(None, (self.stdout.end, self.stderr.end)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.stderr.close()
        if self.feed:
            self.feed.close()

    async def drain(self) -> None:
        """Takes what the command left in its pipes. Never waits long: somebody else may hold them open."""
        self.stdout.read_available()
        self.stderr.read_available()
        if not (self.stdout.at_end.is_set() and self.stderr.at_end.is_set()):
            with suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_SECONDS):
                    await self.stdout.at_end.wait()
                    await self.stderr.at_end.wait()


def _show_argument(argument: str | Secret) -> str:
    if isinstance(argument, Secret):
        return (shlex.quote(argument.prefix) if argument.prefix else "") + MASK
    return shlex.quote(argument)
