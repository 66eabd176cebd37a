"""A stand-in for a collector of OpenTelemetry: takes spans over HTTP, and draws them as a tree."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.servers import LOOPBACK, free_port


@dataclass(frozen=True, slots=True)
class Seen:
    """A span, as it was sent."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    is_error: bool
    began_at: int
    attributes: dict[str, Any]


@dataclass(slots=True)
class Collector:
    port: int
    seen: list[Seen] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = (line.partition(":") for line in head.split("\r\n")[1:] if line)
                headers = {name.strip().lower(): value.strip() for name, _, value in lines}
                body = await reader.readexactly(int(headers["content-length"]))
                self._take(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def _take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {one.key: one.value.string_value for one in resource.resource.attributes}["service.name"]
            for scope in resource.scope_spans:
                self.seen += [_read(service, span) for span in scope.spans]

    def draw(self, trace_id: str) -> list[str]:
        """The spans of a trace, each below its parent, in the order in which they began."""
        spans = sorted((span for span in self.seen if span.trace_id == trace_id), key=lambda span: span.began_at)
        known = {span.span_id for span in spans}

        def draw_below(parent: str, depth: int) -> list[str]:
            lines = []
            for span in spans:
                if span.parent_id == parent or (depth == 0 and span.parent_id not in known):
                    lines += ["  " * depth + span.name, *draw_below(span.span_id, depth + 1)]
            return lines

        return draw_below("", 0)


def _read(service: str, span: Any) -> Seen:
    values = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
    return Seen(service, span.name, *ids, span.kind, span.status.code == 2, span.start_time_unix_nano, values)


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector(free_port())
    server = await asyncio.start_server(collector.receive, LOOPBACK, collector.port)
    try:
        yield collector
    finally:
        server.close()
