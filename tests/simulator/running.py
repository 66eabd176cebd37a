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

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(__file__).resolve().parent / "bin"


@dataclass(slots=True)
class SimulatedEverest:
    """`variables` is what a command needs to reach it: PATH with both CLIs, KUBECONFIG, a HOME of its own."""

    server: str
    control: str
    kubeconfig: Path
    home: Path
    process: asyncio.subprocess.Process

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
        await self._ask("POST", "/faults", faults)

    async def state(self) -> dict[str, Any]:
        return await self._ask("GET", "/state")

    async def effects(self) -> dict[str, Any]:
        """`runs` of everestctl and `writes` to the API."""
        return await self._ask("GET", "/effects")

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
        """`kubectl get … -o json`, None where there is no such object."""
        code, stdout, stderr = await self.run("kubectl", "get", *words, "-o", "json", "--ignore-not-found")
        assert code == 0, stderr
        return json.loads(stdout) if stdout.strip() else None

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        address = urlsplit(self.control)
        payload = b"" if body is None else json.dumps(body).encode()
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(payload)}\r\n\r\n"
        writer.write(head.encode() + payload)
        answer = await reader.read()
        writer.close()
        return dict(json.loads(answer.partition(b"\r\n\r\n")[2]))


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
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.simulator", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        facts = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        yield SimulatedEverest(facts["server"], facts["control"], Path(facts["kubeconfig"]), home, process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
