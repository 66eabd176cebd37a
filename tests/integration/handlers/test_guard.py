"""Commands end when they must, whatever happens to the handler, to its guard, or to both."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handlers.commands import processes
from handlers.commands.running import (
    Command,
    Commands,
    Completed,
    ExecutableMissing,
    ExecutableUnusable,
    Interrupted,
    LeaseEnded,
    child_environment,
)
from handlers.commands.secret import Secret

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_SECONDS = 180
LEASE_SECONDS = 6  # so long a busy machine may take to start a command, or to renew
TIME_LIMITS_SECONDS = (1, 5, 25)  # the first is enough on most machines

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")

# A command with a child in its process group and a grandchild in another, as `timeout` makes one. Each writes its pid
# to $1.
FAMILY = """
timeout 2000 sh -c 'echo $$ >> "$1"; exec sleep 1000' - "$1" &
sh -c 'echo $$ >> "$1"; exec sleep 1000' - "$1" &
echo $$ >> "$1"
wait
"""


class Family:
    """The processes of one command as their pids are written to a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.argv = ("sh", "-c", FAMILY, "-", str(file))

    @property
    def pids(self) -> list[int]:
        return [int(line) for line in self.file.read_text().split()] if self.file.exists() else []

    @property
    def is_complete(self) -> bool:
        return len(self.pids) == 3

    @property
    def is_gone(self) -> bool:
        return not any(map(is_alive, self.pids))


def is_alive(pid: int) -> bool:
    """A zombie is dead: it does nothing any more."""
    return state_of(pid) not in ("", "Z", "X")


def state_of(pid: int) -> str:
    """Empty when there is no such process."""
    return (stat_of(pid) or [""])[0]


def stat_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def children_of(pid: int) -> list[int]:
    everyone = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [each for each in everyone if stat_of(each)[1:2] == [str(pid)]]


def guard_of(handler_pid: int) -> int:
    (pid,) = (pid for pid in children_of(handler_pid) if is_guard(pid))
    return pid


def is_guard(pid: int) -> bool:
    return b"handlers.commands.guard" in Path(f"/proc/{pid}/cmdline").read_bytes()


