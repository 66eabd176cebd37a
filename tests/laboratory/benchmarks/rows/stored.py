"""Rows with a million finished jobs stored, against ten thousand: what is kept must not slow what is new."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import partial

from tests.laboratory.benchmarks.bench import Bench
from tests.laboratory.benchmarks.figures import Figure, Goal, make_ratio, take_turns
from tests.laboratory.benchmarks.load import Report
from tests.laboratory.benchmarks.rows.gateway import REQUEST, SUBMIT, compare_rates
from tests.laboratory.benchmarks.seeding import job_id_of
from tests.laboratory.benchmarks.stores import open_store
from tests.support.gateways import Gateway

MANY, FEW = 1_000_000, 10_000
_CLIENTS = 16
_KNOWN = 200  # asked for again and again
_UNKNOWN = 750  # asked for once, in each round
_LISTS = 50


@dataclass(frozen=True, slots=True)
class _Side:
    """A gateway before a store of so many jobs."""

    gateway: Gateway
    stored: int

    def newest(self, start: int, count: int) -> list[str]:
        """Paths of jobs among the last ten thousand."""
        return [f"/jobs/{job_id_of(self.stored - FEW + number)}" for number in range(start, start + count)]

    def spread(self, start: int, count: int) -> list[str]:
        """Paths of jobs all over the store."""
        pace = self.stored // FEW
        return [f"/jobs/{job_id_of(number * pace)}" for number in range(start, start + count)]


_Asked = tuple[_Side, Callable[[int, int], list[str]]]


async def measure_stored(bench: Bench) -> AsyncGenerator[Figure]:
    many, few = [_Side(await bench.start_gateway(await open_store(bench, count)), count) for count in (MANY, FEW)]
    yield await _compare_lists(bench, many, few)
    title = "first poll of a recent job, 16 clients, 1 M finished jobs stored, against 10 k"
    yield await _compare_first_polls(bench, title, Goal(at_least=0.9), (many, many.newest), (few, few.newest), _KNOWN)
    title = "first poll of a job of any age, 16 clients, 1 M finished jobs stored, against 10 k"
    start = _KNOWN + 6 * _UNKNOWN
    yield await _compare_first_polls(bench, title, Goal(), (many, many.spread), (few, few.spread), start)
    yield await _compare_polls(bench, many, few)
    yield await _compare_submits(bench, many, few)


async def _compare_lists(bench: Bench, many: _Side, few: _Side) -> Figure:
    async def read(side: _Side) -> float:
        report: Report = await bench.load(side.gateway.port, ["/jobs?limit=50"], 200, requests=_LISTS)
        return report.median_ms

    for side in (many, few):
        await read(side)
    mine, theirs = await take_turns(partial(read, many), partial(read, few))
    return make_ratio("newest 50 of the list at 1 M, against 10 k", Goal(at_most=1.2), mine, theirs, unit="ms")


async def _compare_first_polls(bench: Bench, title: str, goal: Goal, many: _Asked, few: _Asked, start: int) -> Figure:
    """Of jobs that are in nobody's memory yet, so each is asked for once."""
    starts = {many[0].stored: start, few[0].stored: start}

    async def read(asked: _Asked) -> float:
        side, name_paths = asked
        paths = name_paths(starts[side.stored], _UNKNOWN)
        starts[side.stored] += _UNKNOWN
        report: Report = await bench.load(side.gateway.port, paths, 200, clients=_CLIENTS, requests=_UNKNOWN)
        return report.rate

    for asked in (many, few):
        await read(asked)
    mine, theirs = await take_turns(partial(read, many), partial(read, few))
    return make_ratio(title, goal, mine, theirs, unit="/s")


async def _compare_polls(bench: Bench, many: _Side, few: _Side) -> Figure:
    """Of jobs that were asked for a moment ago."""
    polls = [
        partial(bench.load, side.gateway.port, side.newest(0, _KNOWN), 200, clients=_CLIENTS) for side in (many, few)
    ]
    title = "poll, 16 clients, 1 M finished jobs stored, against 10 k"
    return make_ratio(title, Goal(at_least=0.9), *await compare_rates(*polls), unit="/s")


async def _compare_submits(bench: Bench, many: _Side, few: _Side) -> Figure:
    order = {"method": "POST", "body": REQUEST, "clients": _CLIENTS}
    submits = [partial(bench.load, side.gateway.port, [SUBMIT], 202, **order) for side in (many, few)]
    title = "submit, 16 clients, 1 M finished jobs stored, against 10 k"
    return make_ratio(title, Goal(at_least=0.9), *await compare_rates(*submits), unit="/s")
