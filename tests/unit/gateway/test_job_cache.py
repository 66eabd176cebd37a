"""What is kept in the cache is true, or not served."""

from contracts.records import JobRecord
from gateway.jobs.job_cache import ENTRY_SECONDS, MAX_ENTRIES, JobCache, Snapshot

NOW = "2026-01-31T12:00:00.000Z"


class World:
    """The clock and the watch, set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.is_alive = True
        self.server_seconds: float | None = 1000.0
        self.cache = JobCache(lambda: self.seconds, lambda: self.server_seconds, lambda: self.is_alive)


def snapshot(job_id: str = "a", revision: int = 1) -> Snapshot:
    return Snapshot(JobRecord(job_id, "bootstrap", "admin", "", NOW, NOW), revision)


def keep(cache: JobCache, kept: Snapshot) -> None:
    cache.end(cache.begin(kept.record.job_id), kept)


def test_what_was_read_is_kept_for_a_minute() -> None:
    world, kept = World(), snapshot()
    keep(world.cache, kept)
    assert world.cache.find("a") is kept
    world.seconds = ENTRY_SECONDS + 1
    assert world.cache.find("a") is None


def test_a_record_is_not_served_beyond_its_retention() -> None:
    """By the clock of the server that forgets it; where that is not known, the server is asked."""
    world = World()
    kept = Snapshot(snapshot().record, 1, expires_at=1005.0)
    keep(world.cache, kept)
    world.seconds, world.server_seconds = 4.9, 1004.9
    assert world.cache.find("a") is kept
    world.seconds, world.server_seconds = 5.0, 1005.0
    assert world.cache.find("a") is None
    keep(world.cache, kept)
    assert world.cache.find("a") is None
    world.server_seconds = None
    keep(world.cache, kept)
    assert world.cache.find("a") is None


def test_nothing_is_served_while_the_watch_is_not_alive() -> None:
    world = World()
    keep(world.cache, snapshot())
    world.is_alive = False
    assert world.cache.find("a") is None
    keep(world.cache, snapshot("b"))
    world.is_alive = True
    assert world.cache.find("b") is None


def test_a_read_that_an_event_overtook_is_thrown_away() -> None:
    cache, newer = World().cache, snapshot(revision=2)
    read = cache.begin("a")
    cache.update("a", newer)
    cache.end(read, snapshot(revision=1))
    assert cache.find("a") is newer


def test_a_read_across_an_interruption_is_thrown_away() -> None:
    """What changed while nobody watched is not in it."""
    cache = World().cache
    read = cache.begin("a")
    cache.clear()
    cache.end(read, snapshot())
    assert cache.find("a") is None


def test_absence_is_never_kept() -> None:
    cache = World().cache
    keep_nothing = cache.begin("a")
    cache.end(keep_nothing, None)
    assert not cache.is_interested("a")


def test_what_this_gateway_changed_is_forgotten() -> None:
    cache = World().cache
    keep(cache, snapshot())
    read = cache.begin("a")
    cache.drop("a")
    cache.end(read, snapshot())
    assert cache.find("a") is None


def test_the_cache_is_bounded() -> None:
    """The oldest goes first."""
    cache = World().cache
    for number in range(MAX_ENTRIES + 1):
        keep(cache, snapshot(str(number)))
    assert cache.find("0") is None
    assert cache.find("1") is not None
