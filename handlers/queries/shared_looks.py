"""What the plans of one batch see of the cluster: each look is had once, for all of them.

A plan promises what would be done now, and a minute later is as good as now; a job never takes a look of another.
"""

from collections.abc import Callable

from handlers.commands.running import Command, Completed
from handlers.results import RunCommand

KEPT_SECONDS = 60.0
_MOST = 5_000  # looks; a hundred plans have a dozen each

Look = tuple[tuple[str, ...], bytes | None]


class SharedLooks:
    """Those of the batch that was planned last. `clock` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._batch = ""
        self._until = 0.0
        self._seen: dict[Look, Completed] = {}

    def of(self, batch: str, run: RunCommand) -> RunCommand:
        """Runs what the batch has not seen; what failed is asked again."""
        if batch != self._batch or self._clock() >= self._until:
            self._batch, self._until, self._seen = batch, self._clock() + KEPT_SECONDS, {}
        seen = self._seen

        async def look(command: Command) -> Completed:
            asked = tuple(map(str, command.argv)), command.stdin
            if command.changes or command.all_secrets:
                return await run(command)
            if asked not in seen:
                completed = await run(command)
                if completed.exit_code != 0 or len(seen) >= _MOST:
                    return completed
                seen[asked] = completed
            return seen[asked]

        return look
