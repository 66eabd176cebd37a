"""The cursor of a list: which parts of the bucket and of the queue the caller has not seen."""

import base64
from dataclasses import dataclass, replace

import orjson

from gateway.listing.sequences import Interval

_MOST_INTERVALS = 4


@dataclass(frozen=True, slots=True)
class Cursor:
    """`records` are the unseen intervals of the bucket, newest first; `top` is the newest sequence they ever reached.

    A job that changes moves beyond `top`, so the next page begins there: it may repeat a job, but never misses one.
    """

    top: int
    records: tuple[Interval, ...]
    queued: Interval

    def reaching(self, last_sequence: int) -> "Cursor":
        """With what was written since."""
        if last_sequence <= self.top:
            return self
        intervals = (Interval(self.top + 1, last_sequence), *self.records)
        if len(intervals) > _MOST_INTERVALS:
            # The two newest become one: what lies between them is repeated.
            intervals = (Interval(intervals[1].low, last_sequence), *intervals[2:])
        return replace(self, top=last_sequence, records=intervals)

    def below(self, sequence: int) -> "Cursor":
        """With every record from the sequence on seen."""
        left = (
            Interval(interval.low, min(interval.high, sequence - 1))
            for interval in self.records
            if interval.low < sequence
        )
        return replace(self, records=tuple(left))

    def without_queued(self, sequence: int) -> "Cursor":
        """With every queued message from the sequence on seen."""
        return replace(self, queued=Interval(self.queued.low, sequence - 1))


def encode_cursor(cursor: Cursor) -> str:
    numbers = [cursor.top, cursor.queued.low, cursor.queued.high]
    for interval in cursor.records:
        numbers += [interval.low, interval.high]
    return base64.urlsafe_b64encode(orjson.dumps(numbers)).decode().rstrip("=")


def decode_cursor(text: str) -> Cursor:
    """Raises ValueError."""
    try:
        numbers = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        raise ValueError("no cursor") from None
    if not isinstance(numbers, list) or not 3 <= len(numbers) <= 3 + 2 * _MOST_INTERVALS or len(numbers) % 2 == 0:
        raise ValueError("no cursor")
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        raise ValueError("no cursor")
    top, low, high, *bounds = numbers
    intervals = tuple(Interval(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=True))
    if any(interval.high < interval.low for interval in intervals):
        raise ValueError("no cursor")
    return Cursor(top, intervals, Interval(low, high))
