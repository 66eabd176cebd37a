"""Rows of a submit: against a front door on PostgreSQL, against publishing alone, against a route that stores nothing.

All sides take turns in one run. Each acknowledges what is on the disk, but for the last: one node syncs each message,
three nodes sync the log of all three, on this machine's one disk; PostgreSQL syncs its log before a commit is told.
"""

from collections.abc import AsyncGenerator
from functools import partial

from tests.laboratory.benchmarks.bench import Bench
from tests.laboratory.benchmarks.figures import Figure, Goal, Measure, PassedOver, Skipped, make_ratio, take_turns
from tests.laboratory.benchmarks.rows.gateway import REQUEST, SUBMIT, rate_of
from tests.support.servers import NatsServer

_SECONDS = 1.5  # of a side, in each round
_GOALS = {  # by clients, on one node and on three
    1: (Goal(at_least=1.1), Goal(at_least=0.55)),
    16: (Goal(at_least=0.8), Goal(at_least=1.1)),
    64: (Goal(at_least=1.0), Goal(at_least=1.3)),
}
_OF_PUBLISHING = Goal(at_least=0.85)

Sides = dict[str, Measure]
Measured = dict[str, list[float]]


async def measure_submit(bench: Bench) -> AsyncGenerator[Figure | Skipped]:
    servers = {"one node": await bench.start_nats(), "three nodes": await bench.start_cluster()}
    ports = {name: (await bench.start_gateway(server)).port for name, server in servers.items()}
    ports["bare"] = await bench.start_bare({})
    try:
        ports["PostgreSQL"] = await bench.start_inserting()
    except PassedOver as reason:
        yield Skipped("submit, against Starlette, pydantic, asyncpg and PostgreSQL", str(reason))
    for clients, goals in _GOALS.items():
        sides = _make_sides(bench, ports, servers, clients)
        for side in sides.values():
            await side()  # warm
        measured = dict(zip(sides, await take_turns(*sides.values()), strict=True))
        for goal, nodes in zip(goals, servers, strict=True):
            for figure in _compare(measured, nodes, clients, goal):
                yield figure
        yield _make_figure(measured, "one node", clients, "bare", Goal(), "a bare Starlette route that stores nothing")


def _make_sides(bench: Bench, ports: dict[str, int], servers: dict[str, NatsServer], clients: int) -> Sides:
    order = partial(bench.load, paths=[SUBMIT], status=202, method="POST", body=REQUEST, clients=clients)
    submits = {name: rate_of(partial(order, port), _SECONDS) for name, port in ports.items()}
    publishes = {f"publish {name}": partial(_publish, bench, server, clients) for name, server in servers.items()}
    return submits | publishes


def _compare(measured: Measured, nodes: str, clients: int, goal: Goal) -> list[Figure]:
    figures = []
    if "PostgreSQL" in measured:
        figures.append(_make_figure(measured, nodes, clients, "PostgreSQL", goal, "Starlette and PostgreSQL"))
    of_publishing = _OF_PUBLISHING if clients > 1 else Goal()
    other = "publishing alone with as many in flight"
    return [*figures, _make_figure(measured, nodes, clients, f"publish {nodes}", of_publishing, other)]


def _make_figure(measured: Measured, nodes: str, clients: int, side: str, goal: Goal, other: str) -> Figure:
    title = f"submit, {nodes}, {clients} clients, against {other}".replace(" 1 clients", " 1 client")
    return make_ratio(title, goal, measured[nodes], measured[side], unit="/s")


async def _publish(bench: Bench, server: NatsServer, window: int) -> float:
    return float(await bench.run_program("publishing", str(server.port), str(_SECONDS), str(window)))
