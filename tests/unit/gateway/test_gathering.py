"""What a caller's connection sends at once: an answer's head with its body, and a stream as it comes."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from gateway.http.connections import CallerConnection, FrontDoor, Limits
from tests.support.eventually import eventually

HEAD = b"HTTP/1.1 200 OK\r\n"


class Transport(asyncio.Transport):
    """Keeps what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        assert not self.is_closed, "written after the end"
        if data:
            self.sent.append(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Broken(Response):
    """Ends amid its answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        raise ConnectionError("no body")


class Bench:
    """A connection, and what it has sent."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.came_whole: list[bool] = []
        routes = [
            Route("/whole", lambda _: PlainTextResponse("body")),
            Route("/unchanged", lambda _: Response(status_code=304)),
            Route("/stream", lambda _: StreamingResponse(self._stream())),
            Route("/broken", lambda _: Broken()),
            Route("/body", self._read_body, methods=["POST"]),
        ]
        door = FrontDoor(Limits(most=9, reserve=1), lambda reason: None)
        config = uvicorn.Config(Starlette(routes=routes), http=partial(CallerConnection, door), lifespan="off")  # type: ignore[arg-type]  # made by calling it
        config.load()
        self.transport = Transport()
        self.connection = CallerConnection(door, config=config, server_state=ServerState(), app_state={})
        self.connection.connection_made(self.transport)

    async def ask(self, *requests: str, more: str = "", parts: int = 1) -> list[bytes]:
        """What was sent, once it is so many parts."""
        sent = self.transport.sent
        sent.clear()
        for request in requests:
            self.connection.data_received(f"{request} HTTP/1.1\r\nHost: gateway\r\n{more}\r\n".encode())
        await eventually(lambda: len(sent) >= parts, lambda: f"{parts} parts are sent: {sent}")
        return list(sent)

    async def _stream(self) -> AsyncIterator[str]:
        await self.goes_on.wait()
        yield "chunk"

    async def _read_body(self, request: Request) -> Response:
        self.came_whole.append("is_whole" in request.scope["state"])
        return PlainTextResponse(await request.body())


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.connection.connection_lost(None)


async def test_a_head_and_its_body_leave_together(bench: Bench) -> None:
    for _ in range(2):
        (answer,) = await bench.ask("GET /whole")
        assert answer.startswith(HEAD)
        assert answer.endswith(b"\r\n\r\nbody")


async def test_answers_to_requests_that_came_together_leave_in_their_order(bench: Bench) -> None:
    first, second = await bench.ask("GET /unchanged", "GET /whole", parts=2)
    assert first.startswith(b"HTTP/1.1 304 ")
    assert second.endswith(b"\r\n\r\nbody")


async def test_a_head_without_a_body_leaves_alone(bench: Bench) -> None:
    (answer,) = await bench.ask("HEAD /whole")
    assert answer.startswith(HEAD)
    assert b"content-length: 4" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_the_head_of_a_stream_does_not_wait_for_it(bench: Bench) -> None:
    (head,) = await bench.ask("GET /stream")
    assert head.startswith(HEAD)
    bench.goes_on.set()
    await eventually(lambda: len(bench.transport.sent) > 1, "the rest is sent")
    assert bench.transport.sent[1:] == [b"5\r\nchunk\r\n", b"0\r\n\r\n"]


async def test_who_waits_to_send_a_body_is_told_to_at_once(bench: Bench) -> None:
    (interim,) = await bench.ask("POST /body", more="Content-Length: 4\r\nExpect: 100-continue\r\n")
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    bench.connection.data_received(b"sent")
    await eventually(lambda: len(bench.transport.sent) > 1, "the answer is sent")
    assert bench.transport.sent[1].endswith(b"\r\n\r\nsent")


async def test_a_body_that_came_with_its_head_is_known_to_be_there(bench: Bench) -> None:
    await bench.ask("POST /body")
    await bench.ask("POST /body", more="Content-Length: 4\r\nExpect: 100-continue\r\n")
    assert bench.came_whole == [True, False]


async def test_of_an_answer_that_breaks_off_the_head_is_sent_before_the_end(bench: Bench) -> None:
    (head,) = await bench.ask("GET /broken")
    assert head.startswith(HEAD)
    assert bench.transport.is_closed


async def test_nothing_is_sent_to_a_peer_that_has_left(bench: Bench) -> None:
    bench.transport.sent.clear()
    bench.connection.data_received(b"GET /broken HTTP/1.1\r\nHost: gateway\r\n\r\n")
    bench.transport.close()
    await eventually(lambda: bench.connection.cycle.response_started, "the answer has begun")
    await asyncio.sleep(0)
    assert bench.transport.sent == []
