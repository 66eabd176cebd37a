"""The front door: strangers who send nothing, little, slowly or too much keep nobody out."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.eventually import eventually
from tests.support.gateways import KEY, Gateway, ManualHandler, manual_handler, new_record, running_gateway
from tests.support.servers import LIMIT_SECONDS, LOOPBACK, nats_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST_FILES = 512
CROWD = 600

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def knock(gateway: Gateway, sends: bytes = b"") -> Stream:
    reader, writer = await asyncio.open_connection(LOOPBACK, gateway.port)
    writer.write(sends)
    return reader, writer


async def leave(streams: list[Stream]) -> None:
    for _, writer in streams:
        writer.transport.abort()


async def read_until_closed(stream: Stream) -> bytes:
    async with asyncio.timeout(LIMIT_SECONDS):
        try:
            return await stream[0].read()
        except ConnectionResetError:
            return b""


@asynccontextmanager
async def small_gateway(folder: Path) -> AsyncIterator[tuple[Gateway, ManualHandler]]:
    """With few open files, behind which more callers come than it has room for."""
    async with (
        nats_server(folder, lease_seconds=60) as server,
        manual_handler(server) as manual,
        running_gateway(server.url, folder, most_files=MOST_FILES) as gateway,
    ):
        yield gateway, manual


async def read_metric(gateway: Gateway, series: str) -> float:
    """Over a connection of its own, because the gateway may have closed the others."""
    async with httpx.AsyncClient(verify=False) as client:
        text = (await client.get(f"http://{LOOPBACK}:{gateway.port}/metrics", timeout=LIMIT_SECONDS)).text
    lines = [line for line in text.splitlines() if line.startswith(f"everest_bootstrap_{series}")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def wait_for_metric(gateway: Gateway, series: str, least: float) -> None:
    async def is_reached() -> bool:
        return await read_metric(gateway, series) >= least

    await eventually(is_reached, f"{series} reaches {least}")


@pytest.mark.parametrize(
    "sends",
    [b"", b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nX-Slow: ", b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n"],
    ids=["nothing", "half a header section", "one request, then nothing"],
)
async def test_a_crowd_that_sends_little_makes_room(tmp_path: Path, sends: bytes) -> None:
    """More than there are files: health, readiness and submits are answered, and it is counted and logged."""
    async with small_gateway(tmp_path) as (gateway, _):
        # All at once: a machine so busy that one after the other takes longer than silence may last sees no crowd.
        crowd = await asyncio.gather(*(knock(gateway, sends) for _ in range(CROWD)))
        for path in ("/healthz", "/readyz"):
            assert (await gateway.nobody.get(path)).status_code == 200
        async with httpx.AsyncClient(base_url=gateway.api.base_url, headers={"X-Admin-Key": KEY}) as newcomer:
            answer = await newcomer.post("/bootstrap/users", json={"username": "alice"}, timeout=LIMIT_SECONDS)
        assert answer.status_code == 202
        assert await read_metric(gateway, 'http_connections_closed_total{reason="silent"}') >= CROWD - MOST_FILES
        assert await read_metric(gateway, "http_connections ") <= MOST_FILES
        assert any(line["event"] == "connections.closed" for line in gateway.log_lines())
        await leave(crowd)


async def test_where_all_wait_the_reserve_answers_health_and_a_key_holder(tmp_path: Path) -> None:
    """One short request each; a stranger is refused, and so is who would stay."""
    async with small_gateway(tmp_path) as (gateway, manual):
        record = new_record()
        await manual.write(record)
        most = int(await read_metric(gateway, "http_connections_limit"))
        waits = f"GET /jobs/{record.job_id}?wait=60 HTTP/1.1\r\nHost: gateway\r\nX-Admin-Key: {KEY}\r\n\r\n".encode()
        crowd = [await knock(gateway, waits) for _ in range(most)]
        await wait_for_metric(gateway, "waiters", most - 3)  # the clients of the test have a place each
        async with AsyncExitStack() as stack:
            newcomers = [
                await stack.enter_async_context(httpx.AsyncClient(base_url=gateway.api.base_url, timeout=LIMIT_SECONDS))
                for _ in range(6)
            ]
            for newcomer, path, status in zip(
                newcomers[:4],
                ("/healthz", "/readyz", "/docs", f"/jobs/{record.job_id}"),
                (200, 200, 503, 401),
                strict=True,
            ):
                answer = await newcomer.get(path)
                assert (answer.status_code, answer.headers["connection"]) == (status, "close")
            key = {"X-Admin-Key": KEY}
            answer = await newcomers[4].get(f"/jobs/{record.job_id}?wait=60", headers=key)
            assert (answer.status_code, answer.json()["status"]) == (200, "queued")
            answer = await newcomers[5].get(f"/jobs/{record.job_id}/events", headers=key)
            assert (answer.status_code, answer.json()["code"]) == (503, "too_many_connections")
        await leave(crowd)


async def test_a_header_section_has_a_limit(gateway: Gateway) -> None:
    """Whole or endless, in one header or in many: 431, and the gateway is there for others."""
    start = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n"
    for section in (
        start + b"X-Large: " + b"x" * 33_000 + b"\r\n\r\n",
        start + b"X-Endless: " + b"x" * 40_000,
        start + b"a: b\r\n" * 6_000 + b"\r\n",
        b"GET /healthz?" + b"x" * 33_000 + b" HTTP/1.1\r\nHost: gateway\r\n\r\n",
    ):
        stream = await knock(gateway, section)
        answer = await read_until_closed(stream)
        assert answer.startswith(b"HTTP/1.1 431 "), answer[:100]
        assert b'"code":"headers_too_large"' in answer
        await leave([stream])
    assert (await gateway.nobody.get("/healthz", headers={"X-Large": "x" * 30_000})).status_code == 200


@pytest.mark.parametrize("sends", [b"FOO /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n"])
async def test_what_is_no_http_is_told_as_every_error_is(gateway: Gateway, sends: bytes) -> None:
    """A method that no standard knows, and TLS on a port without."""
    stream = await knock(gateway, sends)
    answer = await read_until_closed(stream)
    await leave([stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head.lower()
    assert (json.loads(body)["code"], bool(json.loads(body)["hint"])) == ("not_http", True)


async def test_endless_headers_are_not_kept(gateway: Gateway) -> None:
    """What is sent beyond the limit is thrown away, and then the connection is closed."""
    stream = await knock(gateway, b"GET /healthz HTTP/1.1\r\n")
    sent = 0
    async with asyncio.timeout(LIMIT_SECONDS):
        try:
            while sent < 500_000_000:
                stream[1].write(b"X-Endless: " + b"x" * 60_000)
                await stream[1].drain()
                sent += 60_000
        except ConnectionError:
            pass
    assert sent < 500_000_000
    await leave([stream])


async def test_unfinished_headers_have_a_limit_in_all(gateway: Gateway) -> None:
    """Each below its own limit, and together more than the gateway keeps: the oldest are closed."""
    before = await read_metric(gateway, 'http_connections_closed_total{reason="header_slow"}')
    section = b"GET /healthz HTTP/1.1\r\nX-Half: " + b"x" * 20_000
    crowd = [await knock(gateway, section) for _ in range(1_000)]
    await wait_for_metric(gateway, 'http_connections_closed_total{reason="header_slow"}', before + 100)
    assert await read_until_closed(crowd[0]) == b""
    assert (await gateway.nobody.get("/healthz")).status_code == 200
    await leave(crowd)


@pytest.mark.parametrize("sends", [b"", b"GET /healthz HTTP/1.1\r\nHo"], ids=["nothing", "half a header section"])
async def test_silence_ends(gateway: Gateway, sends: bytes) -> None:
    """Nobody comes, and still it is closed: after a time limit of its own."""
    stream = await knock(gateway, sends)
    assert await read_until_closed(stream) == b""
    await leave([stream])


async def test_a_body_that_drips_after_its_answer_ends(gateway: Gateway) -> None:
    """The answer was 401; what still comes of the body does not keep the connection."""
    head = b"POST /bootstrap/users HTTP/1.1\r\nHost: gateway\r\nContent-Length: 60000\r\n\r\n"
    reader, writer = await knock(gateway, head)
    assert (await reader.readline()).startswith(b"HTTP/1.1 401")

    async def drip() -> None:
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.5)

    dripping = asyncio.create_task(drip())
    await read_until_closed((reader, writer))
    dripping.cancel()
    await leave([(reader, writer)])


async def test_requests_that_come_together_are_answered_in_order(gateway: Gateway) -> None:
    """Limits count each request by itself."""
    request = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nX-Filler: " + b"x" * 10_000 + b"\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"
    stream = await knock(gateway, request * 8 + last)
    assert (await read_until_closed(stream)).count(b"HTTP/1.1 200 OK") == 9
    await leave([stream])


async def test_an_idle_connection_is_kept_for_a_proxy(gateway: Gateway) -> None:
    """uvicorn would close it after five seconds, maybe as the next request comes."""
    last = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"
    reader, writer = await knock(gateway, last.replace(b"close", b"keep-alive"))
    await reader.readuntil(b"}")
    answer = asyncio.create_task(read_until_closed((reader, writer)))
    await asyncio.wait({answer}, timeout=6)
    writer.write(last)
    assert b"HTTP/1.1 200 OK" in await answer
    await leave([(reader, writer)])


async def test_who_does_not_take_the_answer_is_left(gateway: Gateway) -> None:
    """A large file, of which nothing is read; its connection is among the first to make room."""
    asset = b"GET /openapi.json HTTP/1.1\r\nHost: gateway\r\n\r\n"
    stream = await knock(gateway, asset * 200)
    stream[1].transport.pause_reading()  # type: ignore[attr-defined]  # a transport of a socket has it
    await wait_for_metric(gateway, 'http_connections_closed_total{reason="unread"}', 1)
    await leave([stream])
