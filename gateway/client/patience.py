"""How long a gateway is waited for that does not answer, or cannot."""

import math
import time
from collections.abc import Callable

from gateway.client.answers import CallFailed, Refused

AWAY_SECONDS = 120
_LEAST_PAUSE_SECONDS = 1
_MOST_PAUSE_SECONDS = 60  # asked too early it answers so again, and counts nothing


class Patience:
    """With one that has answered before: it may be started anew, or another takes its place.

    `clock` counts seconds and never goes back.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._last_heard_at = -math.inf
        self._polled_at = -math.inf

    def note_answer(self) -> None:
        """One that is a success: who answers errors alone is not waited for without end."""
        self._last_heard_at = self._clock()

    def space(self) -> None:
        """Before each long poll: a gateway that is crowded answers at once rather than hold a connection."""
        left_seconds = self._polled_at + _LEAST_PAUSE_SECONDS - self._clock()
        if left_seconds > 0:
            self._sleep(left_seconds)
        self._polled_at = self._clock()

    def pause(self, error: CallFailed, most_seconds: float = math.inf) -> None:
        """Before the next try. Raises the error where there is to be none."""
        if error.is_final or self._clock() - self._last_heard_at > AWAY_SECONDS:
            raise error
        if isinstance(error, Refused) and error.is_too_early:
            self.note_answer()  # it works, and says when it is this caller's turn
        self._sleep(min(most_seconds, _MOST_PAUSE_SECONDS, max(_LEAST_PAUSE_SECONDS, error.retry_after_seconds)))
