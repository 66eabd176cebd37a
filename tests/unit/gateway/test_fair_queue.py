"""A crowd of one account waits for itself."""

import asyncio

from gateway.jobs.fair_queue import FairQueue


async def test_accounts_take_turns() -> None:
    queue: FairQueue[str] = FairQueue(most=100)
    for number in range(50):
        queue.put("crowd", f"crowd-{number}")
    queue.put("one", "one-0")
    queue.put("two", "two-0")
    assert [await queue.take() for _ in range(4)] == ["crowd-0", "one-0", "two-0", "crowd-1"]


async def test_a_line_is_bounded_for_each_account() -> None:
    queue: FairQueue[int] = FairQueue(most=2)
    assert [queue.put("crowd", number) for number in range(3)] == [True, True, False]
    assert queue.put("one", 0)


async def test_who_takes_waits_for_who_comes() -> None:
    queue: FairQueue[int] = FairQueue(most=2)
    taking = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    assert not taking.done()
    queue.put("one", 7)
    assert await taking == 7
