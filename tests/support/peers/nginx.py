"""A real reverse proxy, which serves a gateway below a path and strips that path, as gateway/README.md tells."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.eventually import eventually
from tests.support.servers import LOOPBACK, ROOT, free_port

_TOLD = (ROOT / "gateway" / "README.md").read_text().partition("```nginx\n")[2].partition("```")[0]


def find_nginx() -> str:
    """Skips the test where it is not: no package index has it."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}{ROOT / '.venv' / 'tools'}")
    if program is None:
        pytest.skip("nginx is not there: `make nginx` takes it out of Debian's package")
    return program


def write_configuration(folder: Path, own: int, port: int) -> Path:
    folder.mkdir()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in kinds)
    location = _TOLD.replace("http://gateway.everest-bootstrap/", f"http://{LOOPBACK}:{port}/")
    server = f"listen {LOOPBACK}:{own}; {location}"
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}"
        f"http {{ access_log off; {temporary} server {{ {server} }} }}"
    )
    return configuration


@asynccontextmanager
async def reverse_proxy(folder: Path, port: int) -> AsyncIterator[str]:
    """Of the gateway at that port; gives the address of its folder /everest/."""
    program, own = find_nginx(), free_port()
    configuration = write_configuration(folder, own, port)
    log = folder / "error.log"
    process = await asyncio.create_subprocess_exec(program, "-c", configuration, "-p", folder, "-e", log)
    address = f"http://{LOOPBACK}:{own}/everest/"
    try:
        async with httpx.AsyncClient() as client:
            await eventually(lambda: client.get(f"{address}healthz"), "the proxy answers")
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
