"""The cancel mark: what a person leaves for the owner of a running job, beside the record and never in it."""

from dataclasses import dataclass
from functools import cache

import orjson
from pydantic import TypeAdapter, ValidationError

from contracts.records import JobRecord


@dataclass(frozen=True, slots=True)
class CancelMark:
    """`run` is the run that was asked to end, so that an old mark never ends a job that was reopened since."""

    caller: str
    requested_at: str
    run: int
    request_id: str | None = None  # of who asked; 0.1.0 says none

    def applies_to(self, record: JobRecord) -> bool:
        return self.run == record.run


def encode_cancel(mark: CancelMark) -> bytes:
    return orjson.dumps(mark)


def decode_cancel(body: bytes) -> CancelMark | None:
    """None for bytes that are no mark: a cancel must be meant."""
    try:
        return _adapter().validate_json(body)
    except ValidationError:
        return None


@cache
def _adapter() -> TypeAdapter[CancelMark]:
    """Made with the first mark that is read: most handlers read none."""
    return TypeAdapter(CancelMark)
