"""`make dev`: all of it on this machine, against a simulated Everest, with a first job shown step by step."""

import asyncio
import contextlib
import fcntl
import http.client
import json
import os
import secrets
import shlex
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from gateway.commands.processes import Child, ProgramMissing, find_program, start

ROOT = Path(__file__).resolve().parent.parent
SIMULATOR_BIN = ROOT / "tests" / "simulator" / "bin"

READY_SECONDS = 60
_LOOPBACK = "127.0.0.1"
LOOK_SECONDS = 0.1
STOP_SECONDS = 90  # longer than standalone gives its own children
LAST_WORDS = 15  # lines of the log that are shown when something ends too early
REQUEST = {"username": "demo", "operators": {"postgresql": True}}
RESOURCES = "cpu_cores=4,ram_mb=8192,disk_gb=100"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the demo runs, from the environment."""

    host: str
    port: int
    folder: Path
    key: str
    nonce: str  # by which the gateway that the demo started is told from anybody else's on the port

    @classmethod
    def of(cls, environment: Mapping[str, str], folder: Path) -> "Place":
        """A key of one's own is made once and kept in the folder. Raises CannotStart."""
        return cls(
            _asked_host(environment.get("HOST") or _LOOPBACK),
            _read_port(environment),
            folder,
            environment.get("ADMIN_API_KEY") or _own_key(folder),
            secrets.token_hex(),
        )

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "demo.log"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "simulated.kubeconfig"


class CannotStart(Exception):
    """Another demo runs in the folder, or a setting cannot be used; the message says what to do."""


class EndedEarly(Exception):
    """A part of the demo ended before it was told to."""


def main() -> int:
    environment = dict(os.environ)
    folder = Path(environment.get("DATA_DIR") or ".data").resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            return _run(Place.of(environment, folder), environment)
    except CannotStart as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"DATA_DIR {folder} cannot be used: {error}", file=sys.stderr)
    return 1


def _run(place: Place, environment: Mapping[str, str]) -> int:
    place.log.write_bytes(b"")
    try:
        asyncio.run(Demo(place, environment).run())
    except EndedEarly as error:
        print("".join(_last_words(place.log)), file=sys.stderr)
        print(f"{error}; all of the log is in {place.log}", file=sys.stderr)
        return 1
    return 0


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder is this demo's alone: nothing in it is touched before. Raises CannotStart."""
    with (folder / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"another demo runs in {folder}: use it, stop it, or set DATA_DIR to another folder"
            ) from None
        yield


def _program(name: str) -> str:
    """As it can be pasted, in whichever folder the other terminal is."""
    return shlex.quote(str(Path(find_program(name)).absolute()))


def _client() -> str:
    """The images hold no console script of it."""
    try:
        return _program("everest-bootstrap")
    except ProgramMissing:
        return "python -m gateway.client"


def _read_port(environment: Mapping[str, str]) -> int:
    """Raises CannotStart."""
    port = environment.get("PORT") or "8080"
    if not (port.isdecimal() and port.isascii() and int(port) < 2**16):
        raise CannotStart("PORT must be a whole number, at most 65535")
    return int(port)


def _asked_host(listened: str) -> str:
    """Who listens on every address is asked on the loopback; an address of IPv6 stands in brackets in a URL."""
    try:
        address = ip_address(listened)
    except ValueError:
        return listened
    if address.is_unspecified:
        return _LOOPBACK
    return f"[{address}]" if address.version == 6 else str(address)


def _own_key(folder: Path) -> str:
    """Whole or not there: it is written beside. An empty file, as a full disk leaves one, is no key."""
    file = folder / "admin.key"
    if not file.exists() or not file.read_text().strip():
        new = folder / "admin.key.new"
        new.touch(mode=0o600)
        new.write_text(f"{secrets.token_urlsafe(24)}\n")
        new.rename(file)
    return file.read_text().strip()


