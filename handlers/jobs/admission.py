"""What becomes of a delivery: read it, read the record, take the tenant, claim, run, end, answer.

Every decision is a row of `contracts.protocol.TABLE`. Nothing is answered before what became of the job is saved; where
that is not known, nothing is answered at all, and the message comes again.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import orjson

from contracts import names
from contracts.codes import Failure
from contracts.logs import bind
from contracts.protocol import ACK_WAIT_PART, MAX_LOSSES, RENEWAL_PART, Answer, Event, look_up
from contracts.records import (
    MAX_DATA_BYTES,
    JobRecord,
    Status,
    UnreadableRecord,
    decode_record,
    encode_record,
    fit,
    queued_record,
)
from contracts.requests import (
    BootstrapRequest,
    InvalidRequest,
    NotJson,
    Request,
    encode_request,
    read_request,
    request_hash,
)
from handlers.clock import monotonic, utc_now
from handlers.jetstream import BucketFull, Conflict, Delivery, Unanswered
from handlers.jobs.execution import Execution, Plan, Stopped, Workshop
from handlers.jobs.lease import Lease, LeaseLost
from handlers.jobs.slots import Slots
from handlers.jobs.tenant_lock import Tenants

logger = logging.getLogger(__name__)

QUERY_RETENTION_SECONDS = 600
LONGEST_TENANT_DELAY_SECONDS = 30
BUCKET_FULL_DELAY_SECONDS = 10
_WATCH_PAUSE_PART = 1 / 24  # of a lease: how often a watched record is read

_OWN_FAULT = Failure("command_failed", "The handler met an error of its own; its log holds the traceback.")

MakePlan = Callable[[JobRecord, Request], Plan]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A readable message: the record it would start as, and its request."""

    delivery: Delivery
    record: JobRecord
    request: Request

    @property
    def job_id(self) -> str:
        return self.record.job_id


