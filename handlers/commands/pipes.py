"""A command's pipes as an event loop sees them: what goes in is fed, what comes out is captured within bounds."""

import asyncio
import contextlib
import os
from collections import deque

_READ_BYTES = 65536  # what a pipe holds on Linux
_LONGEST_LINE_BYTES = 4096
_END_BYTES = 8192


class Capture:
    """Reads a stream to its end. Beyond `limit_bytes` its head and its tail are kept and the middle is dropped.

    The command is never blocked by us: what is dropped is read all the same.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit_bytes: int) -> None:
        self._loop = loop
        self._half = limit_bytes // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._cut_bytes = 0
        self._descriptor, self.child_end = os.pipe()
        self.at_end = asyncio.Event()
        os.set_blocking(self._descriptor, False)
        loop.add_reader(self._descriptor, self._read)

    @property
    def overflowed(self) -> bool:
        return self._cut_bytes > 0

    @property
    def content(self) -> bytes:
        """Whole, unless it overflowed: then the cut is named between the whole lines that are kept."""
        tail = b"".join(self._tail)
        if not self._cut_bytes:
            return bytes(self._head) + tail
        # Cut at the ends of lines where they are near, so that no half of a secret is left that nobody can recognise.
        head = self._head[: self._head.rfind(b"\n", -_LONGEST_LINE_BYTES) + 1] or self._head
        rest = tail[-self._half :]
        rest = rest[rest.find(b"\n", 0, _LONGEST_LINE_BYTES) + 1 :]
        cut_bytes = len(self._head) + len(tail) + self._cut_bytes - len(head) - len(rest)
        return bytes(head) + f"… {cut_bytes:,} bytes cut …\n".encode() + rest

    @property
    def end(self) -> bytes:
        """The last whole lines so far: of one that was cut, nobody could tell whether half a secret is in it."""
        last = b"".join(self._tail)[-_END_BYTES:] if self._tail else bytes(self._head[-_END_BYTES:])
        return last if len(last) < _END_BYTES else last[last.find(b"\n") + 1 :]

    def read_available(self) -> None:
        """Takes what is in the pipe now."""
        while not self.at_end.is_set() and self._read():
            pass

    def abandon(self) -> None:
        """Closes it before any command has it."""
        self.close()
        os.close(self.child_end)

    def close(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> bool:
        """Whether there was something."""
        try:
            part = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        if not part:
            self.at_end.set()
            self.close()
            return False
        self._keep(part)
        return True

    def _keep(self, part: bytes) -> None:
        room = self._half - len(self._head)
        if room > 0:
            self._head += part[:room]
            part = part[room:]
        if not part:
            return
        self._tail.append(part)
        self._tail_bytes += len(part)
        while self._tail_bytes - len(self._tail[0]) >= self._half:
            dropped = len(self._tail.popleft())
            self._tail_bytes -= dropped
            self._cut_bytes += dropped


class Feed:
    """Writes all of `content` and closes the stream; a command that stops reading stops it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, content: bytes) -> None:
        self._loop = loop
        self._rest = memoryview(content)
        self.child_end, self._descriptor = os.pipe()
        os.set_blocking(self._descriptor, False)
        self._write()
        if self._descriptor >= 0:
            loop.add_writer(self._descriptor, self._write)

    def close(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self) -> None:
        try:
            with contextlib.suppress(BlockingIOError):
                while self._rest:
                    self._rest = self._rest[os.write(self._descriptor, self._rest) :]
        except BrokenPipeError:
            self._rest = self._rest[:0]
        if not self._rest:
            self.close()
