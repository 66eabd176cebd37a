"""One attempt to bring a message to a webhook: signed as Standard Webhooks asks, with a limit, following nobody."""

import asyncio
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache

import httpx
from standardwebhooks.webhooks import Webhook as Signature

import contracts
from gateway.webhooks.declared import Webhook

ATTEMPT_SECONDS = 15.0
AT_ONCE = 8  # attempts of a webhook
_SECONDS = re.compile(r"[0-9]{1,6}", re.ASCII)
_GONE = 410  # "do not send again", as Standard Webhooks has it


@dataclass(frozen=True, slots=True)
class Attempt:
    """`reason` is a status or the name of an error: never what the receiver said.

    `wait_seconds`: how long it wants to be left alone, where it says so.
    """

    is_taken: bool
    is_final: bool
    reason: str
    wait_seconds: float = 0


class WebhookClient:
    """The way to one webhook; `limit_seconds` for an attempt as a whole."""

    def __init__(self, webhook: Webhook, limit_seconds: float = ATTEMPT_SECONDS) -> None:
        self._webhook = webhook
        self._limit_seconds = limit_seconds
        self._client: httpx.AsyncClient | None = None

    async def attempt(self, message_id: str, body: bytes) -> Attempt:
        now = datetime.now(UTC)
        headers = sign(self._webhook, message_id, now, body)
        try:
            client = self._client = self._client or self._make_client()
        except (httpx.InvalidURL, ImportError, OSError, ValueError) as error:
            return Attempt(False, False, f"proxy or certificates of the environment: {type(error).__name__}")
        try:
            async with (
                asyncio.timeout(self._limit_seconds),
                client.stream("POST", self._webhook.url, content=body, headers=headers) as answer,
            ):
                status = answer.status_code
                return Attempt(answer.is_success, status == _GONE, str(status), read_wait(answer.headers, now))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, ValueError) as error:  # a host that is none
            return Attempt(False, False, _name(error))

    def _make_client(self) -> httpx.AsyncClient:
        """With proxies and certificates of the environment, which may be none: a gateway must not end by them."""
        return httpx.AsyncClient(
            verify=load_trust(),
            follow_redirects=False,
            timeout=self._limit_seconds,
            limits=httpx.Limits(max_connections=AT_ONCE),
            headers={"User-Agent": f"everest-bootstrap/{contracts.__version__}"},
        )

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()


@cache
def load_trust() -> ssl.SSLContext:
    """One for all webhooks: each would take a megabyte, and the loop for some 40 ms. Raises OSError."""
    return httpx.create_ssl_context()


def read_wait(headers: httpx.Headers, now: datetime) -> float:
    """`Retry-After` (RFC 9110, 10.2.3), in seconds or as a date; 0 where it says nothing.

    A date is of the receiver's clock, and so is the answer's own: where it has one, no clocks are compared.
    """
    text = headers.get("retry-after", "")
    if _SECONDS.fullmatch(text):
        return float(text)
    answered_at = _read_date(headers.get("date", "")) or now
    until = _read_date(text) or answered_at
    return max(0.0, (until - answered_at).total_seconds())


def _read_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # the asctime form names no zone, and means UTC


def _name(error: Exception) -> str:
    """Where no connection was made, why: a port that refuses, a name that is not found, a certificate not trusted."""
    name = type(error).__name__
    if not isinstance(error, httpx.ConnectError):
        return name
    root: BaseException = error
    while (cause := root.__cause__ or root.__context__) is not None:
        root = cause
    return f"{name}: {root.reason if isinstance(root, ssl.SSLError) else type(root).__name__}"


def sign(webhook: Webhook, message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The headers of the specification, with a signature by each secret."""
    signatures = (Signature(secret).sign(message_id, now, body.decode()) for secret in webhook.secrets)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