@dataclass(slots=True)
class Admission:
    """Handles deliveries one by one; several at a time in the tasks of its consumer."""

    shop: Workshop
    tenants: Tenants
    make_plan: MakePlan
    slots: Slots
    in_hand: set[str] = field(default_factory=set)  # jobs that this handler holds or watches

    async def handle(self, delivery: Delivery) -> None:
        """Deals with one delivery. Raises nothing that another delivery would suffer from."""
        address = names.read_subject(delivery.subject)
        bind(job_id=address.job_id, request_id=_traced(delivery, names.HEADER_REQUEST_ID))
        if traceparent := _traced(delivery, names.HEADER_TRACEPARENT):
            bind(traceparent=traceparent)
        try:
            if address.job_id is None:
                failure = Failure("invalid_request", "The subject holds no legal job id.")
                await self._bury(delivery, address.kind, f"seq-{delivery.sequence}", failure)
            elif address.job_id not in self.in_hand:  # row: held, OWN
                self.in_hand.add(address.job_id)
                try:
                    await self._handle(delivery, address.kind, address.job_id)
                finally:
                    self.in_hand.discard(address.job_id)
        except (Unanswered, LeaseLost) as error:
            logger.warning("delivery.dropped", extra={"error": repr(error)})
            self.shop.note_delay(self.shop.lease_seconds * ACK_WAIT_PART)  # then it comes again, maybe to us

    async def _handle(self, delivery: Delivery, kind: str, job_id: str) -> None:
        try:
            incoming = _read_incoming(delivery, kind, job_id)
        except Exception as error:  # whatever it is that cannot be read: it must end
            await self._refuse(delivery, kind, job_id, _explain(error))
            return
        try:
            await self._admit(incoming)
        except (Unanswered, LeaseLost):
            raise
        except Exception:  # a fault of ours must end the job too, and be seen
            logger.exception("job.crashed")
            await self._end_crashed(incoming)

    async def _admit(self, incoming: Incoming) -> None:
        delivery = incoming.delivery
        while True:
            record, revision = await self._read(incoming.job_id)
            if record is not None and record.request_hash != incoming.record.request_hash:
                taken = Failure("job_id_taken", "The job id belongs to another request.")
                await self._bury(delivery, incoming.record.kind, incoming.job_id, taken)
                return
            row = look_up(record, Event.DELIVERY)
            if row.answer is Answer.ACK:
                await delivery.acknowledge()
                return
            # Bytes that are no record, over a job that runs: its owner finds out when it renews, or its guard does.
            lost = row.answer is Answer.WATCH or (record is None and revision > 0)
            if lost and not await self._stands_still(delivery, incoming.job_id, revision):
                return  # row: held, MOVED
            current = record or incoming.record
            if lost and current.losses >= MAX_LOSSES:
                await self._end_lost(delivery, current, revision)
                return
            if await self._is_tenant_busy(incoming, record, revision):
                return
            if await self._work(incoming, current, revision, lost=lost):
                return

    async def _work(self, incoming: Incoming, record: JobRecord, revision: int, *, lost: bool) -> bool:
        """Claims the job and works on it. False when another write came first: look again."""
        shop, delivery = self.shop, incoming.delivery
        plan = self.make_plan(record, incoming.request)
        lease = Lease(shop.jetstream.jobs, delivery, shop.commands, shop.lease_seconds, shop.stopping)
        claimed = record.claimed(lease.owner, utc_now(), lost=lost).with_inputs(plan.inputs, simulated=shop.simulated)
        try:
            claimed = await lease.claim(claimed, revision)
        except LeaseLost:
            return False
        except BucketFull:
            logger.error("bucket.full")
            await self._hand_back(delivery, BUCKET_FULL_DELAY_SECONDS)
            return True
        await shop.publish_transition(claimed, lease.revision)
        bind(caller=claimed.caller, attempt=claimed.attempt)
        logger.info("job.claimed", extra={"kind": claimed.kind, "lost": lost})
        if lost:
            shop.metrics.count_loss("taken_over")
        keeper = asyncio.create_task(lease.keep())
        try:
            await self._run(delivery, Execution(shop, lease, plan))
        finally:
            keeper.cancel()
            lease.give_up()
        return True

    async def _run(self, delivery: Delivery, execution: Execution) -> None:
        """Runs the claimed job; saved, then acknowledged. Raises LeaseLost: then nothing is answered."""
        try:
            record = await execution.run()
        except Stopped as stopped:
            await execution.save(stopped.record.handed_back(utc_now()))
            await delivery.hand_back()
            logger.info("job.handed_back")
            return
        except LeaseLost:
            self.shop.metrics.count_loss("lease_lost")
            raise
        except Exception:  # a fault of ours must end the job too, and be seen
            logger.exception("job.crashed")
            record = execution.lease.record.failed(_OWN_FAULT, utc_now())
        await self._end(delivery, execution, record)

    async def _end(self, delivery: Delivery, execution: Execution, record: JobRecord) -> None:
        record = await execution.save(_without_excess(record), ttl_seconds=self._retention(record.kind))
        logger.info("job.ended", extra={"status": record.status.value, "reason": record.reason})
        self.shop.metrics.count_job(record.kind, record.status.value, record.reason or "")
        await delivery.acknowledge()

    async def _stands_still(self, delivery: Delivery, job_id: str, revision: int) -> bool:
        """Watches a held record for a full lease on our own clock, without a slot. True when nobody wrote it."""
        lease_seconds = self.shop.lease_seconds
        ends_at = monotonic() + lease_seconds
        extend_at = monotonic()
        async with self.slots.lent():
            while (left := ends_at - monotonic()) > 0:
                if self.shop.stopping.is_set():
                    await delivery.hand_back()
                    return False
                if monotonic() >= extend_at:
                    await delivery.extend()
                    extend_at = monotonic() + lease_seconds * RENEWAL_PART
                await asyncio.sleep(min(left, lease_seconds * _WATCH_PAUSE_PART))
                try:
                    entry = await self.shop.jetstream.jobs.read(job_id)
                except Unanswered:
                    ends_at = monotonic() + lease_seconds  # silence of NATS is no silence of the owner
                    continue
                if entry.revision != revision:
                    return False
        return True

    async def _is_tenant_busy(self, incoming: Incoming, record: JobRecord | None, revision: int) -> bool:
        if not isinstance(incoming.request, BootstrapRequest):
            return False
        try:
            holder = await self.tenants.take(incoming.request.tenant, incoming.job_id)
        except BucketFull:
            logger.error("bucket.full")
            await self._hand_back(incoming.delivery, BUCKET_FULL_DELAY_SECONDS)
            return True
        if holder is None:
            return False
        await self._note_waiting(record or incoming.record, revision)
        delay_seconds = min(2 ** min(incoming.delivery.delivered, 10) / 2, LONGEST_TENANT_DELAY_SECONDS)
        logger.info("job.waits", extra={"reason": "tenant_busy", "holder": holder})
        await self._hand_back(incoming.delivery, delay_seconds)
        return True

    async def _note_waiting(self, record: JobRecord, revision: int) -> None:
        """Says why it waits, once; where that cannot be written, it waits all the same."""
        if record.status is not Status.QUEUED or record.reason == "tenant_busy":
            return
        waiting = record.waiting("tenant_busy", utc_now())
        try:
            await self.shop.jetstream.jobs.write(record.job_id, encode_record(waiting), last=revision)
        except (Conflict, BucketFull, Unanswered):
            logger.debug("waiting.unwritten")

    async def _hand_back(self, delivery: Delivery, delay_seconds: float) -> None:
        self.shop.note_delay(delay_seconds)
        await delivery.hand_back(delay_seconds)

    async def _refuse(self, delivery: Delivery, kind: str, job_id: str, failure: Failure) -> None:
        """An unreadable request whose id can be read: a failed job, unless the id is another's."""
        raw_hash = f"raw:{hashlib.sha256(delivery.body).hexdigest()}"
        while True:
            record, revision = await self._read(job_id)
            if record is not None and record.request_hash == raw_hash:
                break  # ours: the TERM was lost
            if look_up(record, Event.UNREADABLE).answer is Answer.DEAD_LETTER:
                await self._bury(delivery, kind, job_id, failure)
                return
            refused = _first_record(delivery, kind, job_id, raw_hash, None).failed(failure, utc_now())
            try:
                await self._write_end(refused, revision)
            except Conflict:
                continue
            except BucketFull:
                await self._hand_back(delivery, BUCKET_FULL_DELAY_SECONDS)
                return
            logger.warning("job.refused", extra={"reason": failure.code, "error": failure.message})
            break
        await delivery.terminate(failure.code)

    async def _end_lost(self, delivery: Delivery, record: JobRecord, revision: int) -> None:
        failure = Failure("too_many_losses", f"The handlers of this job died or fell silent {record.losses + 1} times.")
        try:
            await self._write_end(record.failed(failure, utc_now()), revision)
        except (Conflict, BucketFull) as error:
            raise Unanswered(repr(error)) from error  # look again at the next delivery
        logger.error("job.ended", extra={"status": "failed", "reason": failure.code})
        await delivery.acknowledge()

    async def _end_crashed(self, incoming: Incoming) -> None:
        """Only where nobody holds it: an owner ends it itself."""
        record, revision = await self._read(incoming.job_id)
        if record is not None and (record.is_held or record.is_finished):
            return
        try:
            await self._write_end((record or incoming.record).failed(_OWN_FAULT, utc_now()), revision)
        except (Conflict, BucketFull) as error:
            raise Unanswered(repr(error)) from error  # look again at the next delivery
        await incoming.delivery.acknowledge()

    async def _write_end(self, record: JobRecord, revision: int) -> None:
        retention = self._retention(record.kind)
        jobs = self.shop.jetstream.jobs
        revision = await jobs.write(record.job_id, encode_record(fit(record)), last=revision, ttl_seconds=retention)
        await self.shop.publish_transition(record, revision)
        self.shop.metrics.count_job(record.kind, record.status.value, record.reason or "")

    async def _bury(self, delivery: Delivery, kind: str, token: str, failure: Failure) -> None:
        """A dead letter, for what can have no record of its own."""
        headers = {name: value for name, value in delivery.headers.items() if not name.startswith("Nats-")}
        headers |= {
            names.HEADER_REASON: failure.code,
            names.HEADER_SUBJECT: delivery.subject,
            names.HEADER_SEQUENCE: str(delivery.sequence),
        }
        await self.shop.jetstream.write_dead_letter(names.dead_subject(kind, token), delivery.body, headers)
        logger.warning("message.buried", extra={"reason": failure.code, "subject": delivery.subject})
        self.shop.metrics.count_dead_letter(failure.code)
        await delivery.terminate(failure.code)

    async def _read(self, job_id: str) -> tuple[JobRecord | None, int]:
        """The record, None where there is none or its bytes are none of ours (then it is started anew)."""
        entry = await self.shop.jetstream.jobs.read(job_id)
        if entry.value is None:
            return None, entry.revision
        try:
            return decode_record(entry.value), entry.revision
        except UnreadableRecord as error:
            logger.error("record.unreadable", extra={"revision": entry.revision, "error": str(error)})
            return None, entry.revision

    def _retention(self, kind: str) -> float:
        return QUERY_RETENTION_SECONDS if names.is_query(kind) else self.shop.settings.job_retention


