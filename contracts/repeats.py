"""An event that repeats is logged at growing distances: the first, second, fourth, … time."""


class Repeats:
    """Counts what repeats until it is over."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def is_due(self, text: str) -> bool:
        """Notes that it happened again; True when that is worth a line."""
        count = self._counts[text] = self._counts.get(text, 0) + 1
        return count & (count - 1) == 0

    def count(self, text: str) -> int:
        """How often it has happened since `end`."""
        return self._counts.get(text, 0)

    def end(self) -> None:
        """It is over: the next one is a first one."""
        self._counts.clear()
