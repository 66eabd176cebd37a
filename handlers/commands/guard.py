"""The guard: a small process that starts a handler's commands, and ends them when the handler is dead or frozen.

It lives as long as the handler's end of the link is open. Every command that works for a job belongs to a lease, and
is killed when the lease's instant on the machine's monotonic clock has passed without a renewal. A handler that was
stopped and wakes finds its commands dead and their lease refused.

The link is a Unix stream socket that carries one JSON document a line; a command's pipes come with its line.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator, Mapping

from handlers.commands.processes import spawn

# Marks each command and all that it starts, so that what escapes from its session is still known as its own.
MARK = "EVEREST_BOOTSTRAP_COMMAND"

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_LEASES_REMEMBERED = 4096
_POLL_SECONDS = 0.02  # while the death of a group that the kernel does not report to us is awaited
_UNKILLABLE_SECONDS = 5  # a process in an uninterruptible wait survives SIGKILL; its command is over all the same
_READ_BYTES = 65536
_MOST_DESCRIPTORS = 128
_DESCRIPTOR_BYTES = struct.calcsize("i")
_HIGHEST_DESCRIPTOR = 65536
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # absent on macOS


def main() -> None:
    os.closerange(3, _HIGHEST_DESCRIPTOR)  # what the handler was given and did not know of is not for its commands
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C or a stop is the handler's to decide on
    _adopt_orphans()
    link = socket.socket(fileno=0)
    _Guard(link).watch()


class Leases:
    """Which leases commands may run under, and until when. A lease that ended or expired once never comes back."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._over: dict[
            str, None
        ] = {}  # in order of their end; the oldest are forgotten: an unknown one is refused too

    def renew(self, lease: str, until: float, now: float) -> None:
        if self._until.get(lease, now + 1) <= now:
            self.end(lease)
        if lease not in self._over:
            self._until[lease] = until

    def end(self, lease: str) -> None:
        self._until.pop(lease, None)
        self._over[lease] = None
        if len(self._over) > _LEASES_REMEMBERED:
            del self._over[next(iter(self._over))]

    def expire(self, now: float) -> list[str]:
        """Ends the leases whose instant has passed, and names them."""
        expired = [lease for lease, until in self._until.items() if until <= now]
        for lease in expired:
            self.end(lease)
        return expired

    def is_held(self, lease: str, now: float) -> bool:
        return self._until.get(lease, now) > now

    def held(self, now: float) -> dict[str, float]:
        return {lease: until for lease, until in self._until.items() if until > now}

    @property
    def next_expiry(self) -> float:
        return min(self._until.values(), default=float("inf"))


class _Command:
    __slots__ = ("cause", "ended_at", "lease", "number", "pid", "status", "until")

    def __init__(self, number: int, pid: int, lease: str | None, until: float) -> None:
        self.number = number
        self.pid = pid  # and process group, and session
        self.lease = lease
        self.until = until
        self.cause: str | None = None  # why we killed it
        self.status = 0
        self.ended_at = 0.0


