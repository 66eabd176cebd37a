"""Bare Starlette routes, under the uvicorn settings of the gateway: what people would otherwise write.

`python -m tests.laboratory.benchmarks.bare PORT FOLDER`: a POST that checks a key, validates with pydantic, makes an
id and answers JSON, and stores nothing; a GET that answers the bytes of a file of the folder.
"""

import hmac
import json
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEY = b"a-key-for-tests"


class Operators(BaseModel):
    model_config = ConfigDict(extra="forbid")
    mongodb: bool = False
    postgresql: bool = False
    xtradb_cluster: bool = False


class Resources(BaseModel):
    model_config = ConfigDict(extra="forbid")
    cpu_cores: float = Field(2, ge=0.1, le=100_000)
    ram_mb: int = Field(2048, ge=64)
    disk_gb: int = Field(20, ge=1)


class BootstrapRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    username: str = Field(pattern=r"^[A-Za-z0-9_]{3,63}$")
    namespace: str | None = Field(None, pattern=r"^[a-z]([-a-z0-9]{0,51}[a-z0-9])?$")
    operators: Operators | None = None
    take_ownership: bool = False
    resources: Resources = Field(default_factory=lambda: Resources(cpu_cores=2, ram_mb=2048, disk_gb=20))


Store = Callable[[uuid.UUID, BootstrapRequest], Awaitable[None]]


def make_submit(store: Store) -> Callable[[Request], Awaitable[Response]]:
    """The route of a POST; what it accepts is stored before it is answered."""

    async def submit(request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get("x-admin-key", "").encode(), KEY):
            return JSONResponse({"error": "unauthorized"}, 401)
        try:
            wanted = BootstrapRequest.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"error": json.loads(error.json())}, 422)
        job_id = uuid.uuid4()
        await store(job_id, wanted)
        return JSONResponse({"job_id": str(job_id), "status_url": f"/jobs/{job_id}"}, 202)

    return submit


async def store_nowhere(job_id: uuid.UUID, wanted: BootstrapRequest) -> None:
    """What a route costs that promises nothing."""


def make_app(documents: dict[str, bytes]) -> Starlette:
    async def read(request: Request) -> Response:
        return Response(documents[request.path_params["name"]], media_type="application/json")

    submit = make_submit(store_nowhere)
    return Starlette(routes=[Route("/bootstrap/users", submit, methods=["POST"]), Route("/jobs/{name}", read)])


def configure(app: Starlette, port: int) -> uvicorn.Config:
    """As the gateway is served."""
    return uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=2048,
    )


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    uvicorn.Server(configure(make_app({file.name: file.read_bytes() for file in folder.iterdir()}), port)).run()


if __name__ == "__main__":
    main()
