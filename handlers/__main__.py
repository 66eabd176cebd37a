"""`python -m handlers`: works until stopped; `--until-idle S` until nothing is left; `--check` only looks."""

import asyncio
import gc
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from handlers.settings import Environment


class _Arguments(NamedTuple):
    check: bool = False
    until_idle: float | None = None


def main() -> int:
    arguments = _read_arguments(sys.argv[1:])
    gc.disable()  # while the rest is loaded, most of which stays: collections meanwhile would find nothing
    from contracts.process.settings import InvalidSettings
    from handlers.settings import read_environment

    try:
        return asyncio.run(_run(arguments, read_environment()))
    except InvalidSettings as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2


async def _run(arguments: _Arguments, environment: "Environment") -> int:
    if arguments.check:
        from handlers.preflight.checking import check  # a running handler starts faster without it

        return await check(environment)
    from handlers.commands.running import Commands, child_environment

    async with Commands(child_environment(environment.variables)) as commands:  # its guard starts meanwhile
        from handlers.service import serve

        gc.freeze()
        gc.set_threshold(10_000, 20, 50)  # a job leaves little garbage that only a collection finds
        gc.enable()
        return await serve(environment, commands, until_idle_seconds=arguments.until_idle)


def _read_arguments(words: list[str]) -> _Arguments:
    if not words:
        return _Arguments()
    import argparse  # as most handlers are started, without any, they start faster without it

    parser = argparse.ArgumentParser(prog="python -m handlers", description=__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="say what is missing for this handler to work; exit 1 if so")
    mode.add_argument(
        "--until-idle",
        type=float,
        metavar="SECONDS",
        help="exit 0 when for so long nothing was pending and no job was left",
    )
    return _Arguments(**vars(parser.parse_args(words)))


if __name__ == "__main__":
    sys.exit(main())
