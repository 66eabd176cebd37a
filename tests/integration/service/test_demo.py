"""`make dev` harms nobody: not whoever listens on its port, not another demo in its folder."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.servers import LIMIT_SECONDS, LOOPBACK, ROOT, find_listened, free_port


@asynccontextmanager
async def demo(folder: Path, port: int | str, checkout: Path = ROOT) -> AsyncIterator[asyncio.subprocess.Process]:
    places = {"PORT": str(port), "NATS_PORT": str(free_port()), "DATA_DIR": str(folder), "ADMIN_API_KEY": ""}
    python = sys.executable if checkout is ROOT else checkout / ".venv" / "bin" / "python"
    variables = {name: value for name, value in os.environ.items() if name != "HOST"}
    process = await asyncio.create_subprocess_exec(
        python, "-m", "tests.demo", cwd=checkout, env=variables | places,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


async def read_until(process: asyncio.subprocess.Process, words: bytes) -> bytes:
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(2 * LIMIT_SECONDS):
        while words not in said:
            line = await process.stdout.readline()
            assert line, said.decode()
            said += line
    return said


def clone(folder: Path) -> Path:
    """This checkout once more, with its environment. Whoever starts NATS from there takes the mark along."""
    left_out = (".git", ".venv", ".data", ".*_cache", "data", "browser")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*left_out))
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "nats" / "mark.conf").touch()
    return folder


@pytest.mark.parametrize(
    "says",
    [b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{"status":"ok"}', b"SSH-2.0-OpenSSH\r\n"],
    ids=["HTTP", "something else"],
)
async def test_whoever_listens_on_the_port_gets_no_job_and_no_key(tmp_path: Path, says: bytes) -> None:
    heard = b""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard += await reader.read(65536)
        writer.write(says)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with demo(tmp_path / "data", port) as process:
            said = await read_until(process, f"port {port} cannot be listened on".encode())
            assert await asyncio.wait_for(process.wait(), LIMIT_SECONDS) == 1
    assert b"set PORT to another" in said
    assert b"Traceback" not in said
    assert b"x-admin-key" not in heard.lower()
    assert b"POST" not in heard


async def test_a_second_demo_in_the_folder_touches_nothing(tmp_path: Path) -> None:
    """The first goes on, its log and its key as they were; the key is its owner's alone.

    It runs out of a clone in a folder with blanks in its name, and serves nobody but this machine.
    """
    data, port, checkout = tmp_path / "data", free_port(), clone(tmp_path / "my own clone")
    async with demo(data, port, checkout) as first:
        said = await read_until(first, b"It serves until")
        assert find_listened(port) == {LOOPBACK}
        assert (data / "nats-server" / "mark.conf").exists(), "it is the clone that runs"
        key = (data / "admin.key").read_text().strip()
        assert (data / "admin.key").stat().st_mode & 0o077 == 0
        log = (data / "demo.log").read_bytes()
        async with demo(data, free_port()) as second:
            await read_until(second, b"another demo runs in")
            assert await asyncio.wait_for(second.wait(), LIMIT_SECONDS) == 1
        assert (data / "demo.log").read_bytes().startswith(log)
        assert (data / "admin.key").read_text().strip() == key
        assert first.returncode is None
        assert b"succeeded: User demo" in said
        assert re.search(rb"verify_tenant +verified", said), said


async def test_a_port_that_is_none_is_said_before_anything_starts(tmp_path: Path) -> None:
    async with demo(tmp_path / "data", "eighty") as process:
        assert (await read_until(process, b"\n")).startswith(b"PORT must be a whole number")
        assert await asyncio.wait_for(process.wait(), LIMIT_SECONDS) == 1