class Demo:
    def __init__(self, place: Place, environment: Mapping[str, str]) -> None:
        self._place = place
        path = os.pathsep.join(
            [str(SIMULATOR_BIN), str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
        )
        self._environment = {
            **environment,
            "PATH": path,
            "KUBECONFIG": str(place.kubeconfig),
            "PORT": str(place.port),
            "DATA_DIR": str(place.folder),
            "ADMIN_API_KEY": place.key,
            "GATEWAY_NONCE": place.nonce,
            # Runs where the package is installed, and where it only lies.
            "EVEREST_RBAC_APPLY_CMD": shlex.join([sys.executable, "-m", "handlers.rbac_import"]),
            # A database fits: so the last step can prove that the tenant may create one.
            "EVEREST_DEFAULT_RESOURCES": environment.get("EVEREST_DEFAULT_RESOURCES") or RESOURCES,
        }
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Until SIGTERM or Ctrl-C. Raises EndedEarly."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        say(BANNER)
        with self._place.log.open("ab") as log:
            async with contextlib.AsyncExitStack() as children:
                everest = await self._start(children, log.fileno(), "the simulated Everest", *self._simulator())
                service = await self._start(children, log.fileno(), "standalone", "gateway", "standalone")
                show = asyncio.create_task(self._show())
                ends = [asyncio.create_task(self._note_end(child)) for child in (everest, service)]
                stop = asyncio.create_task(self._stopping.wait())
                try:
                    await self._until_stopped(show, stop, ends)
                finally:
                    for task in (show, stop, *ends):
                        task.cancel()
                    await asyncio.gather(show, stop, *ends, return_exceptions=True)

    def _simulator(self) -> tuple[str, ...]:
        return (
            "tests.simulator",
            "--kubeconfig",
            str(self._place.kubeconfig),
            "--data",
            str(self._place.folder / "simulated-cluster"),
        )

    async def _start(self, children: contextlib.AsyncExitStack, log: int, name: str, *module: str) -> Child:
        child = await start(name, [sys.executable, "-m", *module], self._environment, output=log)
        children.push_async_callback(child.stop, STOP_SECONDS)
        return child

    async def _until_stopped(
        self, show: "asyncio.Task[None]", stop: "asyncio.Task[bool]", ends: "list[asyncio.Task[str]]"
    ) -> None:
        await asyncio.wait({show, stop, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if show.done():
            if isinstance(show.exception(), OSError):
                raise EndedEarly(f"the gateway does not answer: {show.exception()}")
            show.result()
            await asyncio.wait({stop, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if not self._stopping.is_set():
            raise EndedEarly(next(end.result() for end in ends if end.done()))
        say("\nStopping: what runs is finished or handed back first.")

    async def _note_end(self, child: Child) -> str:
        return f"{child.name} ended with {await child.wait()}"

    async def _show(self) -> None:
        """A first job, from its submit to its end, then what to try next."""
        await self._wait_until_ready()
        await self._enforce_rbac()
        answer = await self._call("POST", "/bootstrap/users", REQUEST)
        say(f"POST /bootstrap/users {json.dumps(REQUEST)}\n  202 {json.dumps(answer)}\n")
        job = await self._follow(answer["job_id"])
        say(
            "\n".join([f"  {job['status']}: {job['summary']}", *(f"  warning: {text}" for text in job["warnings"]), ""])
        )
        say(self._what_to_try(job["job_id"]))

    def _what_to_try(self, job_id: str) -> str:
        place = self._place
        return TRY.format(
            url=place.url,
            key=place.key,
            job_id=job_id,
            log=place.log,
            kubeconfig=place.kubeconfig,
            nats_url=f"nats://127.0.0.1:{self._environment.get('NATS_PORT') or 4222}",
            seed=place.folder / "credentials" / "local" / "user.nk",
            client=_client(),
            kubectl=_program("kubectl"),
        )

    async def _wait_until_ready(self) -> None:
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(
                OSError, ValueError, http.client.HTTPException
            ):  # another's port may not speak HTTP
                if await self._is_ours():
                    await self._call("GET", "/readyz")
                    return
            await asyncio.sleep(LOOK_SECONDS)
        raise EndedEarly(f"the gateway was not ready in {READY_SECONDS} seconds")

    async def _enforce_rbac(self) -> None:
        """As an administrator does it: before, everybody may do everything, and no role is proved. Raises OSError."""
        argv = ("kubectl", "patch", "configmap", "everest-rbac", "-n", "everest-system", "--type=merge", "-p")
        process = await asyncio.create_subprocess_exec(
            *argv, json.dumps({"data": {"enabled": "true"}}), env=self._environment, stdout=asyncio.subprocess.DEVNULL
        )
        if await process.wait():
            raise OSError("the simulated cluster does not take a change")

    async def _is_ours(self) -> bool:
        """Asked without the key: a stranger on the port learns nothing, and is sent no job."""
        answer = await asyncio.to_thread(_fetch, urllib.request.Request(f"{self._place.url}/healthz"))
        return answer.get("nonce") == self._place.nonce

    async def _follow(self, job_id: str) -> dict[str, Any]:
        """Prints each change of the job's steps until it has ended."""
        told: set[tuple[str, str]] = set()
        while True:
            job = await self._call("GET", f"/jobs/{job_id}")
            for line in [job["status"]] if job["status"] == "queued" else []:
                _tell_once(told, "job", line)
            for step in filter(lambda step: step["state"] != "pending", job["steps"]):
                _tell_once(told, step["name"], "started")
                if step["outcome"]:
                    _tell_once(told, step["name"], step["outcome"])
            if job["retry_at"]:
                _tell_once(told, "job", f"{job['reason']}: next try at {job['retry_at']}")
            if job["status"] in ("succeeded", "failed"):
                return job
            await asyncio.sleep(LOOK_SECONDS)

    async def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Raises OSError, which urllib's errors are."""
        request = urllib.request.Request(
            self._place.url + path,
            method=method,
            headers={"X-Admin-Key": self._place.key, "Content-Type": "application/json"},
            data=None if body is None else json.dumps(body).encode(),
        )
        return await asyncio.to_thread(_fetch, request)


def _fetch(request: urllib.request.Request) -> dict[str, Any]:
    """Never by way of a proxy: it knows nothing of this machine, and the request bears the key."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        return dict(json.load(answer))


def _tell_once(told: set[tuple[str, str]], what: str, change: str) -> None:
    if (what, change) not in told:
        told.add((what, change))
        say(f"  {what:<22} {change}")


def _last_words(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines(keepends=True)[-LAST_WORDS:]


def say(text: str) -> None:
    print(text, flush=True)


BANNER = """\
======================================================================================
  Everest is SIMULATED here: no cluster is touched, and every result says so.
  NATS, the gateway, the handler and kubectl are the real ones.
======================================================================================
"""

TRY = """\
It serves until Ctrl-C. In another terminal:

  export BASE_URL="{url}" ADMIN_API_KEY="{key}"
  curl -sS "$BASE_URL/jobs/{job_id}/result" -H "X-Admin-Key: $ADMIN_API_KEY" | python3 -m json.tool
  curl -sS "$BASE_URL/tenants/demo" -H "X-Admin-Key: $ADMIN_API_KEY" | python3 -m json.tool

What to try next:

  1. Onboard somebody, and see each step as it happens:
       {client} submit bob --operator mongodb --wait
  2. Ask for a namespace that is somebody else's, and read what the error says:
       {client} submit carol --namespace demo --wait
  3. Look into the simulated cluster with the real kubectl:
       export KUBECONFIG="{kubeconfig}"
       {kubectl} get namespaces,resourcequotas -A
  4. Publish a job as another service does (the nats CLI; README.md shows it in Python):
       nats --server {nats_url} --nkey "{seed}" --inbox-prefix _INBOX_local \\
         request everest.v1.jobs.bootstrap.order-42 '{{"username": "dora"}}'

The page: {url}/   Routes: {url}/docs   Log: {log}
"""

if __name__ == "__main__":
    sys.exit(main())
