"""A bare asyncio loop that starts processes: what a job costs at least.

`python -m tests.laboratory.benchmarks.bare_commands COUNT AT_ONCE` reads a JSON list of commands from stdin and runs
COUNT such lists, each in sequence, so many lists side by side, outputs captured. Prints the seconds that it took.
"""

import asyncio
import json
import sys
import time


async def run_list(commands: list[list[str]], gate: asyncio.Semaphore) -> None:
    async with gate:
        for argv in commands:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            await process.communicate()


async def main() -> None:
    count, at_once = int(sys.argv[1]), int(sys.argv[2])
    commands = json.load(sys.stdin)
    gate = asyncio.Semaphore(at_once)
    started_at = time.perf_counter()
    await asyncio.gather(*(run_list(commands, gate) for _ in range(count)))
    print(time.perf_counter() - started_at)


if __name__ == "__main__":
    asyncio.run(main())
