"""What OpenTelemetry's exporter says of a collector that is away."""

import logging
from collections.abc import Iterator

import pytest

from contracts.reporting import spans

FAILED = "Failed to export %s batch"


@pytest.fixture
def exporter() -> Iterator[logging.Logger]:
    """A logger of the exporter's; as it was before, in the end."""
    spans.start("a test")
    loggers = {name: logging.getLogger(name) for name in logging.root.manager.loggerDict if "exporter.otlp" in name}
    yield loggers["opentelemetry.exporter.otlp.proto.http.trace_exporter"]
    spans.stop()
    for logger in loggers.values():
        logger.filters.clear()


def fail(logger: logging.Logger, at: float) -> bool:
    """Whether the log is told of a failure at that moment."""
    record = logger.makeRecord(logger.name, logging.ERROR, __file__, 1, FAILED, ("spans",), None)
    record.created = at
    return bool(logger.filter(record))


def test_a_collector_that_is_away_fills_no_log(exporter: logging.Logger) -> None:
    """An hour of it is ten lines; one that comes back, and goes, is told of at once."""
    told = [moment for moment in range(0, 3600, 5) if fail(exporter, 1e9 + moment)]
    assert told == [5 * (2**power - 1) for power in range(10)]
    assert fail(exporter, 1e9 + 7200)


def test_headers_for_the_collector_are_no_log_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody wrote a colon for the equals sign; the library quotes what it cannot read."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization: Bearer s3cret")
    spans.start("a test")
    spans.stop()
    assert "Header format invalid" in caplog.text
    assert "s3cret" not in caplog.text
