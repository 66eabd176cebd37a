"""`python -m tests.laboratory.faults [ROW…]`: what came of the jobs of each row, as a table. Minutes each."""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, redirect_stdout
from functools import partial
from pathlib import Path

from tests.chaos import Run
from tests.laboratory.faults.clocks import Clock, find_library
from tests.laboratory.faults.partitions import PAIRS, Cluster, pairs_of, running_cluster
from tests.laboratory.faults.runs import LEASE_SECONDS, PassedOver, open_service, run_jobs
from tests.laboratory.faults.versions import unpack_first_version, write_import_command
from tests.support.handlers import Handler, launch_handler, start_handler
from tests.support.handlers import open_service as open_single_service
from tests.support.servers import ROOT, nats_server
from tests.support.storm.fleet import running_fleet

_PARTED_LEASE_SECONDS = 12.0  # an election takes 4 to 9 s
_VOLUME = "64m"
_KILLS = 30
_QUERIES = 4  # between two kills
_COLUMNS = ("accepted", "lost", "unfinished", "failed", "overlaps", "untrue", "seconds")


async def fill_the_disk(folder: Path) -> Run:
    """Twice for two leases; NATS writes again after a restart, as its operators are told."""
    async with (
        _small_volume(folder / "nats") as volume,
        open_single_service(folder, lease_seconds=LEASE_SECONDS) as service,
        service.handler(),
        service.handler(),
    ):

        async def disturb() -> None:
            for _ in range(2):
                await asyncio.sleep(LEASE_SECONDS)
                ballast = volume / "ballast"
                await _run("dd", "if=/dev/zero", f"of={ballast}", "bs=4k")
                await asyncio.sleep(2 * LEASE_SECONDS)
                ballast.unlink()
                await service.server.restart()

        return await run_jobs(service, disturb, jobs=30, lease_seconds=LEASE_SECONDS)


@asynccontextmanager
async def _small_volume(folder: Path) -> AsyncIterator[Path]:
    if await _run("mkdir", folder) or await _run("mount", "-t", "tmpfs", "-o", f"size={_VOLUME}", "tmpfs", folder):
        raise PassedOver("a small volume can be mounted by root alone")
    try:
        yield folder
    finally:
        await _run("umount", folder)


async def _run(*argv: str | Path) -> int:
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait()


async def freeze_nats(folder: Path) -> Run:
    """Shorter than a lease, about one, and for three."""
    async with (
        open_single_service(folder, lease_seconds=LEASE_SECONDS) as service,
        service.handler(),
        service.handler(),
    ):

        async def disturb() -> None:
            for leases in (0.6, 1.2, 3):
                await asyncio.sleep(LEASE_SECONDS)
                service.server.send_signal(signal.SIGSTOP)
                await asyncio.sleep(leases * LEASE_SECONDS)
                service.server.send_signal(signal.SIGCONT)

        return await run_jobs(service, disturb, jobs=30, lease_seconds=LEASE_SECONDS)


async def part_the_nodes(folder: Path) -> Run:
    """The leader alone, a follower alone, all three apart, two that see each other through the third, a leader that
    comes and goes."""
    lease_seconds = _PARTED_LEASE_SECONDS
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(running_cluster(folder, lease_seconds))
        service = await stack.enter_async_context(open_service(folder, cluster.servers[0], cluster.urls))
        for server in cluster.servers:  # each begins at a node of its own, and goes where it is let in
            others = [one.url for one in cluster.servers if one is not server]
            handler = await start_handler(",".join([server.url, *others]), service.everest, folder)
            stack.push_async_callback(handler.stop)
        return await run_jobs(
            service,
            partial(_part_five_ways, cluster, lease_seconds),
            jobs=40,
            lease_seconds=lease_seconds,
            pace_seconds=2.0,
        )


async def _part_five_ways(cluster: Cluster, lease_seconds: float) -> None:
    leader = await cluster.find_leader()
    follower = (leader + 1) % len(cluster.servers)
    between = [pair for pair in PAIRS if {*pair} == {leader, follower}]
    for pairs in (pairs_of(leader), pairs_of(follower), PAIRS, between):
        cluster.part(pairs)
        await asyncio.sleep(1.5 * lease_seconds)
        cluster.mend()
        await asyncio.sleep(lease_seconds)
    leader = await cluster.find_leader()
    for _ in range(6):
        cluster.part(pairs_of(leader), silent=False)
        await asyncio.sleep(lease_seconds / 4)
        cluster.mend()
        await asyncio.sleep(lease_seconds / 4)


