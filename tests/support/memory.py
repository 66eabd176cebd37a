"""Streams and buckets in memory, as the handler's adapter offers them, with trouble at any await that is wished for.

A conformance test holds it and the adapter before a real server to the same behaviour.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from contracts import names
from contracts.protocol import State, state_of
from contracts.records import JobRecord, UnreadableRecord, decode_record
from contracts.reporting.events import event_id
from handlers.clock import monotonic, utc_now
from handlers.commands.running import Command, Completed, LeaseEnded, Watcher
from handlers.jetstream import Conflict, Entry, Place, Refused, Unanswered

T = TypeVar("T")

_LATENCY_SECONDS = 0.001
_LOOK_SECONDS = 1.0


class Fault(StrEnum):
    """What happens to a handler at one of its awaits on NATS; half of these are before, half after the effect."""

    CRASH = "the process is killed"
    FREEZE = "the process stands still for two and a half leases"
    SILENCE = "NATS does not answer"
    REDELIVERY = "NATS restarts: whatever was delivered is delivered again"


class Dead(BaseException):
    """What a killed process meets, wherever it still is: no `except Exception` goes on from here."""


@dataclass(slots=True)
class _Message:
    subject: str
    body: bytes
    headers: Mapping[str, str]
    sequence: int
    published_at: str
    delivered: int = 0
    available_at: float = 0.0


@dataclass(slots=True)
class _Values:
    """A bucket: each key's value and revision."""

    entries: dict[str, Entry] = field(default_factory=dict)
    revision: int = 0

    def read(self, key: str) -> Entry:
        return self.entries.get(key, Entry(None, 0))

    def write(self, key: str, value: bytes, last: int) -> int:
        if self.read(key).revision != last:
            raise Conflict(key)
        self.revision += 1
        self.entries[key] = Entry(value, self.revision)
        return self.revision


@dataclass(slots=True)
class Effect:
    """A command that ran, and from when to when."""

    lease: str | None
    name: str
    begun_at: float
    ended_at: float = float("inf")


