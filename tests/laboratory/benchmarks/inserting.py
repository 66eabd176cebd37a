"""The durable front door that people would otherwise write: the bare route, and an INSERT in PostgreSQL.

`python -m tests.laboratory.benchmarks.inserting PORT DATABASE_PORT`: answers once the row is committed, with
`synchronous_commit` on, over a pool of connections.
"""

import asyncio
import sys
import uuid

import asyncpg
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import Route

from tests.laboratory.benchmarks.bare import BootstrapRequest, configure, make_submit

_POOL = 32
_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    id uuid PRIMARY KEY,
    status text NOT NULL DEFAULT 'queued',
    request jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
)"""
_INSERT = "INSERT INTO jobs (id, request) VALUES ($1, $2)"


async def serve(port: int, database_port: int) -> None:
    address = {"host": "127.0.0.1", "port": database_port, "user": "postgres", "database": "postgres"}
    async with asyncpg.create_pool(**address, min_size=_POOL, max_size=_POOL) as pool:
        if await pool.fetchval("SHOW synchronous_commit") != "on" or await pool.fetchval("SHOW fsync") != "on":
            raise SystemExit("what PostgreSQL acknowledges would not be on the disk")
        await pool.execute(_TABLE)

        async def store(job_id: uuid.UUID, wanted: BootstrapRequest) -> None:
            await pool.execute(_INSERT, job_id, wanted.model_dump_json(exclude_unset=True))

        app = Starlette(routes=[Route("/bootstrap/users", make_submit(store), methods=["POST"])])
        await uvicorn.Server(configure(app, port)).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), int(sys.argv[2])))
