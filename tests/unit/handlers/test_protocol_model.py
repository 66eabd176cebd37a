"""The real engine over a server in memory, through trouble at every await: the protocol's table is what it does.

Two handlers work; each that is killed is started again. Every scenario is repeated with each fault at each of its
awaits on NATS. What must be true in the end is the promise: an accepted job ends, ends once, and its record tells the
truth.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from typing import Any

import pytest

from contracts import names
from contracts.cancels import CancelMark, encode_cancel
from contracts.codes import Failure
from contracts.kinds import read_request
from contracts.protocol import ACK_WAIT_PART, MAX_LOSSES, TABLE, Answer, Event, State, Write, look_up, state_of
from contracts.records import TENANT_BUSY, VERSION, JobRecord, Outcome, Status, encode_record
from contracts.reporting.events import event_id
from contracts.requests import Request, request_hash
from handlers.clock import monotonic, utc_now
from handlers.commands.running import Command
from handlers.jobs.consumer import open_consumers
from handlers.jobs.plan import Plan, PlannedStep
from handlers.jobs.runtime import Runtime
from handlers.jobs.slots import Slots
from handlers.metrics import Metrics
from handlers.results import Remember, RunCommand, StepFailed, StepResult
from handlers.settings import HandlerSettings
from tests.laboratory.states import README, redraw
from tests.support.memory import Dead, Fault, Process, Server
from tests.support.virtual_time import run_virtually

LEASE_SECONDS = 60.0
LIMIT_SECONDS = 3600.0  # by then everything has ended, whatever happened
STEPS = {"create_account": 5.0, "add_namespace": 80.0}  # seconds of their command: longer than a lease, one of them
ALLOWED = {(state, row.write.leads_to(state)) for (state, _), row in TABLE.items() if row.write is not Write.NOTHING}


@dataclass(slots=True)
class Simulation:
    """A server with two handlers, and what is tried there. `failures` are met by steps, one each."""

    server: Server
    failures: list[str] = field(default_factory=list)
    supervisors: list["Supervisor"] = field(default_factory=list)
    requeued: list[str] = field(default_factory=list)
    woken: list[str] = field(default_factory=list)  # by the reconciler
    gateways_to_tell: set[str] = field(default_factory=set)  # of jobs that a person ended: if need be by the reconciler
    job_ids: list[str] = field(default_factory=list)
    remembered: set[tuple[str, str]] = field(default_factory=set)  # job and step: by its record, whatever dies

    def submit(self, job_id: str, username: str = "alice", **request: object) -> None:
        self.job_ids.append(job_id)
        body = json.dumps({"username": username, **request}).encode()
        self.server.publish(names.job_subject("bootstrap", job_id), body)

    def record(self, job_id: str) -> JobRecord:
        record = self.server.record(job_id)
        assert record is not None, job_id
        return record

    def end_of(self, job_id: str) -> str:
        """The id of the event that tells of the job's end."""
        return event_id(job_id, self.server.buckets[names.JOBS_BUCKET].read(job_id).revision)

    def state(self, job_id: str) -> State:
        return state_of(self.server.record(job_id))

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Looks at the server after each of its changes."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while not is_so():
                await self.server.change()

    async def begins(self, job_id: str) -> None:
        """Until a handler has the job."""
        await self.until(lambda: self.state(job_id) is State.HELD)

    async def ends(self) -> None:
        """Until every job has ended, no message is left, and nobody is about to tell of an end.

        A handler that was frozen may run a job whose message another one has acknowledged.
        """
        await self.until(lambda: not self.server.messages and all(map(self._is_over, self.job_ids)))

    def _is_over(self, job_id: str) -> bool:
        is_told = job_id in self.gateways_to_tell or self.end_of(job_id) in self.server.told
        return self.record(job_id).is_finished and is_told

    def change(self, job_id: str, change: Callable[[JobRecord], JobRecord]) -> None:
        """What a gateway writes, by compare-and-set."""
        entry = self.server.buckets[names.JOBS_BUCKET].read(job_id)
        record = self.server.record(job_id) or _queued(job_id)
        self.server.write(names.JOBS_BUCKET, job_id, encode_record(change(record)), entry.revision)

    def cancel(self, job_id: str) -> None:
        """As a person does it."""
        row = look_up(self.server.record(job_id), Event.CANCEL)
        if row.write is Write.CANCEL_MARK:
            mark = encode_cancel(CancelMark("admin", utc_now(), self.record(job_id).run))
            self.server.write(names.CANCELS_BUCKET, job_id, mark, 0)
        elif row.answer is Answer.ACCEPTED:
            self.change(job_id, lambda record: record.failed(Failure("cancelled", "by admin"), utc_now()))
            self.gateways_to_tell.add(job_id)

    def publish_again(self, job_id: str) -> bool:
        body = json.dumps(self.record(job_id).request).encode()
        return self.server.publish(names.job_subject("bootstrap", job_id), body)

    async def retry(self, job_id: str) -> None:
        assert look_up(self.record(job_id), Event.RETRY).write is Write.REOPEN
        self.server.told.append(self.end_of(job_id))  # nobody could once it is reopened
        self.change(job_id, lambda record: record.reopened(utc_now(), from_start=False))
        self.publish_again(job_id)

    async def reconcile(self) -> None:
        """As a gateway does it, until cancelled: silent records without a message, and lines that nobody wakes."""
        seen: dict[str, tuple[int, float]] = {}
        while True:
            await asyncio.sleep(LEASE_SECONDS / 2)
            for job_id in self.job_ids:
                revision = self.server.buckets[names.JOBS_BUCKET].read(job_id).revision
                if job_id not in seen or seen[job_id][0] != revision:
                    seen[job_id] = revision, monotonic()
            silent = {job_id for job_id, (_, seen_at) in seen.items() if monotonic() - seen_at >= 2 * LEASE_SECONDS}
            for job_id in filter(self._has_lost_its_message, self.job_ids):
                if job_id in silent:
                    self.change(job_id, lambda record: record.requeued(utc_now()))
                    self.publish_again(job_id)
                    self.requeued.append(job_id)
            self._wake_line()

    def _has_lost_its_message(self, job_id: str) -> bool:
        if state_of(self.server.record(job_id)) in (State.ABSENT, State.FINISHED):
            return False
        has_place = any(place.job_id == job_id for place in self.server.places)
        return not has_place and names.job_subject("bootstrap", job_id) not in self.server.messages

    def _wake_line(self) -> None:
        holder = (self.server.buckets[names.TENANTS_BUCKET].read("alice").value or b"").decode()
        record = self.server.record(holder)
        is_held = record is not None and not record.is_finished and not record.is_waiting
        next_one = next((p.job_id for p in self.server.places if self.state(p.job_id) is not State.FINISHED), None)
        if next_one is not None and not is_held and self.publish_again(next_one):
            self.woken.append(next_one)


