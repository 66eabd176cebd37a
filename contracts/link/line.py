"""The line of jobs that wait for their tenant: a place each, in the order in which they came.

A place is a message in a stream of its own, whose subject says all. The server keeps one for each job.
"""

from collections.abc import Sequence
from typing import NamedTuple

from contracts import names
from contracts.link.api import Api, NoMessage
from contracts.link.errors import BucketFull, NotProvisioned, Refused
from contracts.link.streams import read_next


class Place(NamedTuple):
    """A job's place in the line of its tenant."""

    tenant: str
    job_id: str
    sequence: int


class Line:
    """All tenants' lines."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def join(self, tenant: str, job_id: str) -> None:
        """Takes the last place; who has one keeps it. Raises BucketFull, NotSent, Unanswered."""
        try:
            await self._api.publish(names.waiting_subject(tenant, job_id), b"", {})
        except Refused as error:
            if not error.is_duplicate:
                raise BucketFull(str(error)) from error

    async def join_together(self, places: Sequence[tuple[str, str]], seconds: float) -> None:
        """Takes the last places for tenants and jobs, in order. Raises BucketFull, NotSent, Unanswered."""
        try:
            messages = [(names.waiting_subject(*place), b"") for place in places]
            await self._api.publish_together(messages, {}, seconds)
        except (Refused, NotProvisioned):  # somebody has a place already, or the stream is of an earlier version
            for place in places:
                await self.join(*place)

    async def first(self, tenant: str, *, after: int = 0) -> Place | None:
        """Who is next, of those that came after a place's sequence. Raises NotProvisioned, Unanswered."""
        message = await read_next(self._api, names.WAITING_STREAM, after + 1, names.waiting_subjects(tenant))
        if message is None:
            return None
        return Place(tenant, names.read_waiting(message.subject)[1], message.sequence)

    async def leave(self, place: Place) -> None:
        """Gives the place up, if it still is there. Raises NotProvisioned, Unanswered."""
        request = {"seq": place.sequence, "no_erase": True}
        try:
            await self._api.ask(f"STREAM.MSG.DELETE.{names.WAITING_STREAM}", request)
        except NoMessage:
            return

    async def read(self) -> dict[str, set[str]]:
        """For each tenant for whom somebody waits, the jobs that have a place. Raises NotProvisioned, Unanswered."""
        found: dict[str, set[str]] = {}
        offset, total = 0, 1
        while offset < total:
            request = {"subjects_filter": ">", "offset": offset}
            answer = await self._api.ask(f"STREAM.INFO.{names.WAITING_STREAM}", request)
            subjects = answer["state"].get("subjects") or {}
            for tenant, job_id in map(names.read_waiting, subjects):
                found.setdefault(tenant, set()).add(job_id)
            offset, total = offset + max(len(subjects), 1), answer.get("total", 0)
        return found
