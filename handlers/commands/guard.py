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
from collections.abc import Callable, Iterator, Mapping

from handlers.commands.processes import SIGNALS_TO_RESET, load_prctl, spawn_bound

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_LEASES_REMEMBERED = 4096
_POLL_SECONDS = 0.02  # while the death of a group that the kernel does not report to us is awaited
_UNKILLABLE_SECONDS = 5  # a process in an uninterruptible wait survives SIGKILL; its command is over all the same
_READ_BYTES = 65536
_MOST_DESCRIPTORS = 128
_DESCRIPTOR_BYTES = struct.calcsize("i")
_HIGHEST_DESCRIPTOR = 65536
_LONGEST_SECONDS = 3600.0  # of a wait: `poll` takes no more milliseconds than an int of C holds
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # absent on macOS


def main() -> None:
    os.closerange(3, _HIGHEST_DESCRIPTOR)  # what the handler was given and did not know of is not for its commands
    for number in SIGNALS_TO_RESET:  # a Ctrl-C or a stop is the handler's to decide on
        signal.signal(number, _disregard)
    adopts = _adopt_orphans()
    link = socket.socket(fileno=0)
    _Guard(link, adopts).watch()


class Leases:
    """Which leases commands may run under, and until when. A lease that ended or expired once never comes back."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        # In order of their end; the oldest are forgotten: an unknown one is refused too.
        self._over: dict[str, None] = {}

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

    def __init__(self, link: socket.socket, adopts: bool) -> None:
        """`adopts`: what outlives its parents becomes a child of this process."""
        self._link = link
        self._link.setblocking(False)
        self._adopts = adopts
        self._inbox = b""
        self._outbox = b""
        self._descriptors: deque[int] = deque()
        self._environment: dict[str, str] = {}
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
        left = min(until - time.monotonic(), _LONGEST_SECONDS)
        events = dict(poll.poll(max(0, left) * 1000 + 1))
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
            case {"environment": dict(environment)}:
                self._environment = environment
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
            stdout, stderr, *stdin = pipes
            pid = spawn_bound(path, argv, self._environment, stdin[0] if stdin else None, stdout, stderr)
        except OSError as error:
            self._tell({"refused": number, "errno": error.errno})
        else:
            self._running[pid] = _Command(number, pid, lease, until)
            self._tell({"started": number, "pid": pid})
        finally:
            for descriptor in pipes:
                os.close(descriptor)

    def _reap(self) -> None:
        for pid, status in _dead_children(self._end_session):
            command = self._running.pop(pid, None)
            if command:
                command.status = os.waitstatus_to_exitcode(status)
                command.ended_at = time.monotonic()
                self._ending.append(command)

    def _report(self) -> None:
        """Tells of the commands of which nothing is left. What one left behind in its session is killed first."""
        oldest = time.monotonic() - _UNKILLABLE_SECONDS
        still_ending = []
        for command in self._ending:
            if self._end_session(command.pid) and command.ended_at > oldest:
                still_ending.append(command)
                continue
            # One that ended by itself before the signal came was not killed.
            cause = command.cause if command.status == -signal.SIGKILL else None
            self._tell({"ended": command.number, "status": command.status, "cause": cause})
        self._ending = still_ending

    def _end_session(self, leader: int) -> bool:
        """Kills what a dead leader has left behind. Whether there was any.

        That would be an orphan, and so a child of ours: where each child is a command that runs, none of the machine's
        processes need be looked at.
        """
        children = _children() if self._adopts else None
        if children is not None and children <= self._running.keys():
            return False
        return kill_session(leader)

    def _end_all(self) -> None:
        for command in self._running.values():
            _kill(command, "order")
        until = time.monotonic() + _UNKILLABLE_SECONDS
        while time.monotonic() < until:
            self._reap()
            self._report()
            if not self._running and not self._ending:
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


def _disregard(*_: object) -> None:
    """Not SIG_IGN, which commands would inherit: exec makes the default of what is handled."""


def _adopt_orphans() -> bool:
    """What outlives its parents comes to us, to be reaped: a container's first process may not do it. Linux only."""
    prctl = load_prctl()
    return prctl is not None and prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def _ring_on_child_death() -> socket.socket:
    """A socket that can be read after each SIGCHLD."""
    bell, clapper = socket.socketpair()
    bell.setblocking(False)
    clapper.setblocking(False)
    signal.set_wakeup_fd(clapper.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _disregard)
    return bell


def _dead_children(end_session: Callable[[int], object]) -> Iterator[tuple[int, int]]:
    """Each dead child's pid and status. Its session is ended while the pid, still a zombie's, can be nobody else's."""
    with contextlib.suppress(ChildProcessError):
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            while (dead := os.waitpid(-1, os.WNOHANG))[0]:
                end_session(dead[0])
                yield dead
            return
        while dead_child := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            end_session(dead_child.si_pid)
            yield os.waitpid(dead_child.si_pid, 0)


def _children() -> set[int] | None:
    """The pids of our children, dead ones too until they are reaped. None where the kernel does not list them."""
    try:
        with open("/proc/thread-self/children", "rb") as pids:
            return set(map(int, pids.read().split()))
    except OSError:
        return None


def _kill(command: _Command, cause: str) -> None:
    command.cause = command.cause or cause
    kill_session(command.pid)


def kill_session(leader: int) -> bool:
    """Kills all of a command, also what made a process group of its own as `timeout` does. Whether there was any."""
    members = _members_of(leader)
    for pid in members:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return bool(members)


def _members_of(session: int) -> list[int]:
    """The pids in a session. Where there is no /proc, the leader's group stands for it, named by a negative number."""
    try:
        everyone = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except FileNotFoundError:
        return [-session] if _group_exists(session) else []
    return [pid for pid in everyone if _session_of(pid) == session]


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
