"""Telling of transitions: each may be lost but the last one of a run, which a stream has acknowledged."""

import orjson
from nats.aio.client import Client

from contracts import names
from contracts.documents import event_document
from contracts.link.api import Api
from contracts.link.core_messages import publish_event
from contracts.link.errors import Refused, TooLarge, Unanswered
from contracts.link.streams import read_last
from contracts.records import JobRecord
from contracts.reporting.events import HEADER_ID, event_headers, event_id


class Events:
    """The events of all jobs, kept for who comes later."""

    def __init__(self, client: Client, api: Api) -> None:
        self._client = client
        self._api = api

    async def tell(self, record: JobRecord, revision: int) -> None:
        """At most once: who needs certainty waits for the end, or reads the record."""
        await publish_event(self._client, record.job_id, _body(record, revision), event_headers(record, revision))

    async def tell_end(self, record: JobRecord, revision: int) -> None:
        """Returns once the stream holds it. Told twice it has the same id. Raises NotSent, Unanswered."""
        subject = names.told_subject(record.job_id)
        try:
            await self._api.publish(subject, _body(record, revision), event_headers(record, revision))
        except (Refused, TooLarge) as error:
            raise Unanswered(f"{subject}: {error!r}") from error

    async def tell_end_once(self, record: JobRecord, revision: int) -> bool:
        """Where the stream does not hold it: whoever ended the job may have died before. Whether it was missing.

        Raises NotProvisioned, Unanswered.
        """
        last = await read_last(self._api, names.EVENTS_STREAM, names.event_subject(record.job_id))
        if last is not None and last.headers.get(HEADER_ID) == event_id(record.job_id, revision):
            return False
        await self.tell_end(record, revision)
        return True


def _body(record: JobRecord, revision: int) -> bytes:
    return orjson.dumps(event_document(record, revision))
