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
from tests.laboratory.benchmarks.figures import Figure, Skipped
from tests.laboratory.benchmarks.rows.commit import measure_commit
from tests.laboratory.benchmarks.rows.crowd import measure_burst, measure_tenant_crowd, measure_waiters
from tests.laboratory.benchmarks.rows.gateway import measure_bulk, measure_list, measure_polls
from tests.laboratory.benchmarks.rows.handler import (
    measure_job_rate,
    measure_job_time,
    measure_memory,
    measure_scaling,
    measure_start,
)
from tests.laboratory.benchmarks.rows.stored import measure_stored
from tests.laboratory.benchmarks.rows.submit import measure_submit

Line = Figure | Skipped
Row = Callable[[Bench], AsyncGenerator[Line]] | Callable[[Bench], AsyncGenerator[Figure]]

ROWS: dict[str, Row] = {
    "submit": measure_submit,
    "bulk": measure_bulk,
    "commit": measure_commit,
    "list": measure_list,
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
LIMIT_SECONDS = 600  # of a row; one that is stuck must not keep the others from being measured


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
    lines: list[Line] = []
    failed: list[Failed] = []
    for name in names:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        reason = await _measure(ROWS[name], lines)
        if reason:
            failed.append(Failed(name, reason))
    print(_make_table(lines, failed, time.monotonic() - started_at))
    return 0 if not failed and all(line.is_met for line in lines if isinstance(line, Figure)) else 1


async def _measure(row: Row, lines: list[Line]) -> str | None:
    """Adds the row's lines; gives why there are no more. What it started has ended by then."""
    with tempfile.TemporaryDirectory(prefix="everest-bench-") as folder:
        try:
            async with asyncio.timeout(LIMIT_SECONDS) as limit, contextlib.AsyncExitStack() as stack:
                bench = Bench(Path(folder), stack)
                async with contextlib.aclosing(row(bench)) as measured:
                    async for line in measured:
                        print(_make_line(line), file=sys.stderr, flush=True)
                        lines.append(line)
        except Exception as error:  # the other rows are measured all the same
            if limit.expired():
                return f"not done after {LIMIT_SECONDS} s"
            traceback.print_exc()
            return repr(error)
    return None


def _make_table(measured: list[Line], failed: list[Failed], seconds: float) -> str:
    lines = ["| Figure | Goal | Measured | Verdict | Spread | Sides |", "|---|---|---|---|---|---|"]
    lines += map(_make_line, measured)
    lines += [f"| {failure.row} | | | FAILED | | {failure.reason} |" for failure in failed]
    taken = f"{date.today().isoformat()}, {platform.python_implementation()} {platform.python_version()}"
    return "\n".join([*lines, "", f"Taken {taken}, in {seconds / 60:.1f} minutes."])


def _make_line(figure: Line) -> str:
    if isinstance(figure, Skipped):
        return f"| {figure.title} | | | passed over | | {figure.reason} |"
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
