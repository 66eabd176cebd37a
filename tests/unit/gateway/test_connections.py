"""A connection that is gone is told of no more."""

import asyncio
import socket
import struct
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from uvicorn.server import ServerState

from gateway.http.connections import CallerConnection, FrontDoor, Limits
from tests.support.eventually import eventually

LINGER_NOT = struct.pack("ii", 1, 0)  # closed by a reset, as what a process leaves unread is


async def test_who_resets_the_connection_after_the_answer_leaves_no_timer() -> None:
    connections: list[CallerConnection] = []
    door = FrontDoor(Limits(most=9, reserve=1), lambda reason: None)
    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("answer"))])
    config = uvicorn.Config(app, http=partial(CallerConnection, door), lifespan="off", log_config=None)  # type: ignore[arg-type]  # made by calling it
    config.load()

    def accept() -> CallerConnection:
        connections.append(CallerConnection(door, config=config, server_state=ServerState(), app_state={}))
        return connections[-1]

    loop = asyncio.get_running_loop()
    async with await loop.create_server(accept, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n")
        await reader.readuntil(b"answer")
        (connection,) = connections
        timer = connection.timeout_keep_alive_task
        assert timer is not None
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        writer.transport.abort()
        await eventually(lambda: not door.count_open(), "the connection is gone")
        assert timer.cancelled()
