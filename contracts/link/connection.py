"""The connection to NATS: it may be away at any moment, and comes back by itself.

Nothing is buffered while disconnected: what the caller was told has failed must not be stored later, and an old
renewal is of no use.
"""

import asyncio
import logging
from typing import Any

import nats.errors

from contracts.link.client import LinkClient
from contracts.link.credentials import read_credentials, show_servers
from contracts.link.errors import NotLetIn, find_hint
from contracts.process.logs import Repeats
from contracts.process.settings import NatsSettings

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 30.0
_REFUSALS = 3
_FLUSH_SECONDS = 2
_CANCEL_SECONDS = 0.1


class History:
    """What has happened to a connection since the process began."""

    def __init__(self) -> None:
        self.reconnections = 0
        self.last_error = ""
        self.refusals = 0
        self.refusal = ""  # what the server said; a connection that it then resets says less
        self.refused = asyncio.Event()  # the credentials, and more than once: it was no server that just started
        self.closed = asyncio.Event()  # by the server, for good
        self.is_closing = False  # by ourselves: nothing to warn of
        self._denied = ""
        self._repeats = Repeats()

    def take_denial(self, subject: str) -> bool:
        """Whether the server has just denied the subject to this user. nats-py tells it in lower case."""
        is_denied = f'"{subject.lower()}"' in self._denied
        self._denied = ""
        return is_denied

    async def on_error(self, error: Exception) -> None:
        self.last_error = repr(error)
        text = self.last_error.lower()
        if self._repeats.is_due(self.last_error):
            extra = {"error": self.last_error, "times": self._repeats.count(self.last_error)}
            logger.warning("nats.error", extra=extra)
        if "permissions violation" in text:
            self._denied = f"{self._denied}{text}"[-4096:]
        elif "authorization violation" in text:
            self.refusals += 1
            self.refusal = self.last_error
            if self.refusals >= _REFUSALS:
                self.refused.set()

    async def on_close(self) -> None:
        """The library has given up for good, which it does for refused credentials among others."""
        if not self.is_closing:
            logger.error("nats.closed")
            self.closed.set()

    async def on_disconnect(self) -> None:
        if not self.is_closing:
            logger.warning("nats.disconnected", extra={"next": "reconnecting"})

    async def on_reconnect(self) -> None:
        self.reconnections += 1
        self._repeats.end()
        logger.info("nats.reconnected")


class Connection:
    """A connection that is made in the background, so that a service may answer while NATS is still away."""

    def __init__(self, settings: NatsSettings, name: str, role: str) -> None:
        """`role` names the inbox that its user may subscribe to. Raises InvalidSettings."""
        self.client = LinkClient()
        self.history = History()
        self._servers = show_servers(settings)
        self._options = {**_make_options(name, role, self.history), **read_credentials(settings)}

    @property
    def is_connected(self) -> bool:
        return self.client.is_connected

    async def open(self) -> None:
        """Returns once a server has taken it, however long that takes."""
        opening = asyncio.create_task(self.client.connect(**self._options))
        try:
            await asyncio.wait({opening})
        finally:
            await _end(opening)
        opening.result()
        logger.info("nats.connected")

    async def open_within(self, seconds: float) -> None:
        """Raises NotLetIn when no server takes it in time, and at once when its credentials are refused.

        The library itself would try them for ever.
        """
        opening = asyncio.create_task(self.open())
        refusal = asyncio.create_task(self.history.refused.wait())
        try:
            await asyncio.wait({opening, refusal}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                raise NotLetIn(self._explain())
            opening.result()
        finally:
            opening.cancel()
            refusal.cancel()
            await asyncio.gather(opening, refusal, return_exceptions=True)

    async def close(self) -> None:
        """Sends what is still to be sent, then closes."""
        self.history.is_closing = True
        try:
            await asyncio.wait_for(self.client.flush(timeout=_FLUSH_SECONDS), _FLUSH_SECONDS + 1)
        except (nats.errors.Error, TimeoutError, OSError):
            logger.info("nats.flush_failed")
        await self.client.close()

    def _explain(self) -> str:
        reason = self.history.refusal or self.history.last_error or "no answer"
        hint = find_hint(reason) or find_hint("no server")
        return f"no server at {self._servers} let us in: {reason}; {hint}"


async def _end(opening: "asyncio.Task[None]") -> None:
    """Cancels it for as long as it takes.

    nats-py loses a cancellation that comes together with a refused connection: `asyncio.wait_for` of Python 3.11 gives
    the refusal then, and the next server is tried. Whoever was told to stop would never end.
    """
    while not opening.done():
        opening.cancel()
        await asyncio.wait({opening}, timeout=_CANCEL_SECONDS)


async def connect(settings: NatsSettings, name: str, role: str, seconds: float = CONNECT_SECONDS) -> Connection:
    """An open connection. Raises NotLetIn, InvalidSettings."""
    connection = Connection(settings, name, role)
    await connection.open_within(seconds)
    return connection


def _make_options(name: str, role: str, history: History) -> dict[str, Any]:
    return {
        "name": name,
        "inbox_prefix": f"_INBOX_{role}".encode(),
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 1,
        "connect_timeout": 5,
        "ping_interval": 10,
        "max_outstanding_pings": 2,
        "drain_timeout": 2,
        "pending_size": 0,
        "error_cb": history.on_error,
        "closed_cb": history.on_close,
        "disconnected_cb": history.on_disconnect,
        "reconnected_cb": history.on_reconnect,
    }
