"""Request bodies: counted while they arrive, so that a large one is refused before it is held."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from contracts.kinds import read_request
from contracts.requests import MAX_BODY_BYTES, InvalidRequest, NotJson
from contracts.requests import Request as JobRequest
from gateway.http.problems import Problem, invalid_request

BODY_SECONDS = 30


async def read_job_request(request: Request, kind: str) -> JobRequest:
    """The validated request in the body. Raises Problem."""
    _check_content_type(request.headers.get("content-type"))
    body = await read_body(request)
    try:
        return read_request(kind, body)
    except NotJson as error:
        raise Problem("not_json", f"The body is not JSON: {error}.") from None
    except InvalidRequest as error:
        raise invalid_request(error) from None


async def read_body(request: Request) -> bytes:
    """At most MAX_BODY_BYTES. Raises Problem."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
    except ClientDisconnect:
        raise Problem("not_json", "The body ended early.") from None
    except TimeoutError:
        raise Problem("not_json", f"The body did not come within {BODY_SECONDS} seconds.") from None
    return bytes(body)


def _too_large() -> Problem:
    # The server discards the rest as it arrives: closing at once would cost the caller this answer.
    return Problem("body_too_large", f"The body is over {MAX_BODY_BYTES // 1024} KB.")


def _check_content_type(content_type: str | None) -> None:
    """application/json, in UTF-8 where a charset is named."""
    media_type, _, parameters = (content_type or "").partition(";")
    charset = parameters.strip().lower().replace('"', "").replace(" ", "")
    if media_type.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise Problem("unsupported_media_type", headers={"Accept-Post": "application/json"})
