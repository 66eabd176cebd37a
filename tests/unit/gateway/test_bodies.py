"""Bodies: one that came with its head is read at once, another is waited for, and not for ever."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from gateway.http.bodies import read_body
from gateway.http.problems import Problem


def arriving(*parts: bytes, **state: bool) -> Request:
    """A request whose body comes in parts; after an empty one nothing comes any more."""
    rest = list(parts)

    async def receive() -> dict[str, Any]:
        if not rest[0]:
            await asyncio.Event().wait()
        part = rest.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(rest)}

    return Request({"type": "http", "headers": [], "state": state}, receive)


@pytest.mark.parametrize("request_", [arriving(b"{", b"}"), arriving(b"{}", is_whole=True)], ids=["in parts", "whole"])
async def test_a_body_is_read(request_: Request) -> None:
    assert await read_body(request_) == b"{}"


async def test_a_body_that_does_not_come_is_given_up() -> None:
    with pytest.raises(Problem) as problem:
        await read_body(arriving(b"{", b""), seconds=0.01)
    assert problem.value.code == "not_json"


@pytest.mark.parametrize("state", [{}, {"is_whole": True}], ids=["in parts", "whole"])
async def test_no_more_is_held_than_may_come(state: dict[str, bool]) -> None:
    with pytest.raises(Problem) as problem:
        await read_body(arriving(b"12345", **state), most=4)
    assert problem.value.code == "body_too_large"
