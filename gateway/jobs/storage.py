"""Whether NATS stores what it is sent. A full volume shows nowhere else: reads, and what asks for a state, go on.

A stream that could not store something once stores nothing more until its server is restarted (nats-server 2.15), so
there is nothing to ask: what was sent last says it, until it is old, until something is stored, or until the connection
was made anew.
"""

from collections.abc import Callable
from dataclasses import dataclass

# Long enough to be seen by whoever looks every few seconds, short enough to let somebody try again.
BELIEVED_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class _Failure:
    at: float
    reconnections: int


class Storage:
    """`clock` counts seconds, `reconnections` how often NATS came back; `count` is told the stream of each failure."""

    def __init__(
        self, clock: Callable[[], float], reconnections: Callable[[], int], count: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._reconnections = reconnections
        self._count = count
        self._failures: dict[str, _Failure] = {}

    def note_stored(self, stream: str) -> None:
        self._failures.pop(stream, None)

    def note_unstored(self, stream: str) -> None:
        """The stream was sent something and did not say that it holds it."""
        self._failures[stream] = _Failure(self._clock(), self._reconnections())
        self._count(stream)

    def find_failing(self) -> list[str]:
        """The streams that did not store what they were last sent."""
        return [stream for stream, failure in self._failures.items() if self._is_believed(failure)]

    def _is_believed(self, failure: _Failure) -> bool:
        is_young = self._clock() - failure.at < BELIEVED_SECONDS
        return is_young and failure.reconnections == self._reconnections()
