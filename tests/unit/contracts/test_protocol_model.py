"""The protocol table, walked through every interleaving of deliveries, crashes, freezes, cancels and losses.

A small model of stream, bucket and two handlers takes each decision from `contracts.protocol.TABLE` and each change of
the record from `contracts.records`. The search visits every reachable state; the promises are asked in each of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from contracts.codes import Failure
from contracts.protocol import TABLE, Answer, Event, State, Write, look_up, state_of
from contracts.records import JobRecord, Outcome, Status, StepRecord, queued_record

STEPS = ("create_account", "apply_resource_quota")
NOW = "t"


@dataclass(frozen=True)
class Handler:
    """`holds`: owner token and revision of its claim; `runs`: the step whose command lives; `watches`: a revision."""

    holds: tuple[str, int] | None = None
    runs: str | None = None
    watches: int | None = None
    is_alive: bool = True


@dataclass(frozen=True)
class World:
    record: JobRecord | None = None
    revision: int = 0
    has_message: bool = True
    handlers: tuple[Handler, ...] = (Handler(), Handler())
    cancel_mark: int | None = None  # the run it is meant for
    ends: int = 0
    reopens: int = 0
    # What may still go wrong: bounds the search.
    crashes: int = 2
    stops: int = 1
    message_losses: int = 1
    cancels: int = 1
    retries: int = 1
    failures: int = 1

    def handler(self, index: int, changed: Handler) -> "World":
        return replace(self, handlers=tuple(changed if i == index else h for i, h in enumerate(self.handlers)))

    def wrote(self, record: JobRecord) -> "World":
        before = self.record
        if before is not None and before.is_finished:
            assert record.status is Status.QUEUED, "a finished record is changed by a person's retry alone"
        ended = record.is_finished and not (before is not None and before.is_finished)
        return replace(self, record=record, revision=self.revision + 1, ends=self.ends + ended)


def _first() -> JobRecord:
    return queued_record("j", "bootstrap", "nats", "h", NOW, NOW)


def _deliveries(world: World) -> Iterator[World]:
    """The stream may deliver to anybody at any time: deliveries exclude nobody."""
    for index, handler in enumerate(world.handlers):
        if not (world.has_message and handler.is_alive):
            continue
        if handler.holds or handler.watches is not None:
            if handler.holds and state_of(world.record) is State.HELD:
                assert look_up(world.record, Event.OWN).answer is Answer.DROP
            continue
        row = look_up(world.record, Event.DELIVERY)
        if row.answer is Answer.ACK:
            yield replace(world, has_message=False)
        elif row.answer is Answer.WATCH:
            yield world.handler(index, replace(handler, watches=world.revision))
        else:
            assert row.write is Write.CLAIM
            yield _claim(world, index, lost=False)


def _claim(world: World, index: int, *, lost: bool) -> World:
    owner = f"{index}@{world.revision}"
    record = (world.record or _first()).claimed(owner, NOW, lost=lost)
    world = world.wrote(record)
    return world.handler(index, Handler(holds=(owner, world.revision)))


def _watches(world: World) -> Iterator[World]:
    for index, handler in enumerate(world.handlers):
        if handler.watches is None or not handler.is_alive:
            continue
        idle = replace(handler, watches=None)
        if handler.watches != world.revision:
            assert state_of(world.record) is not State.HELD or look_up(world.record, Event.MOVED).answer is Answer.DROP
            yield world.handler(index, idle)
        elif not any(other.is_alive and _owns(world, other) for other in world.handlers):
            # A full lease of silence: the owner is dead or frozen, so its guard has ended its command by now.
            assert look_up(world.record, Event.SILENT).write is Write.TAKE_OVER
            yield _claim(_guards_kill(world).handler(index, idle), index, lost=True)


def _guards_kill(world: World) -> World:
    handlers = tuple(h if _owns(world, h) and h.is_alive else replace(h, runs=None) for h in world.handlers)
    return replace(world, handlers=handlers)


def _owns(world: World, handler: Handler) -> bool:
    return (
        handler.holds is not None
        and world.record is not None
        and world.record.owner == handler.holds[0]
        and world.revision == handler.holds[1]
    )


def _owner_moves(world: World) -> Iterator[World]:
    for index, handler in enumerate(world.handlers):
        if not handler.is_alive or handler.holds is None:
            continue
        if not _owns(world, handler):  # its next compare-and-set is lost
            yield world.handler(index, Handler())
            continue
        assert world.record is not None
        yield from _work(world, index, handler, world.record)


def _work(world: World, index: int, handler: Handler, record: JobRecord) -> Iterator[World]:
    owner = handler.holds[0] if handler.holds else ""

    def saved(new: JobRecord, event: Event, *, runs: str | None = None) -> World:
        row = look_up(record, event)
        after = world.wrote(new)
        if row.answer is Answer.GO_ON:
            return after.handler(index, Handler(holds=(owner, after.revision), runs=runs))
        return after.handler(index, Handler())  # the answer itself comes later, or never

    if handler.runs:
        done = StepRecord(handler.runs, NOW, NOW, Outcome.CREATED)
        yield saved(record.finished(done, NOW), Event.STEP)
        if world.failures:
            failure = Failure("conflict", "m")
            failed = replace(done, outcome=Outcome.FAILED, error=failure)
            delayed = record.delayed(failed, failure, NOW, retry_at=NOW, delay_seconds=1, outage_seconds=0)
            yield replace(saved(delayed, Event.STEP_FAILED), failures=world.failures - 1)
            yield replace(
                saved(record.failed(failure, NOW, step=failed), Event.STEP_REJECTED), failures=world.failures - 1
            )
        return
    if world.cancel_mark == record.run:
        yield saved(record.failed(Failure("cancelled", "m"), NOW), Event.CANCEL_SEEN)
        return
    step = next((name for name in STEPS if not record.has_finished(name)), None)
    if step is None:
        yield saved(record.succeeded("done", NOW), Event.STEPS_DONE)
        return
    yield saved(record.started(step, NOW), Event.STEP, runs=step)
    if world.stops:
        yield replace(saved(record.handed_back(NOW), Event.STOPPED), stops=world.stops - 1)


def _mishaps(world: World) -> Iterator[World]:
    for index, handler in enumerate(world.handlers):
        if handler.is_alive and world.crashes and (handler.holds or handler.watches is not None):
            # Dead or frozen: its command may live until the guard's moment, which comes before anybody's takeover.
            yield replace(world.handler(index, replace(handler, is_alive=False)), crashes=world.crashes - 1)
        if not handler.is_alive:
            yield world.handler(index, Handler())  # a new process; the old one's command died with it
    # A message lost before any record leaves nothing that could know of it: only the storage can prevent that.
    if world.has_message and world.record is not None and world.message_losses:
        yield replace(world, has_message=False, message_losses=world.message_losses - 1)


def _persons(world: World) -> Iterator[World]:
    record, state = world.record, state_of(world.record)
    if world.cancels and (world.has_message or record):
        row = look_up(record, Event.CANCEL)
        fewer = replace(world, cancels=world.cancels - 1)
        if row.write is Write.FAIL:
            yield fewer.wrote((record or _first()).failed(Failure("cancelled", "m"), NOW))
        elif row.write is Write.CANCEL_MARK:
            assert record is not None
            yield replace(fewer, cancel_mark=record.run)
    if world.retries and state is State.FINISHED and record is not None and record.status is Status.FAILED:
        assert look_up(record, Event.RETRY).write is Write.REOPEN
        reopened = replace(world, retries=world.retries - 1, reopens=world.reopens + 1)
        reopened = reopened.wrote(record.reopened(NOW, from_start=False))
        yield reopened  # cut off before the publish: the reconciler's
        yield replace(reopened, has_message=True)


def _reconciler(world: World) -> Iterator[World]:
    if world.has_message or world.record is None or world.record.is_finished:
        return
    if any(handler.is_alive and _owns(world, handler) for handler in world.handlers):
        return  # it renews: not silent
    assert look_up(world.record, Event.MESSAGE_MISSING).answer is Answer.PUBLISH
    yield replace(_guards_kill(world).wrote(world.record.requeued(NOW)), has_message=True)


def _next(world: World) -> Iterator[World]:
    for moves in (_deliveries, _watches, _owner_moves, _mishaps, _persons, _reconciler):
        yield from moves(world)


def _explore(start: World) -> dict[World, set[World]]:
    seen: dict[World, set[World]] = {}
    waiting = [start]
    while waiting:
        world = waiting.pop()
        if world not in seen:
            seen[world] = set(_next(world))
            waiting.extend(seen[world])
    return seen


def test_every_reachable_state_keeps_the_promises() -> None:
    """No two commands side by side, an end per run and no more, and an end within reach from everywhere."""
    graph = _explore(World(stops=1, cancels=1, retries=1, failures=1, crashes=1, message_losses=0))
    _hold_promises(graph)


def test_lost_messages_and_repeated_crashes_are_healed() -> None:
    """The same with storage that loses the message and two crashes, without persons."""
    _hold_promises(_explore(World(cancels=0, retries=0, stops=0, failures=0, crashes=2, message_losses=1)))


def _hold_promises(graph: dict[World, set[World]]) -> None:
    for world, following in graph.items():
        running = [handler for handler in world.handlers if handler.runs]
        assert len(running) <= 1, "two commands of one job run side by side"
        assert world.ends <= world.reopens + 1, "a run ended twice"
        if not following:
            assert world.record is not None, "an accepted job without a record was lost"
            assert world.record.is_finished
            assert not world.has_message
    _end_is_within_reach(graph)


def _end_is_within_reach(graph: dict[World, set[World]]) -> None:
    """From every state some path leads to a finished record: none is stuck. A lost message without a record is lost."""
    before: dict[World, set[World]] = {}
    for world, following in graph.items():
        for after in following:
            before.setdefault(after, set()).add(world)
    good = [w for w in graph if w.record is not None and w.record.is_finished]
    reached = set(good)
    while good:
        for world in before.get(good.pop(), ()):
            if world not in reached:
                reached.add(world)
                good.append(world)
    stuck = {w for w in graph if w not in reached and (w.record is not None or w.has_message)}
    assert not stuck


def test_every_state_answers_every_delivery() -> None:
    """No record can make a delivery undecided."""
    for state in State:
        assert (state, Event.DELIVERY) in TABLE
        assert (state, Event.UNREADABLE) in TABLE
        assert state is State.ABSENT or (state, Event.OTHER_REQUEST) in TABLE
