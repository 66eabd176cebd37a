"""The wall clock may go back while a job runs; no duration is negative."""

import pytest

from contracts.codes import Failure
from contracts.records import JobRecord
from handlers.clock import utc_after


def test_a_step_ends_as_long_after_its_start_as_it_took() -> None:
    assert utc_after("2026-03-29T00:59:59.500Z", 3600.25) == "2026-03-29T01:59:59.750Z"
    assert utc_after("2026-03-29T00:59:59.500Z", 0) == "2026-03-29T00:59:59.500Z"


@pytest.mark.parametrize("now", ["2026-01-01T09:00:00.000Z", "2026-01-01T11:00:00.000Z"])
def test_a_job_never_ends_before_it_began(now: str) -> None:
    began = "2026-01-01T10:00:00.000Z"
    job = JobRecord("j", "bootstrap", "nats", "h", began, began).claimed("o", began)
    for ended in (job.succeeded("done", now), job.failed(Failure("conflict", "m"), now)):
        assert ended.finished_at == max(began, now)
