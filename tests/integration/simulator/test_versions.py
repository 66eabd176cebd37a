"""Recordings of everestctl 1.10.0 and 1.16.1 on a server 1.16.1, replayed; and what a difference of versions does."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.simulator.kubeconfigs import write_kubeconfig
from tests.simulator.running import SimulatedEverest, simulated_everest, write_everestctl
from tests.transcripts import FOLDER

SERVER = "1.16.1"
# As long as the recorder's prefixes were: the widths of columns tell.
PREFIXES = {"1.10.0": "tenants0", "1.16.1": "tenants"}
INSTALLER = "everest-operators-installer"
KUBECONFIGS = {"absent": "absent-file", "badtoken": "bad.kubeconfig", "unreachable": "away.kubeconfig"}

_FRAME = re.compile(r"^[●∙]{3} ")
_ESCAPE = re.compile(r"\x1b\[[?0-9]*[a-zA-Z]")

POLICIES = {
    "good": "p, role:<T>, namespaces, read, <T>\np, role:<T>, database-clusters, read, <T>/*\ng, <T>, role:<T>\n",
    "blank": "p, role:<T> , namespaces, read, <T>\ng, <T>, role:<T>\n",
    "unknown resource": "p, role:<T>, nonsense, read, <T>\ng, <T>, role:<T>\n",
    "no g": "p, role:<T>, namespaces, read, <T>\n",
    "line": "hello\n",
    "raed": "p, role:<T>, namespaces, raed, <T>\ng, <T>, role:<T>\n",
    "empty": "",
    "crlf": "p, role:<T>, namespaces, read, <T>\r\ng, <T>, role:<T>\r\n",
    "five": "p, role:<T>, namespaces, read, x, y\ng, <T>, role:<T>\n",
}


class Replay:
    """One CLI's recorded session. Texts are compared without frames, escapes and empty lines, as they were recorded."""

    def __init__(self, everest: SimulatedEverest, folder: Path, version: str) -> None:
        self.everest = everest
        self.folder = folder
        self.prefix = PREFIXES[version]
        self.program = str(write_everestctl(folder, version))

    def prepare(self) -> None:
        server = self.everest.server
        write_kubeconfig(self.folder / "handler.kubeconfig", server)
        write_kubeconfig(self.folder / "bad.kubeconfig", server)
        write_kubeconfig(self.folder / "away.kubeconfig", "https://127.0.0.1:1", token="some")
        (self.folder / "garbage.kubeconfig").write_text("[this is no kubeconfig\n")
        cache = self.everest.home / ".cache" / "everestctl"
        cache.mkdir(parents=True)
        (cache / f"everest-db-namespace-{SERVER}.tgz").touch()

    def place(self, text: str) -> str:
        return text.replace("<T>", self.prefix).replace("<LAB>", str(self.folder))

    def comparable(self, text: str, is_list: bool = False) -> str:
        text = text.replace(str(self.folder), "<LAB>").replace(self.prefix, "<T>")
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<TIME>", _ESCAPE.sub("", text))
        lines = [line for line in re.split(r"[\r\n]+", text) if line.strip() and not _FRAME.match(line)]
        lines = [line.rstrip() if is_list else line for line in lines]
        header = lines[:1] if lines and lines[0].isupper() else []
        return "\n".join([*header, *sorted(lines[len(header) :])] if is_list else lines).rstrip()

    async def run(self, argv: list[str], case: str) -> dict[str, Any]:
        kubeconfig = case.partition(":")[0] if ":" in case else "handler"
        name = KUBECONFIGS.get(kubeconfig, f"{kubeconfig}.kubeconfig")
        variables = {"KUBECONFIG": str(self.folder / name)}
        if case in ("add killed", "sigterm"):
            number = signal.SIGKILL if case == "add killed" else signal.SIGTERM
            code, out, err = await self._interrupt(argv, variables, number)
        else:
            code, out, err = await self.everest.run(self.program, *argv, **variables)
        is_list = case.startswith("list")
        return {"rc": code, "out": self.comparable(out, is_list), "err": self.comparable(err)}

    async def _interrupt(self, argv: list[str], variables: dict[str, str], number: int) -> tuple[int, str, str]:
        """While the hook Job runs."""
        process = await asyncio.create_subprocess_exec(
            self.program,
            *argv,
            env={**self.everest.variables, **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        while not await self.everest.get("job", "-n", argv[2], INSTALLER):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        process.send_signal(number)
        stdout, stderr = await process.communicate()
        assert process.returncode is not None
        return process.returncode, stdout.decode(), stderr.decode()

    async def prepare_case(self, case: str) -> None:
        if (policy := POLICIES.get(case.removeprefix("validate "))) is not None or case.startswith("can "):
            (self.folder / "p.csv").write_text(
                self.place(policy if policy is not None else POLICIES["good"]), newline=""
            )
        if case == "add existing":
            await self._kubectl("create", "namespace", f"{self.prefix}m")
        if case == "update after":
            name = f"{self.prefix}k"
            await self._finish_job(name)
            await self._kubectl(
                "delete", "secret", "-n", name, "-l", "owner=helm,status=pending-install", "--wait=false"
            )
        if case == "job fails":
            await self._finish_job(f"{self.prefix}s")
        faults: dict[str, dict[str, Any]] = {
            "add killed": {"job_hangs": True},
            "sigterm": {"job_hangs": True},
            "job fails": {"job_fails": 1},
        }
        if case in ("ns list while pending", "update pending", "add pending", "state after kill"):
            return  # the Job of the killed one still hangs
        await self.everest.set_faults(**faults.get(case, {"unauthorized": True} if "badtoken" in case else {}))

    async def _finish_job(self, namespace: str) -> None:
        await self.everest.set_faults()
        while "conditions" not in (await self.everest.get("job", "-n", namespace, INSTALLER)).get("status", {}):  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    async def _kubectl(self, *words: str) -> None:
        code, _, stderr = await self.everest.run("kubectl", *words)
        assert code == 0, stderr

    async def read_state(self, recorded: dict[str, Any]) -> dict[str, Any]:
        if "text" in recorded:
            return {"case": recorded["case"], "text": await self._read_account()}
        name = self.place(recorded["labels"]["kubernetes.io/metadata.name"])
        namespace = await self.everest.get("namespace", name)
        releases = (await self.everest.get("secret", "-n", name, "-l", "owner=helm"))["items"]
        subscriptions = (await self.everest.get("subscriptions.operators.coreos.com", "-n", name))["items"]
        found = {
            "labels": namespace["metadata"]["labels"],
            "releases": [
                [
                    one["metadata"]["name"],
                    one["metadata"]["labels"]["status"],
                    one["metadata"]["labels"]["owner"],
                    one["type"],
                ]
                for one in releases
            ],
            "subs": [one["metadata"]["name"] for one in subscriptions],
        }
        return {"case": recorded["case"], **json.loads(json.dumps(found).replace(self.prefix, "<T>"))}

    async def _read_account(self) -> str:
        import base64

        secret = await self.everest.get("secret", "everest-accounts", "-n", "everest-system")
        text = base64.b64decode(secret["data"]["users.yaml"]).decode()
        block = text.partition(f"{self.prefix}u:\n")[2].partition(f"\n{self.prefix}")[0]
        block = re.sub(r"passwordMtime: .*", "passwordMtime: <TIME>", block)
        return re.sub(r"passwordHash: !!binary \S{44}", "passwordHash: <HASH>", block)


@pytest.mark.parametrize("version", [pytest.param("1.10.0", marks=pytest.mark.slow), "1.16.1"])
async def test_both_versions_answer_as_recorded(tmp_path: Path, version: str) -> None:
    """In the recorded order, because each command finds what the ones before it left."""
    recorded = [json.loads(line) for line in (FOLDER / f"compare-{version}.jsonl").read_text().splitlines()]
    differences = []
    async with simulated_everest(tmp_path / "cluster", version=SERVER) as everest:
        replay = Replay(everest, tmp_path, version)
        replay.prepare()
        for one in recorded:
            await replay.prepare_case(one["case"])
            if "argv" not in one:
                found = await replay.read_state(one)
            else:
                argv = [replay.place(word) for word in one["argv"]]
                found = {"case": one["case"], "argv": one["argv"], **await replay.run(argv, one["case"])}
                is_list = one["case"].startswith("list")
                one = {**one, "out": replay.comparable(one["out"], is_list), "err": replay.comparable(one["err"])}
            if found != one:
                differences.append(f"recorded  {one}\nsimulated {found}")
    assert not differences, "\n\n".join(differences)


@pytest_asyncio.fixture
async def everest(tmp_path: Path) -> AsyncIterator[SimulatedEverest]:
    async with simulated_everest(tmp_path / "cluster", job_seconds=0.05) as running:
        yield running


@pytest.mark.parametrize(
    ("cli", "server", "repository"),
    [
        ("1.10.0", "1.13.0", None),
        ("1.10.0", "1.14.0", "https://percona.github.io/percona-helm-charts/"),
        ("1.16.2", "1.13.0", "https://openeverest.github.io/helm-charts/"),
        ("1.16.2", "1.16.1", None),
        ("1.16.2", "2.0.0-dev.4", "https://openeverest.github.io/helm-charts/"),
    ],
)
async def test_a_cli_finds_only_charts_of_its_own_side_of_the_move(
    everest: SimulatedEverest, cli: str, server: str, repository: str | None
) -> None:
    await everest.set_faults(everest_version=server, everestctl_version=cli)
    code, stdout, _ = await everest.run("everestctl", "version")
    assert (code, stdout.split()[3], stdout.split()[-1]) == (0, f"v{cli}", f"v{server}")
    code, _, stderr = await everest.run("everestctl", "namespaces", "add", "alice", "--operator.postgresql=true")
    missing = f'chart "everest-db-namespace" version "{server}" not found in {repository} repository'
    assert (code, missing in stderr) == ((1, True) if repository else (0, False))


async def test_a_preview_of_2_0_knows_no_server_of_1_x(everest: SimulatedEverest) -> None:
    for argv in (("version",), ("accounts", "list"), ("namespaces", "list")):
        code, _, stderr = await everest.run("everestctl", *argv, EVERESTCTL_VERSION="2.0.0-dev.1")
        assert (code, "could not discover OpenEverest namespace" in stderr) == (1, True)
    code, stdout, _ = await everest.run("everestctl", "version", "--client-only", EVERESTCTL_VERSION="2.0.0-dev.1")
    assert (code, "Version: v2.0.0-dev.1\n" in stdout) == (0, True)


async def test_status_came_with_1_15(everest: SimulatedEverest) -> None:
    assert (await everest.run("everestctl", "status", EVERESTCTL_VERSION="1.14.0"))[0] == 1
    code, stdout, _ = await everest.run("everestctl", "status", EVERESTCTL_VERSION="1.16.2")
    assert (code, "everest-server" in stdout) == (0, True)
