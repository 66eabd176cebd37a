"""The cluster that a test of the workflow runs against: simulated, or with a real API where TEST_CLUSTER is `real`."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.simulator import SimulatedEverest, simulated_everest

IS_REAL = os.environ.get("TEST_CLUSTER") == "real"

_why_not: list[str] = []  # found out once


@asynccontextmanager
async def open_cluster(
    folder: Path, *, roles: Sequence[Path] = (), user: str = "", job_seconds: float = 0.3
) -> AsyncIterator[SimulatedEverest]:
    """Passes the test over where a real API is asked for and cannot be had, and says why."""
    if not IS_REAL:
        async with simulated_everest(folder, roles=roles, user=user, job_seconds=job_seconds) as simulated:
            yield simulated
        return
    from tests.laboratory.kubernetes import Unavailable, real_everest

    if _why_not:
        pytest.skip(_why_not[0])
    try:
        async with real_everest(folder, roles=roles, user=user, job_seconds=job_seconds) as real:
            yield real
    except Unavailable as error:
        _why_not.append(str(error))
        pytest.skip(str(error))
