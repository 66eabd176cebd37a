"""Being told to stop."""

import asyncio
import logging
import signal
from collections.abc import Iterator

import orjson
import pytest

from contracts.process.logs import LogFormatter, bind
from contracts.process.stopping import heeding_stops

STOPS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in STOPS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPS)
async def test_a_stop_is_no_part_of_the_request_that_it_meets(number: signal.Signals) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()

    def stop() -> None:
        told.put_nowait(LogFormatter().format(logging.makeLogRecord({"msg": "stopping", "levelname": "INFO"})))

    async def answer() -> None:
        bind(request_id="find-me")
        signal.raise_signal(number)

    bind(process="gateway")
    with heeding_stops(stop):
        await asyncio.create_task(answer())
        line = orjson.loads(await told.get())
    assert (line["event"], line.get("process"), line.get("request_id")) == ("stopping", "gateway", None)


async def test_a_signal_that_comes_after_the_stop_changes_nothing() -> None:
    with heeding_stops(lambda: None):
        pass
    for number in STOPS:
        signal.raise_signal(number)  # it would end this process
