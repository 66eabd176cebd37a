"""Batches: jobs that one call submits, all of them or none. Each is a job of its own, which knows its place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from contracts import names

MOST_PLANS = 100  # in a call; each takes a handler about a second
MOST_REQUESTS = 1000  # as many as the server takes into one atomic batch (nats-server 2.15)

_PLACE = re.compile(r"(?P<batch_id>[0-9a-f-]{36})/(?P<index>0|[1-9][0-9]{0,3})/(?P<count>[1-9][0-9]{0,3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Which of how many jobs of a batch, the first at 0."""

    batch_id: str
    index: int
    count: int

    @property
    def job_id(self) -> str:
        return names.batch_job_id(self.batch_id, self.index)

    def __str__(self) -> str:
        return f"{self.batch_id}/{self.index}/{self.count}"


def read_place(text: str) -> Place | None:
    """The place in a header or record, None where the text names none."""
    found = _PLACE.fullmatch(text)
    if found is None or not names.is_batch_id(found["batch_id"]):
        return None
    place = Place(found["batch_id"], int(found["index"]), int(found["count"]))
    return place if place.index < place.count <= MOST_REQUESTS else None


def find_place(job_id: str, headers: Mapping[str, str]) -> str | None:
    """The header, where it tells the truth: anybody may send one, and the job's id is made of its place."""
    text = headers.get(names.HEADER_BATCH, "")
    place = read_place(text)
    return text if place and place.job_id == job_id else None


def list_places(batch_id: str, count: int = MOST_REQUESTS) -> list[Place]:
    """All places of a batch, in order."""
    return [Place(batch_id, index, count) for index in range(count)]
