"""A Docker engine: the one that runs, or Debian's, installed and started for a while. And how it is spoken to."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 60
COMMAND_SECONDS = 900


class NoEngine(Exception):
    """Why no Docker engine can run here."""


class CommandFailed(Exception):
    """A command that had to work did not; the message holds all that it said."""


def run(
    *argv: str, cwd: Path | None = None, expect: int | None = 0, seconds: float = COMMAND_SECONDS, **variables: str
) -> str:
    """Gives stdout and stderr, as one text. `expect`: the exit code it has to have; any, when None."""
    ended = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )
    if expect is not None and ended.returncode != expect:
        raise CommandFailed(f"{' '.join(argv)}\nended with {ended.returncode}:\n{ended.stdout[-6000:]}")
    return ended.stdout


def docker(*argv: str, expect: int | None = 0, **variables: Any) -> str:
    return run("docker", *argv, expect=expect, **variables).strip()


def compose_clients() -> list[tuple[str, ...]]:
    """`docker-compose` and `docker compose`, as far as they are there."""
    clients: list[tuple[str, ...]] = []
    if shutil.which("docker-compose"):
        clients.append(("docker-compose",))
    if docker("compose", "version", expect=None).startswith("Docker Compose version"):
        clients.append(("docker", "compose"))
    return clients


@contextlib.contextmanager
def engine() -> Iterator[None]:
    """An engine that answers. One that is started here is ended in the end. Raises NoEngine."""
    if shutil.which("docker") and _answers():
        yield
        return
    if os.geteuid() != 0:
        raise NoEngine("none answers, and only root can install or start one. Start Docker, or run this as root.")
    if not shutil.which("dockerd"):
        install("docker.io", "docker-compose", "iptables")
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(["dockerd"], stdout=log, stderr=log, start_new_session=True)
        try:
            end = time.monotonic() + START_SECONDS
            while not _answers():
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    last = "".join(log.readlines()[-3:])
                    raise NoEngine(f"dockerd does not start, as in a container that may not mount:\n{last}")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait()


def install(*packages: str) -> None:
    """From the machine's own Debian mirror. Raises NoEngine."""
    if not shutil.which("apt-get"):
        raise NoEngine(f"{', '.join(packages)} would have to be installed, and this is no Debian.")
    try:
        run("apt-get", "update", "-qq", DEBIAN_FRONTEND="noninteractive")
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages, DEBIAN_FRONTEND="noninteractive")
    except CommandFailed as error:
        raise NoEngine(str(error)) from None


def _answers() -> bool:
    return "Server Version" in run("docker", "info", expect=None, seconds=30)
