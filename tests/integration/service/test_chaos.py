"""The short forms of `make chaos`: the promises, while handlers and NATS are killed, frozen, stopped and cut off."""

from pathlib import Path

import pytest

from tests.chaos import run_chaos
from tests.support.storm.fleet import KINDS

WORST = ("kill -9", "SIGSTOP", "NATS restart")


async def test_nothing_is_lost_doubled_or_misreported_while_handlers_die(tmp_path: Path) -> None:
    """The heart of it; each kind of fault at each point of the protocol has tests of its own, and nightly storms."""
    run = await run_chaos(tmp_path, seed=7, jobs=4, lease_seconds=2.0, pace_seconds=0.2, handlers=2, kinds=WORST)
    assert (len(run.accepted), len(run.lived) + run.refused) == (2, 2)
    assert set(run.faults) == set(WORST), run.report()
    assert run.is_good, run.report()


@pytest.mark.slow
async def test_nothing_is_lost_doubled_or_misreported_while_anything_fails(tmp_path: Path) -> None:
    run = await run_chaos(tmp_path, seed=7, jobs=14, lease_seconds=2.0, pace_seconds=0.6, handlers=3)
    assert (len(run.accepted), len(run.lived) + run.refused) == (7, 7)
    assert set(run.faults) == set(KINDS), run.report()
    assert run.is_good, run.report()
