"""Jobs straight through the queue, as another service publishes them, and the news of their ends."""

import asyncio
import contextlib
import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import names
from tests.laboratory.benchmarks.bench import UnexpectedAnswer
from tests.support.servers import NatsServer

_JOB_SECONDS = 60
_usernames = (f"tenant{number}" for number in itertools.count())


class Queue:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._ended: dict[str, asyncio.Future[dict[str, object]]] = {}

    async def listen(self) -> None:
        await self._client.subscribe(names.event_subject("*"), cb=self._hear)

    async def run_jobs(self, count: int = 1) -> float:
        """Publishes so many jobs of new tenants, and gives the seconds until the last has succeeded."""
        started_at = time.perf_counter()
        await self.wait_for([await self.publish() for _ in range(count)])
        return time.perf_counter() - started_at

    async def publish(self) -> str:
        job_id = str(uuid.uuid4())
        self._ended[job_id] = asyncio.get_running_loop().create_future()
        body = json.dumps({"username": next(_usernames)}).encode()
        await self._client.publish(names.job_subject("bootstrap", job_id), body)
        return job_id

    async def wait_for(self, job_ids: list[str]) -> None:
        async with asyncio.timeout(_JOB_SECONDS):
            for job_id in job_ids:
                event = await self._ended[job_id]
                del self._ended[job_id]
                if event["status"] != "succeeded":
                    raise UnexpectedAnswer(f"the job ended as {event}")

    async def _hear(self, message: Msg) -> None:
        event = json.loads(message.data)
        future = self._ended.get(event["job_id"])
        if future and not future.done() and event["status"] in ("succeeded", "failed"):
            future.set_result(event)


@contextlib.asynccontextmanager
async def open_queue(server: NatsServer) -> AsyncIterator[Queue]:
    client = await nats.connect(server.url)
    try:
        queue = Queue(client)
        await queue.listen()
        yield queue
    finally:
        await client.close()