def until(condition: Callable[[], bool]) -> None:
    """Waits for what must come, and fails when it does not."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


async def async_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 (a process' death has no event for us)
            await asyncio.sleep(0.01)


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    family = Family(tmp_path / "pids")
    yield family
    for pid in filter(is_alive, family.pids):
        os.kill(pid, signal.SIGKILL)


class Handler:
    """A small handler in a process of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("small_handler.py"))],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid

    def order(self, **order: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout
        return dict(json.loads(self.process.stdout.readline()))

    @property
    def guard_pid(self) -> int:
        return guard_of(self.pid)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            until(lambda: state_of(self.pid) == "T")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            stream.close()


@pytest.fixture
def handler() -> Iterator[Handler]:
    handler = Handler()
    yield handler
    handler.close()


def test_a_killed_handler_takes_its_commands_along(handler: Handler, family: Family) -> None:
    """kill -9 of the handler ends the command, its child, a grandchild in another process group, and the guard."""
    handler.order(renew="claim", seconds=600)
    handler.order(run=family.argv, lease="claim", **{"as": "family"})
    until(lambda: family.is_complete)
    guard_pid = handler.guard_pid
    handler.send(signal.SIGKILL)
    until(lambda: family.is_gone and not is_alive(guard_pid))


def test_a_handler_and_a_guard_killed_at_once_take_the_command_along(handler: Handler, tmp_path: Path) -> None:
    """One that is silent for long and learns of nothing: the kernel ends it."""
    seen = tmp_path / "pid"
    handler.order(run=["sh", "-c", f"echo $$ > {seen}; exec sleep 1000"], **{"as": "silent"})
    until(lambda: seen.exists() and bool(seen.read_text().strip()))
    pid, guard_pid = int(seen.read_text()), handler.guard_pid
    handler.send(signal.SIGSTOP)  # so that it does not end the command when the guard is gone
    os.kill(guard_pid, signal.SIGKILL)
    handler.send(signal.SIGKILL)
    until(lambda: not is_alive(pid))


def test_a_killed_handler_takes_commands_without_a_lease_along_too(handler: Handler, family: Family) -> None:
    handler.order(run=family.argv, **{"as": "family"})
    until(lambda: family.is_complete)
    handler.send(signal.SIGKILL)
    until(lambda: family.is_gone)


def test_the_commands_of_a_frozen_handler_die_with_its_lease_and_it_learns_of_it(
    handler: Handler, family: Family
) -> None:
    """Stopped beyond the lease and continued, the handler gets LeaseEnded and starts nothing under that lease again."""
    handler.order(renew="claim", seconds=LEASE_SECONDS)
    handler.order(run=family.argv, lease="claim", **{"as": "family"})
    until(lambda: family.is_complete)
    handler.send(signal.SIGSTOP)
    until(lambda: family.is_gone)
    assert state_of(handler.pid) == "T", "the guard did it, not the handler"
    handler.send(signal.SIGCONT)
    assert handler.hear() == {"name": "family", "raised": "LeaseEnded"}
    handler.order(renew="claim", seconds=600)
    handler.order(run=["true"], lease="claim", **{"as": "late"})
    assert handler.hear() == {"name": "late", "raised": "LeaseEnded"}
    handler.order(renew="next claim", seconds=600)
    handler.order(run=["echo", "well"], lease="next claim", **{"as": "next"})
    assert handler.hear() == {"name": "next", "exit_code": 0, "stdout": "well\n"}


def test_a_start_that_a_frozen_handler_had_ordered_is_refused_when_it_comes_late(handler: Handler) -> None:
    """The order waits in the guard's inbox while both are frozen, beyond the lease."""
    handler.order(renew="claim", seconds=LEASE_SECONDS)
    handler.order(run=["echo", "first"], lease="claim", **{"as": "first"})
    assert handler.hear()["exit_code"] == 0
    expires_at = time.monotonic() + LEASE_SECONDS  # the renewal came before
    guard_pid = handler.guard_pid
    os.kill(guard_pid, signal.SIGSTOP)
    until(lambda: state_of(guard_pid) == "T")
    handler.order(run=["echo", "late"], lease="claim", **{"as": "late"})
    handler.order(run=["no-such-tool"], **{"as": "next"})
    assert handler.hear() == {"name": "next", "raised": "ExecutableMissing"}, "so the order before it was sent"
    until(lambda: time.monotonic() > expires_at)
    os.kill(guard_pid, signal.SIGCONT)
    assert handler.hear() == {"name": "late", "raised": "LeaseEnded"}


def test_handler_and_guard_frozen_together_end_the_command_when_they_wake(handler: Handler, family: Family) -> None:
    """As when a virtual machine is paused."""
    handler.order(renew="claim", seconds=LEASE_SECONDS)
    handler.order(run=family.argv, lease="claim", **{"as": "family"})
    until(lambda: family.is_complete)
    guard_pid = handler.guard_pid
    expires_at = time.monotonic() + LEASE_SECONDS
    os.kill(guard_pid, signal.SIGSTOP)
    handler.send(signal.SIGSTOP)
    until(lambda: time.monotonic() > expires_at)
    assert all(map(is_alive, family.pids))
    handler.send(signal.SIGCONT)
    os.kill(guard_pid, signal.SIGCONT)
    until(lambda: family.is_gone)
    assert handler.hear() == {"name": "family", "raised": "LeaseEnded"}


def test_renewals_keep_a_command_alive_beyond_the_first_lease(handler: Handler) -> None:
    handler.order(keep="claim", seconds=LEASE_SECONDS)
    handler.order(run=["sh", "-c", f"sleep {1.5 * LEASE_SECONDS}; echo done"], lease="claim", **{"as": "long"})
    assert handler.hear() == {"name": "long", "exit_code": 0, "stdout": "done\n"}


def test_a_signal_to_stop_is_the_handlers_to_decide_on(handler: Handler) -> None:
    """Ctrl-C and SIGTERM reach the guard too, in a container or by a terminal; its command goes on."""
    handler.order(run=["sh", "-c", "echo up > /dev/null; sleep 1; echo done"], **{"as": "command"})
    until(lambda: bool(children_of(handler.pid)) and bool(children_of(handler.guard_pid)))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(handler.guard_pid, number)
    assert handler.hear() == {"name": "command", "exit_code": 0, "stdout": "done\n"}


def test_a_handler_that_ends_well_leaves_nothing(handler: Handler, family: Family) -> None:
    handler.order(run=family.argv, **{"as": "family"})
    until(lambda: family.is_complete)
    guard_pid = handler.guard_pid
    assert handler.process.stdin
    handler.process.stdin.close()
    handler.process.wait(PATIENCE_SECONDS)
    assert handler.process.returncode == 0
    assert family.is_gone
    assert not is_alive(guard_pid)


@pytest.fixture
async def commands() -> AsyncIterator[Commands]:
    async with Commands(child_environment(os.environ)) as commands:
        yield commands
    assert not children_of(os.getpid()), "the guard is gone and waited for"


def shell(script: str, *arguments: str, **fields: Any) -> Command:
    return Command(("sh", "-c", script, "-", *arguments), **fields)


def forever() -> float:
    return time.monotonic() + 600


async def raised_by(running: Awaitable[Completed]) -> type[BaseException]:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await running
    return caught.type


async def test_ending_a_lease_kills_its_commands_and_no_others(commands: Commands, family: Family) -> None:
    commands.renew("ended", forever())
    commands.renew("kept", forever())
    kept = asyncio.create_task(commands.run(Command(("cat",), stdin=b"x" * 100), lease="kept"))
    ended = asyncio.create_task(commands.run(Command(family.argv), lease="ended"))
    await async_until(lambda: family.is_complete)
    commands.end("ended")
    assert await raised_by(ended) is LeaseEnded
    assert family.is_gone
    assert (await kept).exit_code == 0
    assert await raised_by(commands.run(Command(("true",)), lease="ended")) is LeaseEnded
    assert (await commands.run(Command(("true",)), lease="kept")).exit_code == 0


async def test_a_lease_that_nobody_renewed_allows_nothing(commands: Commands) -> None:
    assert await raised_by(commands.run(Command(("true",)), lease="unknown")) is LeaseEnded


async def test_a_killed_guard_interrupts_its_commands_and_the_next_one_runs(commands: Commands, family: Family) -> None:
    """The commands of a dead guard are killed by the handler; another guard knows the leases."""
    commands.renew("claim", forever())
    running = asyncio.create_task(commands.run(Command(family.argv), lease="claim"))
    await async_until(lambda: family.is_complete)
    os.kill(guard_of(os.getpid()), signal.SIGKILL)
    assert await raised_by(running) is Interrupted
    await async_until(lambda: family.is_gone)
    assert (await commands.run(Command(("echo", "next")), lease="claim")).stdout == b"next\n"


async def test_a_guard_killed_while_it_starts_commands_leaves_none(commands: Commands, tmp_path: Path) -> None:
    """Also not one that it had no time to tell of."""
    seen = tmp_path / "pids"
    for _ in range(20):
        await commands.run(Command(("true",)))
        tasks = [
            asyncio.create_task(commands.run(shell('echo $$ >> "$1"; exec sleep 1000', str(seen)))) for _ in range(8)
        ]
        await asyncio.sleep(0)  # they are ordered
        os.kill(guard_of(os.getpid()), signal.SIGKILL)
        assert {await raised_by(task) for task in tasks} == {Interrupted}
    await async_until(lambda: not (seen.exists() and any(map(is_alive, map(int, seen.read_text().split())))))


async def test_a_frozen_guard_is_killed_when_a_lease_ends(commands: Commands, family: Family) -> None:
    commands.renew("claim", forever())
    running = asyncio.create_task(commands.run(Command(family.argv), lease="claim"))
    await async_until(lambda: family.is_complete)
    os.kill(guard_of(os.getpid()), signal.SIGSTOP)
    commands.end("claim")
    assert issubclass(await raised_by(running), Interrupted)
    await async_until(lambda: family.is_gone)


async def test_a_time_limit_kills_the_command_and_all_that_it_started(commands: Commands, family: Family) -> None:
    for time_limit_seconds in TIME_LIMITS_SECONDS:
        family.file.unlink(missing_ok=True)
        completed = await commands.run(Command(family.argv, time_limit_seconds=time_limit_seconds))
        assert completed.timed_out
        assert completed.exit_code is None
        assert family.is_gone
        if family.is_complete:
            return
    pytest.fail("the command never came so far")


async def test_a_time_limit_of_years_ends_no_guard(commands: Commands) -> None:
    """`poll` takes milliseconds as an int of C: without a lease nothing else is due before."""
    completed = await commands.run(Command(("true",), time_limit_seconds=99_999_999))
    assert completed.exit_code == 0


async def test_a_cancelled_run_raises_when_its_command_is_dead(commands: Commands, family: Family) -> None:
    running = asyncio.create_task(commands.run(Command(family.argv)))
    await async_until(lambda: family.is_complete)
    running.cancel()
    running.cancel()
    assert await raised_by(running) is asyncio.CancelledError
    assert family.is_gone


async def test_a_command_that_ends_well_leaves_no_daemon(commands: Commands, family: Family) -> None:
    completed = await commands.run(
        shell(FAMILY.replace("wait", "until test $(wc -l < $1) = 3; do :; done"), str(family.file))
    )
    assert completed.exit_code == 0
    assert family.is_complete
    assert family.is_gone


async def test_an_open_pipe_of_what_is_left_does_not_keep_a_command_running(commands: Commands) -> None:
    """The child holds stdout open for 1,000 s; its parent has ended."""
    completed = await commands.run(shell("sleep 1000 & echo started"))
    assert (completed.exit_code, completed.stdout) == (0, b"started\n")
    assert completed.duration_seconds < PATIENCE_SECONDS


async def test_a_command_that_closes_its_outputs_lives_on(commands: Commands) -> None:
    completed = await commands.run(shell("exec >&- 2>&-; sleep 0.3; exit 7"))
    assert completed.exit_code == 7
    assert completed.duration_seconds >= 0.3


async def test_a_large_output_keeps_head_and_tail_and_never_blocks_the_command(commands: Commands) -> None:
    script = (
        "import sys; sys.stdout.write('first\\n' + ('x' * 99 + '\\n') * 500_000 + 'last\\n'); sys.stderr.write('small')"
    )
    completed = await commands.run(Command((sys.executable, "-c", script)))
    assert completed.exit_code == 0
    assert completed.overflowed
    assert completed.stdout.startswith(b"first\nxxx")
    assert completed.stdout.endswith(b"xxx\nlast\n")
    assert len(completed.stdout) <= 8 * 1024 * 1024 + 100
    before, note, after = completed.stdout.partition("… ".encode())
    cut_bytes = int(after.split(b" ")[0].replace(b",", b""))
    assert note
    assert len(before) + len(after.split("…\n".encode(), 1)[1]) + cut_bytes == 50_000_011
    assert completed.stderr == b"small"


async def test_an_output_within_the_bound_comes_whole(commands: Commands) -> None:
    script = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 20_000)"
    completed = await commands.run(Command((sys.executable, "-c", script)))
    assert not completed.overflowed
    assert completed.stdout == bytes(range(256)) * 20_000


