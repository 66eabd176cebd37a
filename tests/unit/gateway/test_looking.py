"""How long one request looks at tenants."""

import asyncio

from contracts.answers import TenantList
from gateway.http.routes.tenants import look_through


def page(next_cursor: str | None) -> TenantList:
    return {"tenants": [], "next_cursor": next_cursor}


async def test_it_goes_on_to_the_last_page() -> None:
    asked: list[str | None] = []

    async def ask(after: str | None) -> TenantList:
        asked.append(after)
        return page({None: "b", "b": "c"}.get(after))

    pages = [found async for found in look_through(ask, None, seconds=60)]
    assert asked == [None, "b", "c"]
    assert [found["next_cursor"] for found in pages] == ["b", "c", None]


async def test_a_look_that_takes_long_ends_with_the_time_of_all() -> None:
    """Only the first is waited for longer: a proxy in front gives a request up. The caller goes on from the cursor."""

    async def ask(after: str | None) -> TenantList:
        if after is None:
            await asyncio.sleep(0.02)
            return page("b")
        if after == "b":
            return page("c")
        await asyncio.Event().wait()
        raise AssertionError

    pages = [found async for found in look_through(ask, None, seconds=0.2)]
    assert [found["next_cursor"] for found in pages] == ["b", "c"]
    pages = [found async for found in look_through(ask, None, seconds=0.01)]
    assert [found["next_cursor"] for found in pages] == ["b"]