def _read_incoming(delivery: Delivery, kind: str, job_id: str) -> Incoming:
    """Raises NotJson, InvalidRequest, KeyError; and what a request raises that can be read and not written."""
    request = read_request(kind, delivery.body)
    record = _first_record(delivery, kind, job_id, request_hash(kind, request), encode_request(request))
    return Incoming(delivery, record, request)


def _first_record(delivery: Delivery, kind: str, job_id: str, hash_: str, body: bytes | None) -> JobRecord:
    return queued_record(
        job_id,
        kind,
        names.caller_of(job_id, delivery.headers.get(names.HEADER_CALLER)),
        hash_,
        delivery.published_at,
        utc_now(),
        request=orjson.loads(body) if body is not None else None,
        request_id=_traced(delivery, names.HEADER_REQUEST_ID),
        traceparent=_traced(delivery, names.HEADER_TRACEPARENT),
    )


def _traced(delivery: Delivery, header: str) -> str | None:
    """The header as REST takes it, so that it fits every log and record; None for anything else."""
    value = delivery.headers.get(header, "")
    return value if re.fullmatch(r"[A-Za-z0-9._-]{1,128}", value) else None


def _explain(error: Exception) -> Failure:
    """The same reasons as REST gives, without any value."""
    if isinstance(error, NotJson):
        return Failure("invalid_request", f"The message is not JSON ({error}).")
    if isinstance(error, InvalidRequest):
        return Failure("invalid_request", str(error))
    if isinstance(error, KeyError):
        return Failure("invalid_request", "No request of this kind is known.")
    logger.error("request.unusable", exc_info=error)
    return Failure("invalid_request", f"The request cannot be worked with ({type(error).__name__}).")


def _without_excess(record: JobRecord) -> JobRecord:
    """A query whose answer does not fit a record has failed."""
    if record.data is None or len(orjson.dumps(record.data)) <= MAX_DATA_BYTES:
        return record
    failure = Failure("result_too_large", f"The answer is larger than {MAX_DATA_BYTES:,} bytes.")
    return replace(record, status=Status.FAILED, data=None, reason=failure.code, error=failure, summary=failure.message)
