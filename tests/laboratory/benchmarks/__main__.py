"""`python -m tests.laboratory.benchmarks [ROW…]`: measures the rows (without an argument all), prints one table."""

import argparse
import asyncio
import contextlib
import platform
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tests.laboratory.benchmarks.bench import Bench
from tests.laboratory.benchmarks.figures import Figure
from tests.laboratory.benchmarks.rows.crowd import measure_burst, measure_tenant_crowd, measure_waiters
from tests.laboratory.benchmarks.rows.gateway import measure_bulk, measure_polls, measure_submit
from tests.laboratory.benchmarks.rows.handler import (
    measure_job_rate,
    measure_job_time,
    measure_memory,
    measure_scaling,
    measure_start,
)
from tests.laboratory.benchmarks.rows.stored import measure_stored

Row = Callable[[Bench], AsyncGenerator[Figure]]

ROWS: dict[str, Row] = {
    "submit": measure_submit,
    "bulk": measure_bulk,
    "poll": measure_polls,
    "job": measure_job_time,
    "rate": measure_job_rate,
    "scale": measure_scaling,
    "start": measure_start,
    "memory": measure_memory,
    "stored": measure_stored,
    "waiters": measure_waiters,
    "crowd": measure_tenant_crowd,
    "burst": measure_burst,
}
LIMIT_SECONDS = 300  # of a row; one that is stuck must not keep the others from being measured


@dataclass(frozen=True, slots=True)
class Failed:
    """A row that gave no figure, or not all."""

    row: str
    reason: str


def main() -> int:
    names = _read_arguments()
    _raise_file_limit()
    try:
        return asyncio.run(_run(names))
    except KeyboardInterrupt:
        return 130


async def _run(names: list[str]) -> int:
    main_task = asyncio.current_task()
    assert main_task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main_task.cancel)
    started_at = time.monotonic()
    figures: list[Figure] = []
    failed: list[Failed] = []
    for name in names:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        reason = await _measure(ROWS[name], figures)
        if reason:
            failed.append(Failed(name, reason))
    print(_make_table(figures, failed, time.monotonic() - started_at))
    return 0 if not failed and all(figure.is_met for figure in figures) else 1


async def _measure(row: Row, figures: list[Figure]) -> str | None:
    """Adds the row's figures; gives why there are no more. What it started has ended by then."""
    with tempfile.TemporaryDirectory(prefix="everest-bench-") as folder:
        try:
            async with asyncio.timeout(LIMIT_SECONDS) as limit, contextlib.AsyncExitStack() as stack:
                bench = Bench(Path(folder), stack)
                async with contextlib.aclosing(row(bench)) as measured:
                    async for figure in measured:
                        print(_make_line(figure), file=sys.stderr, flush=True)
                        figures.append(figure)
        except Exception as error:  # the other rows are measured all the same
            if limit.expired():
                return f"not done after {LIMIT_SECONDS} s"
            traceback.print_exc()
            return repr(error)
    return None


def _make_table(figures: list[Figure], failed: list[Failed], seconds: float) -> str:
    lines = ["| Figure | Goal | Measured | Verdict | Spread | Sides |", "|---|---|---|---|---|---|"]
    lines += map(_make_line, figures)
    lines += [f"| {failure.row} | | | FAILED | | {failure.reason} |" for failure in failed]
    taken = f"{date.today().isoformat()}, {platform.python_implementation()} {platform.python_version()}"
    return "\n".join([*lines, "", f"Taken {taken}, in {seconds / 60:.1f} minutes."])


def _make_line(figure: Figure) -> str:
    shown = f"{figure.value:.3g} {figure.goal.unit}".rstrip()
    return f"| {figure.title} | {figure.goal} | {shown} | {figure.verdict} | {figure.spread} | {figure.note} |"


def _raise_file_limit() -> None:
    """Ten thousand callers need as many descriptors, here and in the gateway, which inherits the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _read_arguments() -> list[str]:
    parser = argparse.ArgumentParser(prog="python -m tests.laboratory.benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of: {', '.join(ROWS)}")
    rows = parser.parse_args().rows
    for name in rows:
        if name not in ROWS:
            parser.error(f"there is no row {name}; rows: {', '.join(ROWS)}")
    return rows or list(ROWS)


if __name__ == "__main__":
    sys.exit(main())
