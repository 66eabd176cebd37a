"""The short form of `make chaos`: the promises, while handlers and NATS are killed, frozen, stopped and cut off."""

from pathlib import Path

from tests.chaos import run_chaos
from tests.support.storm.fleet import KINDS


async def test_nothing_is_lost_doubled_or_misreported_while_anything_fails(tmp_path: Path) -> None:
    run = await run_chaos(tmp_path, seed=7, jobs=14, lease_seconds=2.0, pace_seconds=0.6, handlers=3)
    assert (len(run.accepted), len(run.lived) + run.refused) == (7, 7)
    assert set(run.faults) == set(KINDS), run.report()
    assert run.is_good, run.report()
