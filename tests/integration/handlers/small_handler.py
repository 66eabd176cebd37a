"""A handler reduced to its commands, to be killed and frozen by tests: obeys a line of JSON each, tells the same way.

{"run": argv, "lease": …, "as": name} · {"renew": lease, "seconds": s} · {"keep": lease, "seconds": s} · {"end": lease}
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

from handlers.commands.running import Command, Commands, ExecutableMissing, Interrupted, child_environment


def tell(**event: object) -> None:
    print(json.dumps(event), flush=True)


async def run(commands: Commands, order: dict[str, Any]) -> None:
    try:
        completed = await commands.run(Command(tuple(order["run"]), time_limit_seconds=300), lease=order.get("lease"))
    except (ExecutableMissing, Interrupted) as error:
        tell(name=order["as"], raised=type(error).__name__)
    else:
        tell(name=order["as"], exit_code=completed.exit_code, stdout=completed.stdout.decode())


async def keep(commands: Commands, lease: str, seconds: float) -> None:
    while True:
        commands.renew(lease, time.monotonic() + seconds)
        await asyncio.sleep(seconds / 4)


async def main() -> None:
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    tasks = []
    async with Commands(child_environment(os.environ)) as commands:
        while line := await orders.readline():
            match order := json.loads(line):
                case {"run": _}:
                    tasks.append(loop.create_task(run(commands, order)))
                case {"renew": lease, "seconds": seconds}:
                    commands.renew(lease, time.monotonic() + seconds)
                case {"keep": lease, "seconds": seconds}:
                    tasks.append(loop.create_task(keep(commands, lease, seconds)))
                case {"end": lease}:
                    commands.end(lease)
        for task in tasks:
            task.cancel()


asyncio.run(main())
