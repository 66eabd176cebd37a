"""The handler's side of its guard: what it orders, what it hears, and what it does when the guard dies."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from errno import EACCES, ENOENT, ENOEXEC, ENOTDIR, EPERM, ETOOMANYREFS
from typing import NamedTuple

from handlers.clock import monotonic
from handlers.commands.guard import Leases, kill_session
from handlers.commands.processes import start_guard, unstartable

logger = logging.getLogger(__name__)

_READ_BYTES = 65536
# A guard that has not ended a command so long after it was told to is taken for frozen. Less than the margin of a
# lease of 60 s. Twice as long after a time limit: a handler that was frozen itself must hear of the end first.
_ANSWER_SECONDS = 5
_SEND_AGAIN_SECONDS = 0.02
_PROGRAM_FAULTS = (ENOENT, ENOTDIR, EACCES, ENOEXEC, EPERM)


class Interrupted(Exception):
    """The command was ended before its time, or could not be started: what it did is unknown. Look, and try again."""


class LeaseEnded(Interrupted):
    """The lease ended: the command was killed or never started. Another handler may own the job by now."""


class End(NamedTuple):
    """How a command's leader ended, after all of it was dead."""

    status: int  # as subprocess gives it: negative for a signal
    timed_out: bool


@dataclass(slots=True)
class Running:
    """A command that was ordered. `ended` gives its End, or raises why there is none."""

    number: int
    name: str
    lease: str | None
    ended: "asyncio.Future[End]"
    watchdog: asyncio.TimerHandle
    pid: int | None = None


@dataclass(slots=True)
class _Order:
    line: bytes
    descriptors: list[int] = field(default_factory=list)

    def close(self) -> None:
        while self.descriptors:
            os.close(self.descriptors.pop())


