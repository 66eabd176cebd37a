"""A crowd of one account waits for itself."""

import asyncio

from gateway.jobs.turns import Turns


async def test_accounts_take_turns() -> None:
    turns: Turns[str] = Turns(most=100)
    for number in range(50):
        turns.put("crowd", f"crowd-{number}")
    turns.put("one", "one-0")
    turns.put("two", "two-0")
    assert [await turns.take() for _ in range(4)] == ["crowd-0", "one-0", "two-0", "crowd-1"]


async def test_a_line_is_bounded_for_each_account() -> None:
    turns: Turns[int] = Turns(most=2)
    assert [turns.put("crowd", number) for number in range(3)] == [True, True, False]
    assert turns.put("one", 0)


async def test_who_takes_waits_for_who_comes() -> None:
    turns: Turns[int] = Turns(most=2)
    taking = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    assert not taking.done()
    turns.put("one", 7)
    assert await taking == 7
