"""Files that an operator writes and a gateway reads again: whether one has changed, and since when it is broken."""

from collections.abc import Callable, Sequence
from pathlib import Path

BROKEN_SECONDS = 60  # so long a file may be broken before that is more than a slip of an editor


class Breakage:
    """What is wrong with a file, and for how long it has been. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._problems: list[str] = []
        self._since: float | None = None

    def note(self, problems: Sequence[str]) -> None:
        """What was found at this reading; nothing where the file is whole."""
        self._problems = list(problems)
        if not problems:
            self._since = None
        elif self._since is None:
            self._since = self._clock()

    @property
    def is_there(self) -> bool:
        return self._since is not None

    def find_lasting(self) -> list[str]:
        """What is wrong with the file, once it has been broken for longer than a slip."""
        if self._since is None or self._clock() - self._since < BROKEN_SECONDS:
            return []
        return self._problems


def sign_file(file: Path | None) -> tuple[int, ...] | None:
    """Changes when the file does, also when a mounted Secret is swapped by its symbolic link."""
    try:
        stat = file.stat() if file else None
    except (OSError, ValueError):  # a name that no file can have
        return None
    return stat and (stat.st_mtime_ns, stat.st_size, stat.st_ino)
