"""What a running command is at: since when, its last lines, and what it waits for in the cluster."""

from collections.abc import Callable

from contracts.records import Awaited, Progress
from handlers.clock import monotonic, utc_now
from handlers.commands.outputs import show_end
from handlers.commands.running import (
    Command,
    ExecutableMissing,
    ExecutableUnusable,
    Interrupted,
    LeaseEnded,
    RunCommand,
)

_LONGEST_BYTES = 2048
_LOOK_SECONDS = 4.0  # between looks at the cluster: a kubectl each
_UNSEEN = (ExecutableMissing, ExecutableUnusable, Interrupted, LeaseEnded)


class ProgressReader:
    """Of one command, from when it has begun. `run` runs what looks at the cluster, and notes it nowhere."""

    def __init__(self, command: Command, read_end: Callable[[], bytes], run: RunCommand) -> None:
        """`read_end` gives the last bytes that the command has printed."""
        self._command = command
        self._read_end = read_end
        self._run = run
        self._since = utc_now()
        self._waiting_for: tuple[Awaited, ...] = ()
        self._looked_at = float("-inf")

    async def read(self) -> Progress:
        """Never fails: what cannot be seen is left out."""
        command = self._command
        if command.see_awaited is not None and monotonic() - self._looked_at >= _LOOK_SECONDS:
            try:
                self._waiting_for = await command.see_awaited(self._run)
            except _UNSEEN:
                self._waiting_for = ()
            self._looked_at = monotonic()
        raw = self._read_end() if command.changes else b""
        lines = show_end(raw, _LONGEST_BYTES, command.all_secrets)
        return Progress(command.shown, self._since, lines, self._waiting_for)