async def mix_versions(folder: Path) -> Run:
    """Two handlers of 0.1.0 and two of today, each killed once in the middle; tenants have jobs that wait.

    Whichever of them a query comes to answers it.
    """
    old = unpack_first_version(folder / "first")
    old_import = write_import_command(folder, old)
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(open_single_service(folder, lease_seconds=LEASE_SECONDS))

        async def start(root: Path) -> Handler:
            own = {"EVEREST_RBAC_APPLY_CMD": str(old_import)} if root is old else {}
            variables = {"HANDLER_CONCURRENCY": "2", **own}
            handler = await launch_handler(root, service.server.url, service.everest, folder, variables=variables)
            stack.push_async_callback(handler.stop)
            return handler

        handlers = [(root, await start(root)) for root in (old, ROOT, old, ROOT)]

        async def disturb() -> None:
            for root, handler in handlers:
                await asyncio.sleep(LEASE_SECONDS)
                for _ in range(_QUERIES):
                    answer = await service.gateway.api.get("/accounts/list")
                    assert answer.status_code == 200, answer.text
                await handler.stop(signal.SIGKILL)
                await start(root)

        return await run_jobs(service, disturb, jobs=40, lease_seconds=LEASE_SECONDS)


async def turn_the_clocks(folder: Path) -> Run:
    """Two handlers and the gateway, each a day before or behind, and jumping while they work."""
    library = find_library()
    clocks = [Clock(folder / f"clock-{number}", library) for number in range(3)]
    for clock, offset in zip(clocks, ("+1d", "-1d", "-3600s"), strict=True):
        clock.set(offset)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(nats_server(folder, lease_seconds=LEASE_SECONDS))
        service = await stack.enter_async_context(open_service(folder, server, server.url, **clocks[2].variables))
        for clock in clocks[:2]:
            await stack.enter_async_context(service.handler(**clock.variables))

        async def disturb() -> None:
            for offsets in (("-1d", "+1d", "+3600s"), ("+0s", "-3600s", "-1d"), ("+1d", "+1d", "+1d")):
                await asyncio.sleep(LEASE_SECONDS)
                for clock, offset in zip(clocks, offsets, strict=True):
                    clock.set(offset)

        return await run_jobs(service, disturb, jobs=30, lease_seconds=LEASE_SECONDS)


async def kill_everything(folder: Path, tenants: int = 1000) -> Run:
    """A bulk while the gateway, NATS and handlers are killed with -9 at random moments, until each was, often."""
    moments = random.Random(tenants)
    async with (
        open_single_service(folder, lease_seconds=LEASE_SECONDS) as service,
        running_fleet(service, 2, HANDLER_CONCURRENCY="4") as supervisors,
    ):

        async def disturb() -> None:
            for number in range(_KILLS):
                await asyncio.sleep(moments.uniform(0.05, LEASE_SECONDS))
                match number % 3:
                    case 0:
                        await service.gateway.restart()
                    case 1:
                        await service.server.restart()
                    case _:
                        moments.choice(supervisors).kill()

        return await run_jobs(service, disturb, jobs=tenants, lease_seconds=LEASE_SECONDS, in_bulk=True)


ROWS: dict[str, tuple[str, Callable[[Path], Awaitable[Run]]]] = {
    "disk": ("NATS' volume is full, twice", fill_the_disk),
    "frozen": ("NATS is frozen, up to three leases", freeze_nats),
    "parted": ("three nodes, parted five ways", part_the_nodes),
    "versions": ("handlers of 0.1.0 and of today", mix_versions),
    "bulk": ("a bulk of tenants, kill -9 of everything", kill_everything),
    "clocks": ("clocks a day off, and jumping", turn_the_clocks),
}


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.laboratory.faults", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--tenants", type=int, default=1000, help="of the bulk")
    options = parser.parse_args()
    rows = options.rows or list(ROWS)
    plays = {name: play for name, (_, play) in ROWS.items()} | {
        "bulk": partial(kill_everything, tenants=options.tenants)
    }
    if unknown := set(rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    width = max(len(title) for title, _ in ROWS.values())
    print(f"{'':{width}}", *(f"{column:>10}" for column in _COLUMNS), flush=True)
    is_good = True
    for row in rows:
        title, play = ROWS[row][0], plays[row]
        with tempfile.TemporaryDirectory(prefix=f"faults-{row}-") as folder:
            try:
                with redirect_stdout(sys.stderr):  # what provisioning says is no part of the table
                    run = await play(Path(folder))
            except PassedOver as error:
                print(f"{title:{width}} passed over: {error}", flush=True)
                continue
        print(f"{title:{width}}", *(f"{figure:>10}" for figure in _count(run)), flush=True)
        print(*run.verdict.complaints, sep="\n", end="" if not run.verdict.complaints else "\n", file=sys.stderr)
        is_good &= run.is_good
    return 0 if is_good else 1


def _count(run: Run) -> tuple[int, ...]:
    verdict = run.verdict
    parts = (verdict.lost, verdict.unfinished, verdict.failed, verdict.overlapped, verdict.untrue)
    return (len(run.accepted), *map(len, parts), round(run.seconds))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
