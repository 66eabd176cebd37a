"""What becomes of a delivery: its record decides whether it is answered, watched, made to wait, or worked on.

The order of the questions is that of `contracts.protocol`. Nothing is answered before what became of the job is saved;
where that is not known, nothing is answered at all, and the message comes again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, replace

from contracts import names
from contracts.codes import Failure
from contracts.protocol import ACK_WAIT_PART, MAX_LOSSES, Answer, Event, look_up
from contracts.records import TENANT_BUSY, JobRecord, LaterRecord, Status
from handlers.clock import utc_now
from handlers.jetstream import BucketFull, NotProvisioned, NotSent, Unanswered
from handlers.jobs.claim import OWN_FAULT, Claims, NotBegun
from handlers.jobs.incoming import Delivery, Incoming, UnusableRequest, bind_delivery, peek_tenant, read_incoming
from handlers.jobs.lease import LeaseLost
from handlers.jobs.plan import NoPlan
from handlers.jobs.records import Records
from handlers.jobs.refusal import Refusal
from handlers.jobs.runtime import Runtime
from handlers.jobs.slots import Slots
from handlers.jobs.tenant_lock import Tenants
from handlers.jobs.waiting import Waiting
from handlers.jobs.watching import Watch

logger = logging.getLogger(__name__)

LONGEST_TENANT_DELAY_SECONDS = 30
LATER_RECORD_DELAY_SECONDS = 10
_LEAST_TOGETHER = 8  # below, a batch costs the server more than it spares


# Whether a delivery is dealt with by it. False when another write came first: then it is asked again.
Decide = Callable[[Incoming], Awaitable[bool]]


@dataclass(slots=True)
class Admission:
    """Handles deliveries one by one; several at a time in the tasks of its consumer."""

    runtime: Runtime
    records: Records
    refusal: Refusal
    claims: Claims
    tenants: Tenants
    waiting: Waiting
    slots: Slots
    in_hand: set[str]  # jobs that this handler holds or watches

    async def handle(self, delivery: Delivery) -> None:
        """Deals with one delivery, in a slot. Raises nothing that another delivery would suffer from."""
        await self._attend(delivery, self._admit)

    async def park(self, delivery: Delivery) -> None:
        """The same for one whose tenant is known to be held: without a slot."""
        await self._attend(delivery, self._park)

    async def park_together(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """The same for many at the cost of few; gives those that have to be parked one by one."""
        incoming = self._read_new(deliveries)
        if len(incoming) < _LEAST_TOGETHER or not await self._park_new(list(incoming.values())):
            return deliveries
        parked = {one.delivery.sequence for one in incoming.values()}
        return [delivery for delivery in deliveries if delivery.sequence not in parked]

    def _read_new(self, deliveries: Sequence[Delivery]) -> dict[str, Incoming]:
        """What can be read and is not in hand, by job."""
        found: dict[str, Incoming] = {}
        for delivery in deliveries:
            address = names.read_subject(delivery.subject)
            if address.job_id is None or address.job_id in self.in_hand:
                continue
            with suppress(UnusableRequest):
                incoming = read_incoming(delivery, address.kind, address.job_id)
                if incoming.tenant is not None:
                    found[incoming.job_id] = incoming
        return found

    async def _park_new(self, incoming: Sequence[Incoming]) -> bool:
        """False where they were not parked."""
        records: dict[str, list[JobRecord]] = {}
        for one in incoming:
            records.setdefault(one.tenant or "", []).append(one.record)
        ids = {one.job_id for one in incoming}
        self.in_hand |= ids
        try:
            if not await self.waiting.park_together(records):
                return False
        finally:
            self.in_hand -= ids  # what comes from now on is published anew
        for one in incoming:
            copy_context().run(_log_waits, one.delivery, one.job_id)
        await asyncio.gather(*(one.delivery.acknowledge() for one in incoming))
        for tenant in records:
            await self.waiting.look_again(tenant)
        return True

    def is_known_to_wait(self, delivery: Delivery) -> bool:
        """Whether another job of its tenant is known to be at work."""
        if not self.waiting.knows_any:
            return False
        tenant = peek_tenant(delivery)
        return tenant is not None and self.waiting.is_known_held(tenant)

    async def _attend(self, delivery: Delivery, decide: Decide) -> None:
        address = names.read_subject(delivery.subject)
        bind_delivery(delivery, address.job_id)
        try:
            if address.job_id is None:
                failure = Failure("invalid_request", "The subject holds no legal job id.")
                await self.refusal.bury(delivery, address.kind, f"seq-{delivery.sequence}", failure)
            elif address.job_id not in self.in_hand:  # else its owner here answers at the end
                self.in_hand.add(address.job_id)
                try:
                    await self._handle(delivery, address.kind, address.job_id, decide)
                finally:
                    self.in_hand.discard(address.job_id)
        except LaterRecord as error:
            logger.error("record.later", extra={"error": str(error), "next": "a newer handler must take the job"})
            self.runtime.note_later_record()
            await delivery.hand_back(LATER_RECORD_DELAY_SECONDS)
        except (Unanswered, LeaseLost) as error:
            logger.warning("delivery.dropped", extra={"error": repr(error)})
            self.runtime.note_delay(self.runtime.lease_seconds * ACK_WAIT_PART)  # then it comes again, maybe to us

    async def _handle(self, delivery: Delivery, kind: str, job_id: str, decide: Decide) -> None:
        try:
            incoming = read_incoming(delivery, kind, job_id)
        except UnusableRequest as error:
            await self.refusal.refuse(delivery, kind, job_id, error.failure)
            return
        try:
            while not await decide(incoming):
                pass
        except BucketFull as error:
            await self.refusal.hand_back_for_room(delivery, error)
        except (Unanswered, LeaseLost, LaterRecord):
            raise
        except Exception:  # a fault of ours must end the job too, and be seen
            logger.exception("job.crashed")
            await self._end_crashed(incoming)

    async def _admit(self, incoming: Incoming) -> bool:
        """Whether the delivery is dealt with. False when another write came first: look again."""
        record, revision = await self.records.read(incoming.job_id)
        if record is not None and record.request_hash != incoming.record.request_hash:
            taken = Failure("job_id_taken", "The job id belongs to another request.")
            await self.refusal.bury(incoming.delivery, incoming.record.kind, incoming.job_id, taken)
            return True
        row = look_up(record, Event.DELIVERY)
        if row.answer is Answer.ACK and record is not None:
            await self.runtime.tell_end_once(record, revision)
            await self.waiting.conclude(incoming, record)
            return True
        # Bytes that are no record, over a job that runs: its owner finds out when it renews, or its guard does.
        lost = row.answer is Answer.WATCH or (record is None and revision > 0)
        if lost and not await self._stands_still(incoming, record, revision):
            return True
        current = _merge(record, incoming.record)
        if lost and current.losses >= MAX_LOSSES:
            reason = f"The handlers of this job died or fell silent {current.losses + 1} times."
            await self._fail(incoming, current, revision, Failure("too_many_losses", reason))
            return True
        tenant = incoming.tenant
        if tenant is not None and (ahead := await self._take(tenant, current)) is not None:
            self.waiting.note_held(tenant)
            return await self._wait(incoming, tenant, current, revision, ahead)
        return await self._work_on(incoming, current, revision, lost=lost)

    async def _work_on(self, incoming: Incoming, record: JobRecord, revision: int, *, lost: bool) -> bool:
        """Ends what cannot be begun, also where a silent owner has it: nobody else would."""
        try:
            return await self.claims.work_on(incoming, record, revision, lost=lost)
        except NoPlan:
            failure = Failure("kind_unsupported", f"This handler cannot do jobs of the kind {record.kind}.")
        except NotBegun:
            logger.exception("job.crashed")
            failure = OWN_FAULT
        await self._fail(incoming, record, revision, failure)
        return True

    async def _take(self, tenant: str, record: JobRecord) -> str | None:
        """Takes the tenant for the job, or gives the job that has it, or waits for it and came before."""
        if record.status is Status.QUEUED:
            with suppress(LaterRecord, NotProvisioned):  # a line that this version cannot read, or has not got
                first = await self.waiting.first(tenant)
                if first is not None and first.job_id != record.job_id:
                    return first.job_id
        return await self.tenants.take(tenant, record.job_id)

    async def _park(self, incoming: Incoming) -> bool:
        """Whatever is not new is looked at in a slot."""
        if incoming.tenant is not None and await self._wait(incoming, incoming.tenant, incoming.record, 0):
            return True
        async with self.slots.taken():
            return await self._admit(incoming)

    async def _stands_still(self, incoming: Incoming, record: JobRecord | None, revision: int) -> bool:
        """Watched for its owner's lease: provision may have given others a shorter one since the claim."""
        lease_seconds = (record and record.lease_seconds) or self.runtime.lease_seconds
        bucket, delivery = self.records.bucket, incoming.delivery
        watch = Watch(self.runtime, bucket, self.slots, delivery, incoming.job_id, lease_seconds)
        return await watch.stands_still(revision)

    async def _wait(
        self, incoming: Incoming, tenant: str, record: JobRecord, revision: int, ahead: str | None = None
    ) -> bool:
        """What has not begun is parked; what has, or finds no room, keeps its message and comes again."""
        if record.status is Status.QUEUED:
            try:
                if not await self.waiting.park(tenant, record, revision):
                    return False
            except (BucketFull, NotSent) as error:
                logger.warning("job.not_parked", extra={"error": str(error), "next": "it comes again after a while"})
            else:
                logger.info("job.waits", extra={"reason": TENANT_BUSY, "behind": ahead})
                await self.waiting.give_up(incoming)
                await self.waiting.look_again(tenant)
                return True
        delay_seconds = min(2 ** min(incoming.delivery.delivered, 10) / 2, LONGEST_TENANT_DELAY_SECONDS)
        self.runtime.note_delay(delay_seconds)
        await incoming.delivery.hand_back(delay_seconds)
        return True

    async def _fail(self, incoming: Incoming, record: JobRecord, revision: int, failure: Failure) -> None:
        """Ends a job that nobody holds."""
        failed = record.failed(failure, utc_now())
        await self.records.end_unheld(failed, revision)
        logger.error("job.ended", extra={"status": "failed", "reason": failure.code})
        await self.waiting.conclude(incoming, failed)

    async def _end_crashed(self, incoming: Incoming) -> None:
        """Only where nobody holds it: an owner ends it itself."""
        record, revision = await self.records.read(incoming.job_id)
        if record is not None and (record.is_held or record.is_finished):
            return
        await self._fail(incoming, record or incoming.record, revision, OWN_FAULT)


def _log_waits(delivery: Delivery, job_id: str) -> None:
    bind_delivery(delivery, job_id)
    logger.info("job.waits", extra={"reason": TENANT_BUSY})


def _merge(record: JobRecord | None, published: JobRecord) -> JobRecord:
    """What is kept of the job. A handler of 0.1.0 that has handed it back dropped what it does not know."""
    if record is None:
        return published
    return replace(record, bound=record.bound or published.bound, batch=record.batch or published.batch)
