"""What is kept in memory is true, or not served."""

from contracts.records import queued_record
from gateway.jobs.job_cache import ENTRY_SECONDS, MAX_ENTRIES, Memory
from gateway.jobs.snapshots import Snapshot

NOW = "2026-01-31T12:00:00.000Z"


class World:
    """The clock and the watch, set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.is_alive = True
        self.memory = Memory(lambda: self.seconds, lambda: self.is_alive)


def snapshot(job_id: str = "a", revision: int = 1) -> Snapshot:
    return Snapshot(queued_record(job_id, "bootstrap", "admin", "", NOW, NOW), revision)


def keep(memory: Memory, kept: Snapshot) -> None:
    memory.end(memory.begin(kept.record.job_id), kept)


def test_what_was_read_is_kept_for_a_minute() -> None:
    world, kept = World(), snapshot()
    keep(world.memory, kept)
    assert world.memory.find("a") is kept
    world.seconds = ENTRY_SECONDS + 1
    assert world.memory.find("a") is None


def test_nothing_is_served_while_the_watch_is_not_alive() -> None:
    world = World()
    keep(world.memory, snapshot())
    world.is_alive = False
    assert world.memory.find("a") is None
    keep(world.memory, snapshot("b"))
    world.is_alive = True
    assert world.memory.find("b") is None


def test_a_read_that_an_event_overtook_is_thrown_away() -> None:
    memory, newer = World().memory, snapshot(revision=2)
    read = memory.begin("a")
    memory.update("a", newer)
    memory.end(read, snapshot(revision=1))
    assert memory.find("a") is newer


def test_a_read_across_an_interruption_is_thrown_away() -> None:
    """What changed while nobody watched is not in it."""
    memory = World().memory
    read = memory.begin("a")
    memory.clear()
    memory.end(read, snapshot())
    assert memory.find("a") is None


def test_absence_is_never_kept() -> None:
    memory = World().memory
    keep_nothing = memory.begin("a")
    memory.end(keep_nothing, None)
    assert not memory.is_interested("a")


def test_what_this_gateway_changed_is_forgotten() -> None:
    memory = World().memory
    keep(memory, snapshot())
    read = memory.begin("a")
    memory.drop("a")
    memory.end(read, snapshot())
    assert memory.find("a") is None


def test_memory_is_bounded() -> None:
    """The oldest goes first."""
    memory = World().memory
    for number in range(MAX_ENTRIES + 1):
        keep(memory, snapshot(str(number)))
    assert memory.find("0") is None
    assert memory.find("1") is not None
