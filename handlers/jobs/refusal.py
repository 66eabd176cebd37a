"""What becomes of a message that is no job: a failed record where its id is free, else a dead letter."""

import logging

from contracts import names
from contracts.codes import Failure
from contracts.protocol import Answer, Event, look_up
from contracts.requests import raw_hash
from handlers.clock import utc_now
from handlers.jetstream import BucketFull, Conflict
from handlers.jobs.incoming import Delivery, begin
from handlers.jobs.records import Records
from handlers.jobs.runtime import Runtime

logger = logging.getLogger(__name__)

BUCKET_FULL_DELAY_SECONDS = 10


class Refusal:
    """Ends messages that cannot be worked on. All of it raises Unanswered."""

    def __init__(self, runtime: Runtime, records: Records) -> None:
        self._runtime = runtime
        self._records = records

    async def refuse(self, delivery: Delivery, kind: str, job_id: str, failure: Failure) -> None:
        """An unreadable request whose id can be read: a failed job, unless the id is another's."""
        refused_hash = raw_hash(delivery.body)
        while True:
            record, revision = await self._records.read(job_id)
            if record is not None and record.request_hash == refused_hash:
                await self._runtime.tell_end_once(record, revision)
                break  # ours: the TERM was lost
            if look_up(record, Event.UNREADABLE).answer is Answer.DEAD_LETTER:
                await self.bury(delivery, kind, job_id, failure)
                return
            refused = begin(delivery, kind, job_id, refused_hash, None).failed(failure, utc_now())
            try:
                await self._records.end(refused, revision)
            except Conflict:
                continue
            except BucketFull as error:
                await self.hand_back_for_room(delivery, error)
                return
            logger.warning("job.refused", extra={"reason": refused.reason, "error": refused.summary})
            break
        await delivery.terminate(failure.code)

    async def bury(self, delivery: Delivery, kind: str, token: str, failure: Failure) -> None:
        """A dead letter, for what can have no record of its own."""
        headers = {name: value for name, value in delivery.headers.items() if _is_kept(name)}
        headers |= {
            names.HEADER_REASON: failure.code,
            names.HEADER_SUBJECT: delivery.subject,
            names.HEADER_SEQUENCE: str(delivery.sequence),
        }
        await self._runtime.jetstream.write_dead_letter(names.dead_subject(kind, token), delivery.body, headers)
        logger.warning("message.buried", extra={"reason": failure.code, "subject": delivery.subject})
        self._runtime.metrics.count_dead_letter(failure.code)
        await delivery.terminate(failure.code)

    async def hand_back_for_room(self, delivery: Delivery, error: BucketFull) -> None:
        """The bucket is full: nothing starts that cannot be recorded, or whose tenant cannot be taken.

        It comes again until there is room, which comes by itself: what both buckets hold of ended jobs expires.
        """
        logger.error("bucket.full", extra={"error": str(error), "next": "it comes again after a while"})
        self._runtime.note_delay(BUCKET_FULL_DELAY_SECONDS)
        await delivery.hand_back(BUCKET_FULL_DELAY_SECONDS)


def _is_kept(name: str) -> bool:
    """Neither one that the server heeds, nor one that it took from a publisher and nobody here can send."""
    return not name.startswith("Nats-") and names.HEADER_NAME.fullmatch(name) is not None
