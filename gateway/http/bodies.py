"""Request bodies: counted while they arrive, so that a large one is refused before it is held."""

import asyncio
import re
from collections.abc import Sequence
from email.message import Message

from starlette.requests import Request

from contracts.kinds import read_request
from contracts.requests import MAX_BODY_BYTES, InvalidRequest, NotJson
from contracts.requests import Request as JobRequest
from gateway.http.headers import find_header, find_text
from gateway.http.problems import Problem, invalid_request

BODY_SECONDS = 30
JSON = "application/json"
LINES = "application/x-ndjson"  # a document on each
_UTF_8 = ("utf8", "csutf8", "unicode11utf8")  # IANA's names for it, in any spelling
_TOKEN = re.compile(r"[a-z0-9._:-]{1,40}", re.ASCII)


async def read_job_request(request: Request, kind: str) -> JobRequest:
    """The validated request in the body. Raises Problem."""
    body = await read_json(request)
    try:
        return read_request(kind, body)
    except NotJson as error:
        raise not_json(error) from None
    except InvalidRequest as error:
        raise invalid_request(error) from None


async def read_json(request: Request) -> bytes:
    """A body that says that it is JSON. Raises Problem."""
    check_content_type(request)
    return await read_body(request)


def not_json(error: NotJson) -> Problem:
    return Problem("not_json", f"The body is not JSON: {error}.")


async def read_body(request: Request, most: int = MAX_BODY_BYTES, seconds: float = BODY_SECONDS) -> bytes:
    """At most so many bytes, which come in time. Raises Problem."""
    declared = find_header(request.scope, b"content-length") or b""
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    if "is_whole" in request.scope["state"]:  # its body came with its head, as nearly everybody's does
        return await _receive_body(request, most)
    try:
        async with asyncio.timeout(seconds):
            return await _receive_body(request, most)
    except TimeoutError:
        raise Problem("not_json", f"The body did not come within {seconds} seconds.") from None


async def _receive_body(request: Request, most: int) -> bytes:
    body, has_more = b"", True
    while has_more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Problem("not_json", "The body ended early.")
        body, has_more = body + message["body"], message["more_body"]
        if len(body) > most:
            raise _too_large(most)
    return body


def _too_large(most: int) -> Problem:
    # The server discards the rest as it arrives: closing at once would cost the caller this answer.
    return Problem("body_too_large", f"The body is over {most // 1024} KB.")


def check_content_type(request: Request, accepted: Sequence[str] = (JSON,)) -> str:
    """The type, which is an accepted one in UTF-8, however its name is spelled, and not compressed. Raises Problem."""
    coding = find_text(request.scope, b"content-encoding")
    if coding and coding.strip().lower() not in ("", "identity"):
        detail = "The body is compressed; send it as it is."
        raise Problem("unsupported_media_type", detail, headers={"Accept-Encoding": "identity"})
    given = find_text(request.scope, b"content-type") or ""
    if given == JSON:
        return JSON  # as nearly everybody spells it; reading it costs more than reading the body
    told = Message()
    told["Content-Type"] = given
    accept_post = {"Accept-Post": ", ".join(accepted)}
    if told.get_content_type() not in accepted:
        raise Problem("unsupported_media_type", headers=accept_post)
    charset = told.get_content_charset("utf-8")
    if re.sub(r"[^a-z0-9]", "", charset) not in _UTF_8:
        named = charset if _TOKEN.fullmatch(charset) else "that is named"
        raise Problem("unsupported_media_type", f"The charset {named} is not UTF-8.", headers=accept_post)
    return told.get_content_type()