async def test_an_endless_output_ends_at_the_time_limit(commands: Commands) -> None:
    for time_limit_seconds in TIME_LIMITS_SECONDS:
        completed = await commands.run(Command(("yes",), time_limit_seconds=time_limit_seconds))
        assert completed.timed_out
        if completed.overflowed:
            return
    pytest.fail("the output never grew so far")


async def test_stdin_of_any_size_is_fed_whether_it_is_read_or_not(commands: Commands) -> None:
    stdin = bytes(range(256)) * 8192  # 2 MB: more than any pipe holds
    assert (await commands.run(Command(("cat",), stdin=stdin))).stdout == stdin
    assert (await commands.run(Command(("true",), stdin=stdin))).exit_code == 0
    assert (await commands.run(shell("exec 0<&-; echo well", stdin=stdin))).stdout == b"well\n"
    assert (await commands.run(Command(("cat",), stdin=b""))).stdout == b""
    assert (await commands.run(Command(("cat",)))).stdout == b""


async def test_a_command_gets_its_environment_and_arguments_and_nothing_else(
    tmp_path: Path,
) -> None:
    given = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "KUBECONFIG": "/küche", "ADMIN_API_KEY": "key"}
    leaked = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leaked, True)  # as when whoever started the handler was careless
    async with Commands(child_environment(given)) as commands:
        os.close(leaked)
        completed = await commands.run(Command(("env",)))
        lines = sorted(completed.stdout.decode().splitlines())
        assert lines == sorted(["HOME=/nowhere", "KUBECONFIG=/küche", "NO_COLOR=1", f"PATH={os.environ['PATH']}"])
        completed = await commands.run(Command(("printf", "%s|", "a b", "ü", Secret("s3cret", prefix="-p="))))
        assert completed.stdout.decode() == "a b|ü|-p=s3cret|"
        assert completed.command == "printf '%s|' 'a b' 'ü' -p=********"
        assert completed.secrets == (Secret("s3cret", prefix="-p="),)
        completed = await commands.run(Command((sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))")))
        assert completed.stdout == b"['0', '1', '2', '3']\n", "the last is the listed folder"


async def test_a_command_has_the_default_signals(commands: Commands) -> None:
    """Neither the guard's ignored SIGTERM nor Python's ignored SIGPIPE reaches it."""
    completed = await commands.run(shell("grep -E 'Sig(Ign|Blk)' /proc/self/status"))
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD, signal.SIGXFSZ)
    for line in completed.stdout.decode().splitlines():
        assert not int(line.split()[1], 16) & sum(1 << (number - 1) for number in numbers), line
    assert (await commands.run(shell("kill -TERM $$"))).exit_code == -signal.SIGTERM


