"""Containers of a proof, and the service in them as curl sees it."""

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from tests.laboratory.image.engine import docker

URL = "http://localhost:8080"
KEY = "changeme"
READY_SECONDS = 120


class Container:
    """One that runs; its name or id."""

    def __init__(self, name: str) -> None:
        self.name = name

    def execute(self, *argv: str, user: str = "0") -> str:
        return docker("exec", "-u", user, self.name, *argv)

    def logs(self) -> str:
        return docker("logs", self.name)

    def inspect(self, template: str) -> str:
        return docker("inspect", "-f", template, self.name)

    def processes(self) -> dict[str, set[str]]:
        """User ids of what it runs, by command line. The engine's own health checks are none of it."""
        lines = [
            line.split(maxsplit=3) for line in docker("top", self.name, "-eo", "pid,ppid,uid,args").splitlines()[1:]
        ]
        members, size = {self.inspect("{{.State.Pid}}")}, 0
        while len(members) > size:
            size = len(members)
            members |= {pid for pid, parent, *_ in lines if parent in members}
        found: dict[str, set[str]] = {}
        for pid, _, uid, command in lines:
            if pid in members:
                found.setdefault(command, set()).add(uid)
        return found


@contextlib.contextmanager
def started(*argv: str, **variables: Any) -> Iterator[Container]:
    """`docker run` with these words, and --detach and a name; removed in the end."""
    name = "everest-image-proof"
    docker("rm", "-fv", name, expect=None)
    docker("run", "--detach", "--name", name, *argv, **variables)
    container = Container(name)
    try:
        yield container
    except Exception:
        print(container.logs()[-5000:])
        raise
    finally:
        docker("rm", "-fv", name)


def ask(method: str, path: str, body: Any = None) -> Any:
    """The answer's JSON. Raises OSError, which every answer of 400 and above is, too."""
    request = urllib.request.Request(
        URL + path,
        method=method,
        headers={"X-Admin-Key": KEY, "Content-Type": "application/json"},
        data=None if body is None else json.dumps(body).encode(),
    )
    with urllib.request.urlopen(request, timeout=90) as answer:
        return json.load(answer)


def wait_until_ready() -> None:
    end = time.monotonic() + READY_SECONDS
    while True:
        with contextlib.suppress(OSError, ValueError):
            ask("GET", "/readyz")
            return
        assert time.monotonic() < end, f"not ready after {READY_SECONDS} s"
        time.sleep(0.2)


def submit(username: str, **fields: Any) -> str:
    return str(ask("POST", "/bootstrap/users", {"username": username, **fields})["job_id"])


def follow(job_id: str, seconds: float = 180) -> dict[str, Any]:
    """The job, once it has ended."""
    end = time.monotonic() + seconds
    while True:
        job = dict(ask("GET", f"/jobs/{job_id}?wait=20"))
        if job["status"] in ("succeeded", "failed"):
            return job
        assert time.monotonic() < end, f"after {seconds} s: {job}"
