"""What an atomic batch of a thousand records takes in the bucket of jobs, against a stream that has nothing of its own.

A stream for each property that costs something, one for all that is declared. Who writes is who hears, as in a gateway.
"""

import time
import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from contracts import names
from contracts.batches import MOST_REQUESTS
from contracts.link import connection as link
from contracts.link.api import Api
from contracts.link.buckets import Bucket
from contracts.link.client import LinkClient
from contracts.link.core_messages import follow
from contracts.link.streams import read_stream_state
from contracts.process.settings import NatsSettings
from contracts.records import encode_record
from gateway.commands.declarations import DECLARATIONS
from tests.laboratory.benchmarks.bench import Bench
from tests.laboratory.benchmarks.figures import Figure, Goal, make_ratio, take_turns
from tests.support.eventually import eventually
from tests.support.gateways import new_record
from tests.support.servers import LIMIT_SECONDS

_ROOM_BYTES = 1 << 28  # of each stream; the declared limit does not fit so often
_BARE = {"storage": "file", "allow_atomic": True, "max_bytes": -1}
_REFUSING = {"discard": "new", "max_bytes": _ROOM_BYTES}
_HEARD = {"republish": True}
_COPIED = {"copied": True}
_PROPERTIES: dict[str, dict[str, Any]] = {
    "none": {},
    "a limit of bytes that refuses": _REFUSING,
    "times to live": {"allow_msg_ttl": True},
    "told to who listens, and heard": _HEARD,
    "copied by the audit": _COPIED,
}


async def measure_commit(bench: Bench) -> AsyncGenerator[Figure]:
    server = await bench.start_nats(provisioned=False)
    connection = await link.connect(NatsSettings(nats_url=server.url), "a benchmark", "gateway")
    try:
        sides = {name: await _Side.make(connection.client, **members) for name, members in _PROPERTIES.items()}
        sides["all of it"] = await _Side.make(connection.client, **_read_declared(), **_HEARD, **_COPIED)
        for side in sides.values():
            await side.measure()  # warm
        bare, *others = await take_turns(*(side.measure for side in sides.values()))
        for name, samples in zip(list(sides)[1:], others, strict=True):
            title = f"a batch of {MOST_REQUESTS:,} records, {name}, against a bare stream"
            yield make_ratio(title, Goal(), samples, bare, unit="ms")
    finally:
        await connection.close()


def _read_declared() -> dict[str, Any]:
    """What the bucket of jobs has of its own, with less room."""
    streams = {stream["name"]: stream for stream in orjson.loads(DECLARATIONS.read_bytes())["streams"]}
    bucket = streams[names.bucket_stream(names.JOBS_BUCKET)]
    return {
        name: value for name, value in bucket.items() if name not in ("name", "description", "subjects", "republish")
    } | {"max_bytes": _ROOM_BYTES}


class _Side:
    """A bucket, and what makes a batch of new records in it."""

    def __init__(self, api: Api, bucket: str, copy: str | None) -> None:
        self._api = api
        self._bucket = bucket
        self._copy = copy
        self._records = 0

    @classmethod
    async def make(
        cls, client: LinkClient, *, republish: bool = False, copied: bool = False, **members: Any
    ) -> "_Side":
        api, bucket = Api(client), f"commit_{uuid.uuid4().hex}"
        stream, subjects, told = names.bucket_stream(bucket), names.bucket_subject(bucket, ">"), f"told.{bucket}.>"
        config = {**_BARE, **members, "name": stream, "subjects": [subjects]}
        if republish:
            config["republish"] = {"src": subjects, "dest": told}
            await follow(client, told, lambda _: None)
        await api.manage(f"STREAM.CREATE.{stream}", config)
        copy = f"copy_of_{bucket}" if copied else None
        if copy:
            source = {"name": stream, "subject_transforms": [{"src": subjects, "dest": f"copied.{bucket}.>"}]}
            await api.manage(f"STREAM.CREATE.{copy}", {"name": copy, "storage": "file", "sources": [source]})
        return cls(api, bucket, copy)

    async def measure(self) -> float:
        """Milliseconds to the answer; what is copied is there before the next turn."""
        record = new_record("alice")
        new = [replace(record, job_id=str(uuid.uuid4())) for _ in range(MOST_REQUESTS)]
        values = [(one.job_id, encode_record(one)) for one in new]
        started_at = time.perf_counter()
        await Bucket(self._api, self._bucket).create_together(values, LIMIT_SECONDS)
        taken = time.perf_counter() - started_at
        self._records += len(values)
        if self._copy:
            await eventually(partial(self._is_copied, self._copy), "all records are copied")
        return taken * 1000

    async def _is_copied(self, copy: str) -> bool:
        return (await read_stream_state(self._api, copy)).messages >= self._records