async def test_what_cannot_be_run_is_told_apart(commands: Commands, tmp_path: Path) -> None:
    programs = {"plain": "#!/bin/sh\n", "garbage": "\x7fELF garbage", "orphan": "#!/no/such/interpreter\n"}
    for name, content in programs.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o644 if name == "plain" else 0o755)
    with pytest.raises(ExecutableMissing, match="no-such-tool"):
        await commands.run(Command(("no-such-tool",)))
    assert await raised_by(commands.run(Command((str(tmp_path / "plain"),)))) is ExecutableUnusable
    assert await raised_by(commands.run(Command((str(tmp_path / "garbage"),)))) is ExecutableUnusable
    assert await raised_by(commands.run(Command((str(tmp_path / "orphan"),)))) is ExecutableMissing
    assert (await commands.run(Command(("true",)))).exit_code == 0


async def test_an_argument_list_that_is_too_long_is_no_reason_to_stop(commands: Commands) -> None:
    assert await raised_by(commands.run(Command(("echo", "x" * 4_000_000)))) is Interrupted
    assert (await commands.run(Command(("true",)))).exit_code == 0


async def test_a_handler_without_descriptors_interrupts_and_recovers(commands: Commands) -> None:
    """Nothing leaks from a command that got only some of its pipes."""
    await commands.run(Command(("true",)))
    before = len(os.listdir("/proc/self/fd"))
    for spare in range(6):  # each of three pipes takes two
        with few_descriptors(spare):
            assert await raised_by(commands.run(Command(("cat",), stdin=b"x" * 100_000))) is Interrupted
    assert len(os.listdir("/proc/self/fd")) == before
    assert (await commands.run(Command(("true",)))).exit_code == 0