class Supervisor:
    """A place at which some handler always works."""

    def __init__(self, simulation: Simulation, lease_seconds: float = LEASE_SECONDS) -> None:
        self._simulation = simulation
        self._lease_seconds = lease_seconds
        self.stopping = asyncio.Event()
        self.process = Process(simulation.server)
        self.runtime: Runtime | None = None

    @property
    def is_outdated(self) -> bool:
        return self.runtime is not None and self.runtime.is_outdated

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            self.stopping = asyncio.Event()
            self.process = Process(self._simulation.server)
            handler = asyncio.create_task(self._work())
            killed = asyncio.create_task(self.process.killed.wait())
            try:
                await asyncio.wait({handler, killed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self.process.killed.set()
                handler.cancel()
                await asyncio.wait({handler, killed})
                if not handler.cancelled() and (error := handler.exception()):
                    assert _is_death(error), error

    async def _work(self) -> None:
        process, settings = self.process, HandlerSettings()
        runtime = Runtime(process, process, settings, Metrics(), self.stopping, self._lease_seconds, simulated=True)
        self.runtime = runtime
        (consumer,) = open_consumers(runtime, [process], process.jobs, self._plan, Slots(2))
        await consumer.run()

    def _plan(self, record: JobRecord, request: Request) -> Plan:
        steps = tuple(PlannedStep(name, self._ensure(name)) for name in STEPS)
        return Plan(request.model_dump(), steps, lambda _: "done")

    def _ensure(self, name: str) -> Callable[[JobRecord, RunCommand, Remember], Coroutine[Any, Any, StepResult]]:
        async def ensure(record: JobRecord, run: RunCommand, remember: Remember) -> StepResult:
            assert record.remembered_by(name) or (record.job_id, name) not in self._simulation.remembered
            await remember({"outcome": Outcome.CREATED.value})
            self._simulation.remembered.add((record.job_id, name))
            completed = await run(Command((name, record.job_id), time_limit_seconds=STEPS[name]))
            if self._simulation.failures:
                raise StepFailed(Failure(self._simulation.failures.pop(), "as the scenario says"), completed)
            return StepResult(Outcome.CREATED, completed)

        return ensure


def _is_death(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_death(part) for part in error.exceptions)
    return isinstance(error, Dead | asyncio.CancelledError)


def _queued(job_id: str) -> JobRecord:
    request = {"username": "alice"}
    hash_ = request_hash("bootstrap", read_request("bootstrap", json.dumps(request).encode()))
    return JobRecord(job_id, "bootstrap", "nats", hash_, utc_now(), utc_now(), request=request)


# The scenarios. Each returns when nothing more is to be expected of the handlers.


async def one_job(simulation: Simulation) -> None:
    simulation.submit("one")
    await simulation.ends()


async def a_step_that_conflicts_once(simulation: Simulation) -> None:
    simulation.failures = ["conflict"]
    await one_job(simulation)


async def a_step_that_is_rejected(simulation: Simulation) -> None:
    simulation.failures = ["forbidden"]
    await one_job(simulation)


async def an_unreadable_request(simulation: Simulation) -> None:
    simulation.submit("one", surplus=True)
    await simulation.ends()


async def a_second_job_of_a_tenant(simulation: Simulation) -> None:
    for job_id in ("one", "two"):
        simulation.submit(job_id)
    await simulation.ends()


async def one_after_the_other_for_a_tenant(simulation: Simulation) -> None:
    for job_id in ("one", "two", "three"):
        simulation.submit(job_id)
    await simulation.ends()


async def a_job_that_comes_while_another_waits_to_be_woken(simulation: Simulation) -> None:
    """The tenant is free: whoever had it has ended, and woken nobody yet."""
    simulation.job_ids.append("one")
    simulation.change("one", lambda record: record)
    simulation.change("one", lambda record: record.waiting(TENANT_BUSY, utc_now()))
    simulation.server.join("alice", "one")
    simulation.submit("two")
    await simulation.ends()


async def a_crowd_of_a_tenant(simulation: Simulation) -> None:
    """So many that they are parked together."""
    simulation.submit("one")
    await simulation.begins("one")
    for number in range(12):
        simulation.submit(f"of-a-crowd-{number}")
    await simulation.ends()


async def a_cancel_of_a_queued_job(simulation: Simulation) -> None:
    simulation.submit("one")
    simulation.cancel("one")
    await simulation.ends()


async def a_cancel_of_a_running_job(simulation: Simulation) -> None:
    simulation.submit("one")
    await simulation.begins("one")
    simulation.cancel("one")
    await simulation.ends()


async def a_cancel_of_a_waiting_job(simulation: Simulation) -> None:
    simulation.submit("one")
    await simulation.begins("one")
    simulation.submit("two")
    await simulation.until(lambda: simulation.state("two") is not State.ABSENT)
    simulation.cancel("two")
    await simulation.ends()


async def a_stop_of_both_handlers(simulation: Simulation) -> None:
    simulation.submit("one")
    await simulation.begins("one")
    for supervisor in simulation.supervisors:
        supervisor.stopping.set()
    await simulation.ends()


async def a_cancel_of_a_job_that_was_handed_back(simulation: Simulation) -> None:
    simulation.submit("one")
    await simulation.begins("one")
    for supervisor in simulation.supervisors:
        supervisor.stopping.set()
    await simulation.until(lambda: simulation.state("one") is not State.HELD)
    if simulation.state("one") is State.HANDED_BACK:
        simulation.cancel("one")
    await simulation.ends()


async def a_cancel_of_a_running_job_whose_handler_stops(simulation: Simulation) -> None:
    """The mark is there before the stop is: no later handler is needed to heed it."""
    simulation.submit("one")
    await simulation.begins("one")
    simulation.cancel("one")
    for supervisor in simulation.supervisors:
        supervisor.stopping.set()
    await simulation.ends()


async def a_retry_by_a_person(simulation: Simulation) -> None:
    simulation.failures = ["forbidden"]
    await one_job(simulation)
    if simulation.record("one").status is Status.FAILED:
        await simulation.retry("one")
    await simulation.ends()


async def a_message_that_is_lost(simulation: Simulation) -> None:
    """With its owner, so that the reconciler alone knows of the job."""
    simulation.submit("one")
    await simulation.begins("one")
    simulation.server.messages.clear()
    for supervisor in simulation.supervisors:
        supervisor.process.killed.set()
    await simulation.ends()


async def a_message_of_a_reopened_job_that_is_lost(simulation: Simulation) -> None:
    simulation.failures = ["forbidden"]
    await one_job(simulation)
    if simulation.record("one").status is Status.FAILED:
        simulation.change("one", lambda record: record.reopened(utc_now(), from_start=False))
    await simulation.ends()


async def a_message_of_a_handed_back_job_that_is_lost(simulation: Simulation) -> None:
    simulation.job_ids.append("one")
    simulation.change("one", lambda record: record)
    simulation.change("one", lambda record: record.claimed("somebody", utc_now()))
    simulation.change("one", lambda record: record.handed_back(utc_now()))
    await simulation.ends()


async def a_job_that_kills_its_handlers(simulation: Simulation) -> None:
    simulation.job_ids.append("one")
    simulation.change("one", lambda record: replace(record.claimed("dead", utc_now()), losses=MAX_LOSSES))
    simulation.publish_again("one")
    await simulation.ends()


SCENARIOS = (
    one_job,
    a_step_that_conflicts_once,
    a_step_that_is_rejected,
    an_unreadable_request,
    a_second_job_of_a_tenant,
    one_after_the_other_for_a_tenant,
    a_job_that_comes_while_another_waits_to_be_woken,
    a_cancel_of_a_queued_job,
    a_cancel_of_a_running_job,
    a_cancel_of_a_waiting_job,
    a_stop_of_both_handlers,
    a_cancel_of_a_job_that_was_handed_back,
    a_cancel_of_a_running_job_whose_handler_stops,
    a_retry_by_a_person,
    a_message_that_is_lost,
    a_message_of_a_reopened_job_that_is_lost,
    a_message_of_a_handed_back_job_that_is_lost,
    a_job_that_kills_its_handlers,
)

LOSSES = (  # what only the reconciler can heal
    a_message_that_is_lost,
    a_message_of_a_reopened_job_that_is_lost,
    a_message_of_a_handed_back_job_that_is_lost,
)
QUICK = (one_job,)
LONG = (one_after_the_other_for_a_tenant, a_message_that_is_lost, a_message_of_a_reopened_job_that_is_lost)

Scenario = Callable[[Simulation], Awaitable[None]]


async def _perform(scenario: Scenario, fault: Fault, strike_at: int, leases: Sequence[float]) -> Simulation:
    simulation = Simulation(Server(min(leases) * ACK_WAIT_PART, fault, strike_at))
    async with asyncio.TaskGroup() as group:
        simulation.supervisors = [Supervisor(simulation, lease_seconds) for lease_seconds in leases]
        keepers = [group.create_task(supervisor.keep()) for supervisor in simulation.supervisors]
        keepers.append(group.create_task(simulation.reconcile()))
        try:
            await scenario(simulation)
        finally:
            for keeper in keepers:
                keeper.cancel()
    return simulation


def perform(
    scenario: Scenario, fault: Fault = Fault.CRASH, strike_at: int = 0, leases: Sequence[float] = (LEASE_SECONDS,) * 2
) -> Simulation:
    """The simulation as it is in the end; the promise is kept."""
    simulation = run_virtually(_perform(scenario, fault, strike_at, leases))
    what = f"{scenario.__name__}: {fault} at {strike_at}"
    _hold_promise(simulation, what)
    assert not simulation.requeued or scenario in LOSSES, f"{what}: a message was lost"
    assert not simulation.woken or strike_at, f"{what}: nobody woke the next one"
    return simulation


def _hold_promise(simulation: Simulation, what: str) -> None:
    assert simulation.server.changes <= ALLOWED, what
    assert not simulation.server.dead_letters, what
    for job_id in simulation.job_ids:
        record = simulation.record(job_id)
        assert [run for of, run in simulation.server.ends if of == job_id] == list(range(1, record.run + 1)), what
        is_told = simulation.end_of(job_id) in simulation.server.told
        assert is_told or job_id in simulation.gateways_to_tell, f"{what}: nobody was told of the end of {job_id}"
        if record.status is Status.SUCCEEDED:
            assert [step.name for step in record.steps if step.is_finished] == list(STEPS), what
            assert {f"{name} {job_id}" for name in STEPS} <= {effect.name for effect in simulation.server.effects}, what
    effects = sorted(simulation.server.effects, key=lambda effect: effect.begun_at)  # all of one tenant
    for before, after in pairwise(effects):
        assert before.ended_at <= after.begun_at, f"{what}: {before.name} and {after.name} side by side"


def _cases() -> Iterator[Any]:
    """Every fault at every await of one job, and crashes at each third of the other scenarios; all at all is slow."""
    for scenario, fault in product(SCENARIOS, Fault):
        name = f"{scenario.__name__}-{fault.name.lower()}"
        if scenario in QUICK:
            yield pytest.param(scenario, fault, 1, id=name)
            continue
        if fault is Fault.CRASH and scenario not in LONG:
            yield pytest.param(scenario, fault, 3, id=f"{name}-each-third")
        yield pytest.param(scenario, fault, 1, marks=pytest.mark.slow, id=name)


@pytest.mark.thorough
@pytest.mark.parametrize(("scenario", "fault", "stride"), [*_cases()])
def test_the_promise_is_kept_through_trouble_at_every_await(scenario: Scenario, fault: Fault, stride: int) -> None:
    strike_at = 1
    while perform(scenario, fault, strike_at).server.awaits >= strike_at:
        strike_at += stride


PARKING = range(80, 110)  # the awaits of that scenario around which its crowd is parked


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("fault", "strikes"),
    [(fault, PARKING[::10]) for fault in Fault]
    + [pytest.param(fault, PARKING, marks=pytest.mark.slow) for fault in Fault],
)
def test_a_crowd_is_parked_together_through_trouble(fault: Fault, strikes: range) -> None:
    for strike_at in strikes:
        assert perform(a_crowd_of_a_tenant, fault, strike_at).server.awaits >= strike_at


def test_a_crowd_is_parked_together() -> None:
    """So that the scenario is about what it says."""
    assert perform(a_crowd_of_a_tenant).server.together > 1


def test_a_cancel_is_heeded_before_a_stop() -> None:
    """By whoever stops: it was promised, and the next handler may come in a month."""
    simulation = perform(a_cancel_of_a_running_job_whose_handler_stops)
    record = simulation.record("one")
    assert (record.reason, record.cancelled_by) == ("cancelled", "admin")
    assert (State.HELD, State.HANDED_BACK) not in simulation.server.changes


def test_nobody_passes_who_waits() -> None:
    simulation = perform(a_job_that_comes_while_another_waits_to_be_woken)
    assert [effect.name for effect in simulation.server.effects][: len(STEPS)] == [f"{step} one" for step in STEPS]


def test_the_table_is_what_the_engine_does() -> None:
    """Each row that writes is seen to happen, and nothing else is."""
    seen: set[tuple[State, State]] = set()
    for scenario in SCENARIOS:
        seen |= perform(scenario).server.changes
    assert seen == ALLOWED


@pytest.mark.parametrize("leases", [(60, 6), (6, 60)])
def test_a_lease_is_watched_for_its_own_length_whatever_the_watchers_is(leases: tuple[float, float]) -> None:
    """LEASE_SECONDS was changed by provision while an old handler works on: it is not taken for dead."""
    record = perform(one_job, leases=leases).record("one")
    assert (record.status, record.losses) == (Status.SUCCEEDED, 0)
    assert record.lease_seconds in leases


async def _meet_a_later_record(simulation: Simulation) -> None:
    body = json.dumps({"version": VERSION + 1, "steps": "of another shape"}).encode()
    simulation.server.write(names.JOBS_BUCKET, "one", body, 0)
    simulation.server.publish(names.job_subject("bootstrap", "one"), b'{"username":"alice"}')
    simulation.server.publish(names.job_subject("bootstrap", "two"), b'{"username":"bob"}')
    await simulation.until(lambda: len(simulation.server.messages) == 1)
    assert simulation.state("two") is State.FINISHED
    assert simulation.server.buckets[names.JOBS_BUCKET].read("one").value == body
    assert list(simulation.server.messages) == [names.job_subject("bootstrap", "one")]
    assert any(supervisor.is_outdated for supervisor in simulation.supervisors)


def test_a_record_of_a_later_version_is_left_to_a_newer_handler() -> None:
    """Neither overwritten nor taken for absent: its message stays, other jobs go on, and the handler is not ready."""
    run_virtually(_perform(_meet_a_later_record, Fault.CRASH, 0, (LEASE_SECONDS,)))


async def _take_over_from_an_older_handler(simulation: Simulation) -> None:
    """It handed the job back, and its record knows nothing of the caller's limits; the message does."""
    simulation.server.write(names.JOBS_BUCKET, "one", encode_record(_queued("one")), 0)
    simulation.job_ids.append("one")
    headers = {names.HEADER_BOUND: "true"}
    simulation.server.publish(names.job_subject("bootstrap", "one"), b'{"username":"alice"}', headers)
    await simulation.ends()
    assert simulation.record("one").bound


def test_what_an_older_handler_drops_of_the_callers_limits_is_in_the_message() -> None:
    run_virtually(_perform(_take_over_from_an_older_handler, Fault.CRASH, 0, (LEASE_SECONDS,)))


def test_every_state_answers_every_delivery() -> None:
    """No record can make a delivery undecided."""
    for state in State:
        assert (state, Event.DELIVERY) in TABLE
        assert (state, Event.UNREADABLE) in TABLE


def test_the_picture_of_the_states_is_the_tables() -> None:
    """`make schemas` draws it anew."""
    text = README.read_text()
    assert "stateDiagram-v2" in text
    assert redraw(text) == text