class _Guard:
    """`_running` are the commands whose leader lives, `_ending` those whose leader alone is known to be dead."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._link.setblocking(False)
        self._inbox = b""
        self._outbox = b""
        self._descriptors: deque[int] = deque()
        self._environment: dict[str, str] = {}
        self._token = ""
        self._leases = Leases()
        self._running: dict[int, _Command] = {}
        self._ending: list[_Command] = []
        self._bell = _ring_on_child_death()

    def watch(self) -> None:
        """Until the handler has closed the link or is dead; then ends everything."""
        try:
            while True:
                rings = self._wait(self._next_instant())
                # First of all: after a freeze of handler and guard alike nothing may go on that has run out.
                self._kill_overdue()
                if not self._receive():
                    return
                if rings:
                    self._reap()
                self._report()
                if not self._send():
                    return
        finally:
            self._end_all()

    def _wait(self, until: float) -> bool:
        """Whether a child may have died."""
        poll = select.poll()
        poll.register(self._link, select.POLLIN | (select.POLLOUT if self._outbox else 0))
        poll.register(self._bell, select.POLLIN)
        left = until - time.monotonic()
        events = dict(poll.poll(None if left == float("inf") else max(0, left) * 1000 + 1))
        if self._bell.fileno() in events:
            with contextlib.suppress(BlockingIOError):
                self._bell.recv(_READ_BYTES)
        return self._bell.fileno() in events or bool(self._ending)

    def _next_instant(self) -> float:
        instants = [self._leases.next_expiry]
        instants += [command.until for command in self._running.values() if command.cause is None]
        if self._ending:
            instants.append(time.monotonic() + _POLL_SECONDS)
        return min(instants)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for lease in self._leases.expire(now):
            self._kill_lease(lease)
        for command in self._running.values():
            if command.until <= now and command.cause is None:
                _kill(command, "time_limit")

    def _kill_lease(self, lease: str) -> None:
        for command in self._running.values():
            if command.lease == lease:
                _kill(command, "lease")

    def _receive(self) -> bool:
        """Obeys what the handler has sent. False when it is gone."""
        try:
            # Not socket.recv_fds, which drops the flags: the pipes would be inherited by other commands.
            received, ancillary, flags, _ = self._link.recvmsg(
                _READ_BYTES, socket.CMSG_SPACE(_MOST_DESCRIPTORS * _DESCRIPTOR_BYTES), _CLOSE_ON_EXEC
            )
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        for _, _, content in ancillary:
            whole = len(content) - len(content) % _DESCRIPTOR_BYTES
            for (descriptor,) in struct.iter_unpack("i", content[:whole]):
                if not _CLOSE_ON_EXEC:
                    os.set_inheritable(descriptor, False)
                self._descriptors.append(descriptor)
        if flags & socket.MSG_CTRUNC:
            return False  # pipes were lost on the way: which command's cannot be told
        *lines, self._inbox = (self._inbox + received).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(received)

    def _obey(self, order: dict[str, object]) -> None:
        match order:
            case {"start": int(number)}:
                self._start(number, order)
            case {"kill": int(number)}:
                for command in self._running.values():
                    if command.number == number:
                        _kill(command, "order")
            case {"renew": str(lease), "until": float(until)}:
                self._leases.renew(lease, until, time.monotonic())
            case {"end": str(lease)}:
                self._leases.end(lease)
                self._kill_lease(lease)
            case {"environment": dict(environment), "token": str(token)}:
                self._environment, self._token = environment, token
            case _:
                raise ValueError(f"not an order: {sorted(order)}")

    def _start(self, number: int, order: Mapping[str, object]) -> None:
        match order:
            case {
                "path": str(path),
                "argv": list(argv),
                "lease": str() | None as lease,
                "until": float(until),
                "pipes": int(count),
            }:
                pipes = [self._descriptors.popleft() for _ in range(count)]
            case _:
                raise ValueError(f"not a start: {sorted(order)}")
        try:
            if lease is not None and not self._leases.is_held(lease, time.monotonic()):
                self._tell({"refused": number, "lease": lease})
                return
            environment = {**self._environment, MARK: f"{self._token}.{number}"}
            stdout, stderr, *stdin = pipes
            pid = spawn(path, argv, environment, stdin=stdin[0] if stdin else None, stdout=stdout, stderr=stderr)
        except OSError as error:
            self._tell({"refused": number, "errno": error.errno})
        else:
            self._running[pid] = _Command(number, pid, lease, until)
            self._tell({"started": number, "pid": pid})
        finally:
            for descriptor in pipes:
                os.close(descriptor)

    def _reap(self) -> None:
        for pid, status in _dead_children():
            command = self._running.pop(pid, None)
            if command:
                command.status = os.waitstatus_to_exitcode(status)
                command.ended_at = time.monotonic()
                self._ending.append(command)

    def _report(self) -> None:
        """Tells of the commands of which nothing is left. What one left behind is killed first: daemons included."""
        if not self._ending:
            return
        left = self._kill_left_behind()
        oldest = time.monotonic() - _UNKILLABLE_SECONDS
        still_ending = []
        for command in self._ending:
            may_be_left = command.number in left or None in left or _group_exists(command.pid)
            if may_be_left and command.ended_at > oldest:
                still_ending.append(command)
                continue
            # One that ended by itself before the signal came was not killed.
            cause = command.cause if command.status == -signal.SIGKILL else None
            self._tell({"ended": command.number, "status": command.status, "cause": cause})
        self._ending = still_ending

    def _kill_left_behind(self) -> set[int | None]:
        """Kills those of our children that belong to no running command, and gives the numbers of their commands.

        They are orphans that came to us as their subreaper. Killing one may orphan its own children, which come next.
        None stands for one that does not tell where it is from, as in the middle of an exec.
        """
        numbers = {command.number for command in self._running.values()}
        found: set[int | None] = set()
        for pid in _children():
            if pid in self._running:
                continue
            number = _number_of(pid, self._token)
            if number in numbers or _session_of(pid) in self._running:
                continue  # a daemon that its command still works with
            _kill_with_group(pid)
            found.add(number)
        return found

    def _end_all(self) -> None:
        for command in self._running.values():
            _kill(command, "order")
        until = time.monotonic() + _UNKILLABLE_SECONDS
        while time.monotonic() < until:
            self._reap()
            if not self._running and not self._kill_left_behind() and not _children():
                return
            select.select([self._bell], [], [], _POLL_SECONDS)

    def _tell(self, report: dict[str, object]) -> None:
        self._outbox += json.dumps(report).encode() + b"\n"

    def _send(self) -> bool:
        """Never waits: a frozen handler must not freeze its guard. False when the handler is gone."""
        try:
            sent = self._link.send(self._outbox) if self._outbox else 0
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._outbox = self._outbox[sent:]
        return True


def marked_processes(token: str) -> list[int]:
    """The pids of all commands of one guard, and of what they started, wherever it is now. Empty without a /proc."""
    return [int(name) for name in _list_processes() if _mark_of(int(name)).startswith(f"{token}.")]


def _adopt_orphans() -> None:
    """What escapes from a command's session comes to us when its parents are dead. Linux only."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _ring_on_child_death() -> socket.socket:
    """A socket that can be read after each SIGCHLD."""
    bell, clapper = socket.socketpair()
    bell.setblocking(False)
    clapper.setblocking(False)
    signal.set_wakeup_fd(clapper.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return bell


def _dead_children() -> Iterator[tuple[int, int]]:
    """Each dead child's pid and status. Its group is killed while the pid, still a zombie's, can be nobody else's."""
    with contextlib.suppress(ChildProcessError):
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            while (dead := os.waitpid(-1, os.WNOHANG))[0]:
                _kill_group(dead[0])
                yield dead
            return
        while dead_child := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            _kill_group(dead_child.si_pid)
            yield os.waitpid(dead_child.si_pid, 0)


def _kill(command: _Command, cause: str) -> None:
    command.cause = command.cause or cause
    _kill_group(command.pid)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _kill_with_group(pid: int) -> None:
    """`pid` is a child of ours that we have not waited for, so it cannot be another's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    _kill_group(pid)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _number_of(pid: int, token: str) -> int | None:
    """The number of the command that this process comes from, as its environment tells."""
    owner, _, number = _mark_of(pid).partition(".")
    return int(number) if owner == token and number.isdigit() else None


def _mark_of(pid: int) -> str:
    """Empty when the process is gone, another user's, or has cleared its environment."""
    environment = b"\0" + _read(f"/proc/{pid}/environ")
    _, _, found = environment.partition(b"\0" + MARK.encode() + b"=")
    return found.partition(b"\0")[0].decode("ascii", "replace")


def _children() -> list[int]:
    """The pids of this process' children: our commands, and the orphans that came to us."""
    me = os.getpid()
    try:
        return [int(pid) for pid in _read(f"/proc/self/task/{me}/children", missing_ok=False).split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [int(pid) for pid in _list_processes() if _parent_of(pid) == me]


def _list_processes() -> list[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()]
    except FileNotFoundError:
        return []


def _parent_of(pid: str) -> int:
    """0 when the process is gone. The command's name, in parentheses, may hold anything."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _read(path: str, *, missing_ok: bool = True) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if missing_ok:
            return b""
        raise
    except OSError:
        return b""
    try:
        content = b""
        while part := os.read(descriptor, _READ_BYTES):
            content += part
        return content
    except OSError:  # ended meanwhile
        return content
    finally:
        os.close(descriptor)