class GuardClient:
    """Starts the guard when it is needed, and another when that one died."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`environment` is all that the commands get of the handler's own."""
        self._environment = dict(environment)
        self._leases = Leases()
        self._running: dict[int, Running] = {}
        self._numbers = 0
        self._link: socket.socket | None = None
        self._pid = 0
        self._outbox: deque[_Order] = deque()
        self._inbox = b""
        self._gone = asyncio.Event()
        self._gone.set()
        self._is_closed = False

    def open(self) -> None:
        """Starts the guard unless there is one. Raises Interrupted."""
        if self._link:
            return
        if self._is_closed:
            raise Interrupted("the handler is stopping")
        try:
            self._link, self._pid = start_guard(self._environment)
        except OSError as error:
            raise Interrupted(f"the guard could not be started: {error.strerror}") from error
        self._link.setblocking(False)
        self._inbox = b""
        self._gone.clear()
        asyncio.get_running_loop().add_reader(self._link, self._hear)
        self._order({"environment": self._environment})
        for lease, until in self._leases.held(monotonic()).items():
            self._order({"renew": lease, "until": until})

    async def close(self) -> None:
        """Ends all commands and the guard. No other is started."""
        self._is_closed = True
        if self._link:
            self._link.shutdown(socket.SHUT_WR)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * _ANSWER_SECONDS):
                    await self._gone.wait()
            self._bury()

    def renew(self, lease: str, until: float) -> None:
        """Commands may run under the lease until this instant of the monotonic clock."""
        self._leases.expire(monotonic())
        self._leases.renew(lease, float(until), monotonic())
        if self._link:
            self._order({"renew": lease, "until": float(until)})

    def end(self, lease: str) -> None:
        """Kills the lease's commands; none is started under it any more."""
        self._leases.end(lease)
        for running in self._running.values():
            if running.lease == lease:
                self._expect_end(running.number)
        if self._link:
            self._order({"end": lease})

    def start(
        self, path: str, argv: Sequence[str], *, lease: str | None, until: float, descriptors: Sequence[int]
    ) -> Running:
        """Orders a command. `descriptors` are its ends of stdout, stderr and, where there is one, stdin.

        They are closed here, also when this raises Interrupted.
        """
        start = {"path": path, "argv": list(argv), "lease": lease, "until": float(until), "pipes": len(descriptors)}
        self._numbers += 1
        order = _Order(_encode({"start": self._numbers, **start}), list(descriptors))
        try:
            self.open()
        except Interrupted:
            order.close()
            raise
        loop = asyncio.get_running_loop()
        watchdog = loop.call_at(until + _ANSWER_SECONDS, self._expect_end, self._numbers)
        running = Running(self._numbers, argv[0], lease, loop.create_future(), watchdog)
        self._running[running.number] = running
        self._send(order)
        return running

    def kill(self, running: Running) -> None:
        """Its end is still to be awaited."""
        if self._link and running.number in self._running:
            self._order({"kill": running.number})
            self._expect_end(running.number)

    def _expect_end(self, number: int) -> None:
        running = self._running[number]
        running.watchdog.cancel()
        loop = asyncio.get_running_loop()
        running.watchdog = loop.call_later(_ANSWER_SECONDS, self._kill_guard)

    def _order(self, order: Mapping[str, object]) -> None:
        self._send(_Order(_encode(order)))

    def _send(self, order: _Order) -> None:
        self._outbox.append(order)
        if len(self._outbox) == 1:
            self._flush()

    def _flush(self) -> None:
        while self._outbox and self._link:
            order = self._outbox[0]
            try:
                if order.descriptors:
                    sent = socket.send_fds(self._link, [order.line], order.descriptors)
                else:
                    sent = self._link.send(order.line)
            except OSError as error:
                if error.errno == ETOOMANYREFS or isinstance(error, BlockingIOError):
                    # Too many pipes are on their way, or the guard is slow to read.
                    asyncio.get_running_loop().call_later(_SEND_AGAIN_SECONDS, self._flush)
                # Otherwise the guard is dead, which its end of the link tells next.
                return
            order.close()
            order.line = order.line[sent:]
            if not order.line:
                self._outbox.popleft()

    def _hear(self) -> None:
        assert self._link
        try:
            received = self._link.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            received = b""
        if not received:
            self._bury()
            return
        *lines, self._inbox = (self._inbox + received).split(b"\n")
        for line in lines:
            self._note(json.loads(line))

    def _note(self, report: dict[str, object]) -> None:
        match report:
            case {"started": int(number), "pid": int(pid)}:
                self._running[number].pid = pid
            case {"ended": int(number), "cause": "lease"}:
                self._resolve(number, LeaseEnded("the command was killed because its lease had ended"))
            case {"ended": int(number), "cause": "order"}:
                self._resolve(number, Interrupted("the command was killed"))
            case {"ended": int(number), "status": int(status), "cause": cause}:
                self._resolve(number, End(status, timed_out=cause == "time_limit"))
            case {"refused": int(number), "lease": _}:
                self._resolve(number, LeaseEnded("the command was not started because its lease had ended"))
            case {"refused": int(number), "errno": int(error_number)} if error_number in _PROGRAM_FAULTS:
                self._resolve(number, unstartable(self._running[number].name, error_number))
            case {"refused": int(number), "errno": int(error_number)}:
                self._resolve(number, Interrupted(f"the command could not be started: {os.strerror(error_number)}"))
            case _:
                raise ValueError(f"not a report: {report}")

    def _resolve(self, number: int, end: End | Exception) -> None:
        running = self._running.pop(number)
        running.watchdog.cancel()
        if isinstance(end, End):
            running.ended.set_result(end)
        else:
            running.ended.set_exception(end)
            running.ended.exception()  # whoever awaits it still gets it; nobody else is told that it was not retrieved

    def _kill_guard(self) -> None:
        logger.warning("guard.frozen", extra={"pid": self._pid, "then": "it and its commands are killed"})
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def _bury(self) -> None:
        """The guard is dead: so must be its commands, which nobody watches any more."""
        if not self._link:
            return
        asyncio.get_running_loop().remove_reader(self._link)
        self._link.close()
        self._link = None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        while self._outbox:
            self._outbox.popleft().close()
        self._gone.set()
        if not self._running:
            return
        logger.warning("guard.lost", extra={"commands": len(self._running), "then": "they are killed"})
        self._kill_orphans()
        for number in list(self._running):
            self._resolve(number, Interrupted("the command was killed because its guard had died"))

    def _kill_orphans(self) -> None:
        """The leaders died with the guard, those too that it had no time to tell of; here goes what they left."""
        for running in self._running.values():
            if running.pid:
                kill_session(running.pid)


def _encode(order: Mapping[str, object]) -> bytes:
    return json.dumps(order).encode() + b"\n"
