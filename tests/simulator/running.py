"""A simulated Everest for a test: a process of its own, ended with the test."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.simulator.objects import path_of_object, path_of_words
from tests.support.forks import Fork, start_fork

_SERVER = re.compile(r"server: (\S+)")
BIN = Path(__file__).resolve().parent / "bin"


@dataclass(slots=True)
class SimulatedEverest:
    """`variables` is what a command needs to reach it: PATH with both CLIs, KUBECONFIG, a HOME of its own."""

    server: str
    control: str
    kubeconfig: Path
    home: Path
    process: Fork

    @property
    def variables(self) -> dict[str, str]:
        programs = Path(sys.executable).parent
        path = os.pathsep.join([str(BIN), str(programs), os.environ.get("PATH", os.defpath)])
        return {"PATH": path, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.home)}

    @property
    def admin_kubeconfig(self) -> Path:
        """The administrator's, where the kubeconfig is a user's."""
        path = self.kubeconfig.with_name("admin.kubeconfig")
        path.write_text(re.sub(r"/as/\S+", "", self.kubeconfig.read_text()))
        return path

    async def set_faults(self, **faults: Any) -> None:
        """What goes wrong from now on, and nothing else; no argument: nothing."""
        await _ask("POST", f"{self.control}/faults", faults)

    async def state(self) -> dict[str, Any]:
        return (await _ask("GET", f"{self.control}/state"))[1]

    async def effects(self) -> dict[str, Any]:
        """`runs` of everestctl and `writes` to the API."""
        return (await _ask("GET", f"{self.control}/effects"))[1]

    async def wait_until_held(self, *words: str, count: int = 1) -> None:
        """Until so many everestctl that begin with these words stand in the gap that the fault `holds` names."""
        while True:
            runs = (await self.effects())["runs"]
            if len([run for run in runs if run["held_in"] and run["argv"][: len(words)] == list(words)]) >= count:
                return
            await asyncio.sleep(0.05)

    async def run(self, *argv: str, stdin: str = "", **variables: str) -> tuple[int, str, str]:
        """Runs a command against it: exit code, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            env={**self.variables, "NO_COLOR": "1", **variables},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        stdout, stderr = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace")

    async def get(self, *words: str) -> Any:
        """As `kubectl get … -o json --ignore-not-found`, but from the API: None where there is no such object."""
        kinds, *rest = words
        if "," in kinds:
            lists = [await self.get(kind, *rest) for kind in kinds.split(",")]
            return {"items": [item for found in lists if found for item in found["items"]]}
        code, found = await self._call("GET", path_of_words(words))
        assert code in (200, 404), found
        return None if code == 404 or found.get("items") == [] else found

    async def create(self, *manifests: dict[str, Any]) -> None:
        """As `kubectl create` does."""
        for manifest in manifests:
            code, answer = await self._call("POST", path_of_object(manifest, is_new=True), manifest)
            assert code == 201, answer

    async def replace(self, manifest: dict[str, Any]) -> None:
        """As `kubectl replace` does: what is there, whatever it is, unless the manifest names its resourceVersion."""
        code, answer = await self._call("PUT", path_of_object(manifest), manifest)
        assert code == 200, answer

    async def delete(self, *words: str) -> None:
        """As `kubectl delete --wait=false` does."""
        code, answer = await self._call("DELETE", path_of_words(words))
        assert code == 200, answer

    async def _call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """As the user of the kubeconfig."""
        found = _SERVER.search(self.kubeconfig.read_text())
        assert found is not None
        return await _ask(method, found[1] + path, body)


async def _ask(method: str, url: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    """The status and the document."""
    address = urlsplit(url)
    payload = b"" if body is None else json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    target = address.path + (f"?{address.query}" if address.query else "")
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(payload)}\r\n\r\n"
    writer.write(head.encode() + payload)
    answer = await reader.read()
    writer.close()
    started, _, document = answer.partition(b"\r\n\r\n")
    return int(started.split()[1]), dict(json.loads(document))


def write_everestctl(folder: Path, version: str) -> Path:
    """A simulated everestctl of another version, to put first on PATH or to call by its path."""
    path = folder / "everestctl"
    path.write_text(f'#!/bin/sh\nEVERESTCTL_VERSION={version} exec {BIN / "everestctl"} "$@"\n')
    path.chmod(0o755)
    return path


@asynccontextmanager
async def simulated_everest(
    folder: Path,
    *,
    roles: Sequence[Path] = (),
    user: str = "",
    job_seconds: float = 0.3,
    data: Path | None = None,
    version: str = "",
    cli_version: str = "",
) -> AsyncIterator[SimulatedEverest]:
    """A fresh cluster in the folder, or the one that `data` keeps. `user` holds only what `roles` grant.

    `version` is the server's, `cli_version` that of the everestctl on PATH where it is another.
    """
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    arguments = ["--kubeconfig", str(folder / "kubeconfig"), "--job-seconds", str(job_seconds)]
    arguments += ["--data", str(data)] if data else []
    arguments += ["--user", user] if user else []
    arguments += ["--everest-version", version] if version else []
    arguments += ["--everestctl-version", cli_version] if cli_version else []
    arguments += ["--roles", *map(str, roles)] if roles else []
    told, telling = os.pipe()
    try:
        process = await start_fork("tests.simulator", *arguments, environment=os.environ, stdout=telling)
    finally:
        os.close(telling)
    try:
        facts = json.loads(await asyncio.to_thread(_read_line, told))
        yield SimulatedEverest(facts["server"], facts["control"], Path(facts["kubeconfig"]), home, process)
    finally:
        process.terminate()
        await process.wait()


def _read_line(descriptor: int) -> bytes:
    with open(descriptor, "rb") as told:
        return told.readline()
