"""Whether NATS stores what it is sent: what was sent last says it, for a while."""

from gateway.jobs.storage import BELIEVED_SECONDS, Storage


class World:
    """The clock and the connection, set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.reconnections = 0
        self.counted: list[str] = []
        self.storage = Storage(lambda: self.seconds, lambda: self.reconnections, self.counted.append)


def test_a_stream_that_does_not_store_is_named_until_it_does() -> None:
    world = World()
    world.storage.note_unstored("EVEREST_JOBS")
    assert world.storage.find_failing() == world.counted == ["EVEREST_JOBS"]
    world.storage.note_stored("KV_everest_jobs")
    assert world.storage.find_failing() == ["EVEREST_JOBS"]
    world.storage.note_stored("EVEREST_JOBS")
    assert world.storage.find_failing() == []


def test_after_a_while_somebody_may_try_again() -> None:
    """Who is never ready is never asked, and would never find out."""
    world = World()
    world.storage.note_unstored("EVEREST_JOBS")
    world.seconds = BELIEVED_SECONDS
    assert world.storage.find_failing() == []


def test_a_server_that_was_restarted_may_store_again() -> None:
    world = World()
    world.storage.note_unstored("EVEREST_JOBS")
    world.reconnections = 1
    assert world.storage.find_failing() == []