@contextlib.contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    """Leaves this process so many descriptors, and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    taken: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(spare):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)


async def test_nothing_is_started_after_the_end() -> None:
    async with Commands(child_environment(os.environ)) as commands:
        pass
    assert await raised_by(commands.run(Command(("true",)))) is Interrupted
    assert not children_of(os.getpid())


async def test_two_hundred_commands_at_once(commands: Commands) -> None:
    runs = [commands.run(Command(("cat",), stdin=str(number).encode())) for number in range(200)]
    completed = await asyncio.gather(*runs)
    assert [each.stdout for each in completed] == [str(number).encode() for number in range(200)]


async def test_five_hundred_runs_leave_no_descriptor_and_no_zombie(commands: Commands) -> None:
    """Of those that end well, time out, are cancelled or refused."""

    async def run_some(count: int) -> None:
        for _ in range(count):
            cancelled = asyncio.create_task(commands.run(Command(("sleep", "1000"))))
            await asyncio.gather(
                commands.run(Command(("cat",), stdin=b"x" * 100_000)),
                commands.run(Command(("sleep", "1000"), time_limit_seconds=0.01)),
                commands.run(Command(("true",)), lease="unknown"),
                commands.run(Command(("no-such-tool",))),
                return_exceptions=True,
            )
            cancelled.cancel()
            await asyncio.wait({cancelled})

    def descriptors(pid: int) -> int:
        return len(os.listdir(f"/proc/{pid}/fd"))

    await run_some(5)
    guard_pid = guard_of(os.getpid())
    before = descriptors(os.getpid()), descriptors(guard_pid)
    await run_some(100)
    assert (descriptors(os.getpid()), descriptors(guard_pid)) == before
    assert guard_of(os.getpid()) == guard_pid
    assert children_of(guard_pid) == []


class TestConsoleScripts:
    """What everest-rbac-import runs, as a command of a handler itself."""

    ENVIRONMENT = child_environment(os.environ)

    def test_a_program_runs_in_the_callers_own_process_group(self) -> None:
        done = processes.run(
            ["sh", "-c", f"cat; {sys.executable} -c 'import os; print(os.getpgrp())'"],
            self.ENVIRONMENT,
            stdin=b"in\n",
            time_limit_seconds=60,
        )
        assert done.returncode == 0
        assert done.stdout.decode().split() == ["in", str(os.getpgrp())]

    def test_a_time_limit_ends_it(self) -> None:
        with pytest.raises(processes.TimeLimitPassed):
            processes.run(["sleep", "1000"], self.ENVIRONMENT, time_limit_seconds=0.2)

    def test_a_missing_program_is_told(self) -> None:
        with pytest.raises(ExecutableMissing):
            processes.run(["no-such-tool"], self.ENVIRONMENT, time_limit_seconds=60)