class Server:
    """The state that all handlers share. `fault` strikes at the `strike_at`th await; 0: never."""

    def __init__(self, ack_wait_seconds: float, fault: Fault = Fault.CRASH, strike_at: int = 0) -> None:
        self.ack_wait_seconds = ack_wait_seconds
        self.fault = fault
        self.strike_at = strike_at
        self.awaits = 0
        buckets = (names.JOBS_BUCKET, names.ANSWERS_BUCKET, names.TENANTS_BUCKET, names.CANCELS_BUCKET)
        self.buckets = {name: _Values() for name in buckets}
        self.messages: dict[str, _Message] = {}
        self.places: list[Place] = []
        self.dead_letters: list[str] = []
        self.effects: list[Effect] = []
        self.changes: set[tuple[State, State]] = set()
        self.told: list[str] = []  # ids of the events of ends
        self.ends: list[tuple[str, int]] = []  # a job and its run
        self.together = 0  # values that were made together
        self._sequence = 0
        self._changed = asyncio.Event()
        self._lease_until: dict[str, float] = {}

    async def change(self) -> None:
        """Until something has changed, or a second has passed."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), 1)

    # What callers and persons do.

    def publish(self, subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> bool:
        """False when the stream holds a message on the subject already."""
        if subject in self.messages:
            return False
        self._sequence += 1
        self._changed.set()
        self.messages[subject] = _Message(subject, body, headers or {}, self._sequence, utc_now())
        return True

    def holds_message(self, subjects: str) -> bool:
        wanted = subjects.split(".")
        return any(
            len(tokens := subject.split(".")) == len(wanted)
            and all(mine in (token, "*") for mine, token in zip(wanted, tokens, strict=True))
            for subject in self.messages
        )

    def record(self, job_id: str) -> JobRecord | None:
        return _decode(self.buckets[names.JOBS_BUCKET].read(job_id).value)

    def join(self, tenant: str, job_id: str) -> None:
        if not any((place.tenant, place.job_id) == (tenant, job_id) for place in self.places):
            self._sequence += 1
            self.places.append(Place(tenant, job_id, self._sequence))

    def join_together(self, places: Sequence[tuple[str, str]]) -> None:
        for place in places:
            self.join(*place)

    def first_place(self, tenant: str, after: int = 0) -> Place | None:
        places = (place for place in self.places if place.tenant == tenant and place.sequence > after)
        return next(places, None)

    def leave(self, place: Place) -> None:
        if place in self.places:
            self.places.remove(place)

    # What handlers do.

    def write(self, bucket: str, key: str, value: bytes, last: int) -> int:
        before = self.buckets[bucket].read(key)
        revision = self.buckets[bucket].write(key, value, last)
        if bucket == names.JOBS_BUCKET:
            self._note(_decode(before.value), _decode(value))
        self._changed.set()
        return revision

    def create_together(self, bucket: str, values: Mapping[str, bytes]) -> None:
        if any(self.buckets[bucket].read(key).revision for key in values):
            raise Conflict(bucket)
        for key, value in values.items():
            self.write(bucket, key, value, 0)
        self.together += len(values)

    def _note(self, before: JobRecord | None, after: JobRecord | None) -> None:
        if after is None:
            return
        self.changes.add((state_of(before), state_of(after)))
        if after.is_finished:
            self.ends.append((after.job_id, after.run))

    def find_delivery(self, consumer: str) -> _Message | None:
        for message in self.messages.values():
            is_its = names.consumer_of(names.read_subject(message.subject).kind) == consumer
            if is_its and message.available_at <= monotonic():
                return message
        return None

    def deliver(self, consumer: str) -> _Message | None:
        message = self.find_delivery(consumer)
        if message is not None:
            message.delivered += 1
            message.available_at = monotonic() + self.ack_wait_seconds
        return message

    def remove(self, message: _Message) -> None:
        if self.messages.get(message.subject) is message:
            del self.messages[message.subject]
            self._changed.set()

    def redeliver_all(self) -> None:
        for message in self.messages.values():
            message.available_at = 0.0

    # What the guards do.

    def renew(self, lease: str, until: float) -> None:
        if self._lease_until.get(lease, until) > monotonic():
            self._lease_until[lease] = until

    def end(self, lease: str) -> None:
        self._lease_until[lease] = 0.0

    def holds(self, lease: str | None) -> bool:
        return lease is None or self._lease_until.get(lease, 0.0) > monotonic()


def _decode(body: bytes | None) -> JobRecord | None:
    try:
        return decode_record(body) if body else None
    except UnreadableRecord:
        return None


class Process:
    """One handler's way to the server: killed, frozen and silenced as a whole."""

    def __init__(self, server: Server, consumer: str = names.BOOTSTRAP_CONSUMER) -> None:
        self.server = server
        self.killed = asyncio.Event()
        self._thaws_at = 0.0
        self.jobs = _Bucket(self, names.JOBS_BUCKET)
        self.answers = _Bucket(self, names.ANSWERS_BUCKET)
        self.tenants = _Bucket(self, names.TENANTS_BUCKET)
        self.cancels = _Bucket(self, names.CANCELS_BUCKET)
        self.line = _Line(self)
        self.events = _Events(self)
        self.consumer = consumer

    async def do(self, effect: Callable[[], T]) -> T:
        """The effect, as atomic as it is on the server; trouble before it, or before its answer arrives."""
        await self._await()
        done = effect()
        await self._await()
        return done

    async def _await(self) -> None:
        server = self.server
        server.awaits += 1
        if server.awaits == server.strike_at:
            self._strike()
        await asyncio.sleep(max(_LATENCY_SECONDS, self._thaws_at - monotonic()))
        self.check()

    def _strike(self) -> None:
        match self.server.fault:
            case Fault.CRASH:
                self.killed.set()
            case Fault.FREEZE:
                self._thaws_at = monotonic() + 5 * self.server.ack_wait_seconds
            case Fault.SILENCE:
                raise Unanswered("NATS does not answer")
            case Fault.REDELIVERY:
                self.server.redeliver_all()

    def check(self) -> None:
        if self.killed.is_set():
            raise Dead

    # As the adapter's connection.

    async def publish_progress(self, job_id: str, body: bytes) -> None:
        self.check()

    async def write_dead_letter(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        if not all(map(names.HEADER_NAME.fullmatch, headers)):
            raise ValueError(f"no names of headers: {list(headers)}")
        await self.do(lambda: self.server.dead_letters.append(subject))

    async def publish_job(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        if not await self.do(lambda: self.server.publish(subject, body, headers)):
            raise Refused("maximum messages per subject exceeded")

    async def holds_message(self, stream: str, subject: str) -> bool:
        return await self.do(lambda: self.server.holds_message(subject))

    # As the adapter's source.

    async def bind(self) -> float:
        return self.server.ack_wait_seconds

    async def fetch(self) -> "Delivery | None":
        self.check()
        if (
            self.server.find_delivery(self.consumer) is None
        ):  # what finds nothing is no await at which trouble would tell anything
            await asyncio.sleep(_LOOK_SECONDS)
            return None
        message = await self.do(partial(self.server.deliver, self.consumer))
        return Delivery(self, message) if message else None

    async def fetch_more(self, count: int) -> list["Delivery"]:
        found: list[Delivery] = []
        while len(found) < count and self.server.find_delivery(self.consumer) is not None:
            if message := await self.do(partial(self.server.deliver, self.consumer)):
                found.append(Delivery(self, message))
        return found

    async def count_pending(self) -> int:
        return sum(not message.delivered for message in self.server.messages.values())

    async def hand_back_parked(self) -> None:
        self.check()

    # As the guard.

    async def run(self, command: Command, lease: str | None = None, watch: Watcher | None = None) -> Completed:
        """Takes all of its time. Ends at once with the process, and with the lease, frozen or not."""
        self.check()
        if not self.server.holds(lease):
            raise LeaseEnded("the command was not started because its lease had ended")
        effect = Effect(lease, command.shown, monotonic())
        self.server.effects.append(effect)
        try:
            ends_at = monotonic() + command.time_limit_seconds
            while monotonic() < ends_at:
                await asyncio.sleep(_LOOK_SECONDS)
                if not self.server.holds(lease):
                    raise LeaseEnded("the command was killed because its lease had ended")
        finally:
            effect.ended_at = monotonic()
        return Completed(command.shown, 0, b"", b"", False, False, utc_now(), utc_now(), command.time_limit_seconds)

    def renew(self, lease: str, until: float) -> None:
        if not self.killed.is_set():
            self.server.renew(lease, until)

    def end(self, lease: str) -> None:
        self.server.end(lease)


class _Bucket:
    def __init__(self, process: Process, name: str) -> None:
        self._process = process
        self._name = name

    async def read(self, key: str) -> Entry:
        return await self._process.do(lambda: self._process.server.buckets[self._name].read(key))

    async def write(self, key: str, value: bytes, *, last: int, ttl_seconds: float | None = None) -> int:
        return await self._process.do(lambda: self._process.server.write(self._name, key, value, last))

    async def create_together(self, values: Iterable[tuple[str, bytes]], seconds: float) -> None:
        await self._process.do(lambda: self._process.server.create_together(self._name, dict(values)))


class _Events:
    def __init__(self, process: Process) -> None:
        self._process = process

    async def tell(self, record: JobRecord, revision: int) -> None:
        self._process.check()

    async def tell_end(self, record: JobRecord, revision: int) -> None:
        await self._process.do(lambda: self._process.server.told.append(event_id(record.job_id, revision)))

    async def tell_end_once(self, record: JobRecord, revision: int) -> bool:
        if await self._process.do(lambda: event_id(record.job_id, revision) in self._process.server.told):
            return False
        await self.tell_end(record, revision)
        return True


class _Line:
    def __init__(self, process: Process) -> None:
        self._process = process

    async def join(self, tenant: str, job_id: str) -> None:
        await self._process.do(lambda: self._process.server.join(tenant, job_id))

    async def join_together(self, places: Sequence[tuple[str, str]], seconds: float) -> None:
        await self._process.do(lambda: self._process.server.join_together(places))

    async def first(self, tenant: str, *, after: int = 0) -> Place | None:
        return await self._process.do(lambda: self._process.server.first_place(tenant, after))

    async def leave(self, place: Place) -> None:
        await self._process.do(lambda: self._process.server.leave(place))

    async def read(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for place in self._process.server.places:
            found.setdefault(place.tenant, set()).add(place.job_id)
        return found


class Delivery:
    """What came of a fetch."""

    def __init__(self, process: Process, message: _Message) -> None:
        self._process = process
        self._message = message
        self.subject = message.subject
        self.body = message.body
        self.headers = message.headers
        self.sequence = message.sequence
        self.delivered = message.delivered
        self.published_at = message.published_at

    async def acknowledge(self) -> None:
        await self._answer(lambda: self._process.server.remove(self._message))

    async def extend(self) -> None:
        await self._answer(lambda: self._hold(self._process.server.ack_wait_seconds))

    async def hand_back(self, delay_seconds: float = 0) -> None:
        await self._answer(lambda: self._hold(delay_seconds))

    async def terminate(self, reason: str) -> None:
        await self.acknowledge()

    def _hold(self, seconds: float) -> None:
        self._message.available_at = monotonic() + seconds

    async def _answer(self, effect: Callable[[], Any]) -> None:
        """Lost without a word where NATS does not answer."""
        try:
            await self._process.do(effect)
        except Unanswered:
            return
