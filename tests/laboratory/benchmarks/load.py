"""The load generator, a process of its own: the same client against whatever serves.

`python -m tests.laboratory.benchmarks.load` reads an order, a line of JSON, and prints a report in JSON. Its clients
keep their connections and send one request after another, so its cost is the same on both sides of a ratio.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import uvloop

_CONNECT_AT_ONCE = 200
_OVERTIME_SECONDS = 30  # for the answers that are due when the time is over


@dataclass(frozen=True, slots=True)
class Order:
    """What to ask, of whom, how long or how often. `hold` sends one request on each connection and keeps them open.

    The clients take the paths in turn. `answers` is a file that gets the body of each answer, a line each.
    """

    port: int
    paths: list[str]
    clients: int = 1
    seconds: float = 0
    requests: int = 0
    method: str = "GET"
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    answers: str | None = None
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    count: int
    seconds: float
    statuses: dict[str, int]
    median_ms: float
    p99_ms: float
    worst_ms: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds


class _Load:
    """What all clients share."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.requests = [_encode(order, path) for path in order.paths]
        self.statuses: Counter[bytes] = Counter()
        self.latencies: list[float] = []
        self.bodies: list[bytes] | None = [] if order.answers else None
        self.started_at = self.ended_at = time.perf_counter()
        self.sent = 0
        self.over = asyncio.Event()
        self._working = 0

    def next_request(self) -> bytes | None:
        order = self.order
        if order.requests and self.sent >= order.requests:
            return None
        if order.seconds and time.perf_counter() - self.started_at >= order.seconds:
            return None
        self.sent += 1
        return self.requests[self.sent % len(self.requests)]

    def enter(self) -> None:
        self._working += 1

    def leave(self) -> None:
        self._working -= 1
        if not self._working:
            self.over.set()

    def note(self, status: bytes, body: bytes, sent_at: float) -> None:
        self.ended_at = time.perf_counter()
        self.latencies.append(self.ended_at - sent_at)
        self.statuses[status] += 1
        if self.bodies is not None:
            self.bodies.append(body)

    def report(self) -> Report:
        milliseconds = [latency * 1000 for latency in self.latencies] or [0.0]
        return Report(
            len(self.latencies),
            self.ended_at - self.started_at,
            {status.decode(): count for status, count in self.statuses.items()},
            median(milliseconds),
            quantiles(milliseconds, n=100)[-1] if len(milliseconds) > 1 else milliseconds[0],
            max(milliseconds),
        )


class _Client(asyncio.Protocol):
    """One connection: the next request follows the last answer."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._transport: Any = None
        self._received = b""
        self._sent_at = 0.0
        self._is_working = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def begin(self) -> None:
        self._is_working = True
        self._load.enter()
        self._send()

    def _send(self) -> None:
        request = self._load.next_request()
        if request is None:
            self._end()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        head = data.find(b"\r\n\r\n")
        if head < 0:
            self._received = data
            return
        start = data.lower().find(b"\r\ncontent-length: ", 0, head)
        length = 0 if start < 0 else int(data[start + 18 : data.find(b"\r", start + 18)])
        if len(data) < head + 4 + length:
            self._received = data
            return
        self._received = b""
        self._load.note(data[9:12], data[head + 4 : head + 4 + length], self._sent_at)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if self._is_working:
            self._load.statuses[b"cut"] += 1
            self._end()

    def _end(self) -> None:
        self._is_working = False
        self._load.leave()


def _encode(order: Order, path: str) -> bytes:
    body = order.body.encode()
    headers = {"Host": "bench", **order.headers}
    if body:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"{order.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


async def _connect(load: _Load) -> list[_Client]:
    loop = asyncio.get_running_loop()
    clients: list[_Client] = []
    while len(clients) < load.order.clients:
        several = min(_CONNECT_AT_ONCE, load.order.clients - len(clients))
        connecting = (
            loop.create_connection(lambda: _Client(load), "127.0.0.1", load.order.port) for _ in range(several)
        )
        clients += [protocol for _, protocol in await asyncio.gather(*connecting)]
    return clients


async def _run(order: Order) -> Report:
    load = _Load(order)
    clients = await _connect(load)
    load.started_at = time.perf_counter()
    for client in clients:
        client.begin()
    await asyncio.wait_for(load.over.wait(), order.seconds + _OVERTIME_SECONDS if order.seconds else None)
    if order.answers:
        await asyncio.to_thread(Path(order.answers).write_bytes, b"\n".join(load.bodies or ()))
    return load.report()


async def _hold(order: Order) -> None:
    """Sends one request on each connection and keeps them until stdin ends; a line tells when all are sent."""
    load = _Load(order)
    for number, client in enumerate(await _connect(load)):
        client.begin()
        if number % _CONNECT_AT_ONCE == 0:
            await asyncio.sleep(0.01)
    print("held", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps(asdict(load.report())), flush=True)


def main() -> None:
    order = Order(**json.loads(sys.stdin.readline()))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if order.hold:
            runner.run(_hold(order))
        else:
            print(json.dumps(asdict(runner.run(_run(order)))), flush=True)


if __name__ == "__main__":
    main()
