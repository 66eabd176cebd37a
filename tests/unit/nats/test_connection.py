"""What a connection notes of its troubles, and how often it says so."""

import asyncio
import logging
from contextlib import suppress

import pytest

from contracts.link.connection import Connection, History
from contracts.link.credentials import show_servers
from contracts.process.settings import NatsSettings
from tests.support.servers import LIMIT_SECONDS


async def test_an_error_that_repeats_is_logged_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    """The first, second, fourth, … time, each with how often it was; another error and another outage begin anew."""
    history = History()
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            await history.on_error(OSError("refused"))
        await history.on_error(OSError("another"))
        await history.on_reconnect()
        await history.on_error(OSError("refused"))
    told = [(record.error, record.times) for record in caplog.records if record.message == "nats.error"]  # type: ignore[attr-defined]
    refused = "OSError('refused')"
    assert told == [*((refused, times) for times in (1, 2, 4, 8, 16)), ("OSError('another')", 1), (refused, 1)]


async def test_a_denied_subject_is_told_once() -> None:
    """Who asks again after a reload of the server's permissions is not held to what was denied before."""
    history = History()
    await history.on_error(Exception('nats: permissions violation for subscription to "everest.v1.records.>"'))
    assert not history.refused.is_set()
    assert history.take_denial("everest.v1.records.>")
    assert not history.take_denial("everest.v1.records.>")


def test_a_password_in_the_address_is_not_shown() -> None:
    settings = NatsSettings(nats_url="nats://user:secret@one:4222, tls://two:4222")
    assert show_servers(settings) == "one:4222,tls://two:4222"


async def test_opening_ends_when_it_is_cancelled_although_the_library_loses_that() -> None:
    """As it does where a refused connection comes at the same moment: it would go on for ever."""
    connection = Connection(NatsSettings(), "a test", "gateway")
    begun = asyncio.Event()

    async def connect(**_: object) -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    connection.client.connect = connect  # type: ignore[method-assign,assignment]  # the library's
    opening = asyncio.create_task(connection.open())
    await begun.wait()
    opening.cancel()
    await asyncio.wait({opening}, timeout=LIMIT_SECONDS)
    assert opening.cancelled()
