"""Transcripts replayed against the simulated Everest: everestctl's byte for byte, kubectl's by code and meaning."""

import asyncio
import difflib
import json
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.simulator import SimulatedEverest, simulated_everest
from tests.simulator.kubeconfigs import write_kubeconfig
from tests.support.roles import FLAT, USER
from tests.transcripts import FILES, Answer, Transcript, comparable, meaning, read_transcripts

# kubectl asks localhost:8080 when it has no kubeconfig, whoever listens there; the handler looks at the file before.
LEFT_OUT = {"kubectl-get-missing", "kubectl-apply-missing", "kubectl-get-empty", "kubectl-apply-empty"}

INSTALLER = "everest-operators-installer"
RECORDED_UNTRUSTED = "127.0.0.1:16443"
SIGNALS = {
    "ns-add-sigterm": signal.SIGTERM,
    "ns-add-sigterm-json": signal.SIGTERM,
    "ns-add-sigint": signal.SIGINT,
    "ns-add-sigkill": signal.SIGKILL,
}
FAULTS: dict[str, dict[str, Any]] = {
    **{case: {"job_hangs": True} for case in SIGNALS},
    "ns-add-job-fails": {"job_fails": 1},
    "ns-add-job-fails-json": {"job_fails": 1},
    "no-chart-no-network": {"chart_unreachable": True},
    "no-chart-no-network-json": {"chart_unreachable": True},
    # Wide enough for all that begin together to pass their look before the first has written.
    "accounts-create-concurrent": {"race_seconds": 0.5},
    "ns-add-same-concurrent": {"race_seconds": 2},
    "kubectl-apply-terminating": {"namespace_stays": True},
    "ns-add-terminating": {"namespace_stays": True},
}

RULES = "p, role:alice, namespaces, read, alice\np, role:alice, database-clusters, *, alice/*\ng, alice, role:alice\n"
POLICIES = {
    "rbac-validate-seed-policy": RULES,
    "rbac-validate-seed-policy-with-admin": "g, admin, role:admin\n" + RULES,
    "rbac-validate-empty": "",
    "rbac-validate-role-without-g": "p, role:alice, namespaces, read, alice\n",
    "rbac-validate-unknown-resource": "p, role:alice, no-such-resource, read, alice\ng, alice, role:alice\n",
    "rbac-validate-unknown-action": "p, role:alice, namespaces, raed, alice\ng, alice, role:alice\n",
    "rbac-validate-short-line": "p, role:alice\n",
    "rbac-validate-long-line": "p, role:alice, namespaces, read, alice, extra\n",
    "rbac-validate-text": "hello world\n",
    "rbac-validate-trailing-blank": "p, role:alice, namespaces, read, alice \ng, alice, role:alice\n",
    "rbac-validate-blank-line": f"\n{RULES}\n",
    "rbac-validate-spaces-line": f"   \n{RULES}",
    "rbac-validate-comment": f"# a comment\n{RULES}",
    "rbac-validate-crlf": RULES.replace("\n", "\r\n"),
    "rbac-validate-duplicates": RULES + RULES,
    "rbac-can-yes": RULES,
}


def manifest(kind: str, name: str, **members: Any) -> str:
    return json.dumps({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **members})


def quota(disk: str = "20Gi", name: str = "user-quota") -> str:
    hard = {"requests.cpu": "2", "requests.memory": "2048Mi", "requests.storage": disk}
    return manifest("ResourceQuota", name, spec={"hard": {**hard, "limits.cpu": "2", "limits.memory": "2048Mi"}})


def limits(name: str = "user-limits", request: str = "250m", limit: str = "500m") -> str:
    part = {"type": "Container", "default": {"cpu": limit}, "defaultRequest": {"cpu": request}}
    return manifest("LimitRange", name, spec={"limits": [part]})


def join(*manifests: str) -> str:
    return "\n---\n".join(manifests)


NEW_POLICY = {"enabled": "false", "policy.csv": "g, admin, role:admin\n"}
STDIN = {
    "least-quota": quota(name="q"),
    "kubectl-apply-missing": manifest("ConfigMap", "x"),
    "kubectl-apply-unreachable": manifest("ConfigMap", "x"),
    "kubectl-apply-badtoken": manifest("ConfigMap", "x"),
    "kubectl-apply-tls": manifest("ConfigMap", "x"),
    "kubectl-apply-forbidden": manifest("ConfigMap", "x"),
    "kubectl-apply-quota-created": join(quota(), limits()),
    "kubectl-apply-quota-unchanged": join(quota(), limits()),
    "kubectl-apply-quota-configured": join(quota("30Gi"), limits()),
    "kubectl-apply-quota-no-namespace": join(quota(), limits()),
    "kubectl-apply-bad-quantity": join(quota("20Gigs"), limits()),
    "kubectl-apply-limits-default-over-max": limits("bad", "2", "1"),
    "kubectl-apply-terminating": join(quota(), limits()),
    "kubectl-replace-rbac-conflict": json.dumps(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "everest-rbac", "namespace": "everest-system", "resourceVersion": "1"},
            "data": NEW_POLICY,
        }
    ),
    "kubectl-replace-rbac": json.dumps(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "everest-rbac", "namespace": "everest-system"},
            "data": NEW_POLICY,
        }
    ),
    **dict.fromkeys(
        ("kubectl-create-secret", "kubectl-create-secret-again"),
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "bootstrap-1", "namespace": "everest-system"},
                "stringData": {"username": "alice", "password": "Secret_pw123"},
            }
        ),
    ),
}

ADD = ("--operator.mongodb=false", "--operator.postgresql=true", "--operator.xtradb-cluster=false")
ALICE = (
    ("everestctl", "accounts", "create", "-u", "alice", "-p", "Secret_pw123"),
    ("everestctl", "namespaces", "add", "alice", *ADD),
)
# What a person did between two recorded commands, by the case before which it was done.
BEFORE: dict[str, tuple[tuple[str, ...], ...]] = {
    "accounts-create-concurrent": ALICE[:1],
    "ns-add-foreign": (("kubectl", "create", "namespace", "foreign"),),
    "ns-add-foreign-no-operators-take-ownership": (("kubectl", "create", "namespace", "foreign2"),),
    "ns-add-labelled-plain": (
        ("kubectl", "create", "namespace", "plainone"),
        ("kubectl", "label", "namespace", "plainone", "app.kubernetes.io/managed-by=everest"),
    ),
    "rbac-validate-seed-policy": ALICE,
    "kubectl-apply-terminating": (
        ("kubectl", "create", "namespace", "dying"),
        ("kubectl", "delete", "namespace", "dying", "--wait=false"),
    ),
}


class Lab:
    """A simulated Everest with the recorder's kubeconfigs beside it."""

    def __init__(self, everest: SimulatedEverest, folder: Path, untrusted: str) -> None:
        """`untrusted` is the address of a server whose certificate nobody knows."""
        self.everest = everest
        self.folder = folder
        self.untrusted = untrusted

    async def prepare(self, name: str) -> None:
        server = self.everest.server
        write_kubeconfig(self.folder / "admin.kubeconfig", server)
        write_kubeconfig(self.folder / "badtoken.kubeconfig", server)
        user = USER if name == "least-privilege" else "handler"  # who has no rights
        write_kubeconfig(self.folder / "handler.kubeconfig", f"{server}/as/{user}")
        write_kubeconfig(self.folder / "unreachable.kubeconfig", "https://127.0.0.1:1", token="some")
        write_kubeconfig(self.folder / "tls.kubeconfig", f"https://{self.untrusted}", token="some")
        (self.folder / "empty.kubeconfig").touch()
        (self.folder / "otherhome").mkdir()
        if name == "least-privilege":
            await self._make_accounts()

    async def _make_accounts(self) -> None:
        """Those of the recorded list, but for the one whose creation is replayed."""
        (listed,) = (one for one in read_transcripts("least-privilege") if one.case == "least-accounts-list")
        for line in listed.answer.stdout.splitlines()[1:]:
            if (user := line.split()[0]) not in ("admin", "least_one"):
                await self._do("everestctl", "accounts", "create", "-u", user, "-p", "Secret_pw123")

    async def _do(self, *argv: str) -> None:
        code, _, stderr = await self.everest.run(*argv)
        assert code == 0, stderr

    async def replay(self, transcript: Transcript) -> Answer:
        if transcript.case in POLICIES:
            (self.folder / "policy.csv").write_text(POLICIES[transcript.case], newline="")
        argv = [self._place(word) for word in transcript.argv]
        variables = {"KUBECONFIG": f"{self.folder}/admin.kubeconfig"}
        variables |= {name: self._place(value) for name, value in transcript.variables.items()}
        if number := SIGNALS.get(transcript.case):
            return await self._run_until_installing(argv, variables, number)
        code, *streams = await self.everest.run(*argv, stdin=STDIN.get(transcript.case, ""), **variables)
        return Answer(code, *(stream.replace(self.untrusted, RECORDED_UNTRUSTED) for stream in streams))

    def _place(self, text: str) -> str:
        return text.replace("<LAB>", str(self.folder))

    async def prepare_case(self, case: str, variables: Any) -> None:
        for argv in BEFORE.get(case, ()):
            await self._do(*argv)
        is_unauthorized = variables.get("KUBECONFIG") == "<LAB>/badtoken.kubeconfig"
        await self.everest.set_faults(**FAULTS.get(case, {"unauthorized": True} if is_unauthorized else {}))

    async def _run_until_installing(self, argv: list[str], variables: dict[str, str], number: int) -> Answer:
        """Sends the signal while the hook Job runs."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            env={**self.everest.variables, **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        name = argv[argv.index("add") + 1]
        while not await self.everest.get("job", "-n", name, INSTALLER):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        process.send_signal(number)
        stdout, stderr = await process.communicate()
        assert process.returncode is not None
        await self.everest.set_faults()
        while "conditions" not in (await self.everest.get("job", "-n", name, INSTALLER)).get("status", {}):  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # it lives on in the cluster, and would meet the next case's faults
        return Answer(process.returncode, stdout.decode(), stderr.decode())


@asynccontextmanager
async def untrusted_server(folder: Path) -> AsyncIterator[str]:
    """The address of a TLS server with a certificate of its own making."""
    pair = ("-keyout", f"{folder}/key.pem", "-out", f"{folder}/certificate.pem")
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    argv = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *pair, *subject)
    made = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)
    assert await made.wait() == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def roles_as_recorded(folder: Path) -> Path:
    """Ours, without the right that came after the recording: to delete namespaces."""
    (manifest,) = FLAT.manifests
    roles = [role for role in yaml.safe_load_all(manifest.read_text()) if role]
    for role in roles:
        rules = role.get("rules", [])
        role |= {
            "rules": [rule for rule in rules if (rule["resources"], rule["verbs"]) != (["namespaces"], ["delete"])]
        }
    path = folder / "roles.yaml"
    path.write_text(yaml.safe_dump_all(roles))
    return path


@asynccontextmanager
async def lab(folder: Path, name: str) -> AsyncIterator[Lab]:
    roles = [roles_as_recorded(folder)] if name == "least-privilege" else ()
    cluster = simulated_everest(folder / "cluster", roles=roles)
    async with untrusted_server(folder) as untrusted, cluster as everest:
        made = Lab(everest, folder, untrusted)
        await made.prepare(name)
        yield made


def explain_difference(transcript: Transcript, recorded: Any, replayed: Any) -> str:
    before, after = (json.dumps(vars_of(value), indent=1, ensure_ascii=False) for value in (recorded, replayed))
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "recorded", "simulated", lineterm="", n=0)
    return "\n".join([f"{transcript.case}: {' '.join(transcript.argv)}", *lines])


def vars_of(value: Any) -> Any:
    if not isinstance(value, Answer):
        return value
    return {"code": value.code, "stdout": value.stdout.split("\n"), "stderr": value.stderr.split("\n")}


def compare(transcript: Transcript, replayed: Answer, folder: Path) -> str | None:
    if transcript.program == "kubectl":
        recorded, simulated = meaning(transcript, transcript.answer), meaning(transcript, replayed)
        return None if recorded == simulated else explain_difference(transcript, recorded, simulated)
    wanted, found = comparable(transcript.answer), comparable(replayed, str(folder))
    return None if wanted == found else explain_difference(transcript, wanted, found)


# How many of those that ran at once succeeded; None: what each says of itself is looked at instead.
WINNERS: dict[str, int | None] = {
    "accounts-create-concurrent": None,
    "accounts-create-same-name-concurrent": None,
    "ns-add-same-concurrent": 1,
    "ns-add-different-concurrent": 4,
}
CONFLICT = (
    '❌ Operation cannot be fulfilled on secrets "everest-accounts": the object has been modified; '
    "please apply your changes to the latest version and try again\n\n"
)


async def check_race(laboratory: Lab, transcripts: list[Transcript], answers: list[Answer]) -> list[str]:
    """Each said what one of the recorded ones said; who says that it succeeded has."""
    case = transcripts[0].case
    known = {nameless(one, comparable(one.answer)) for one in transcripts}
    known |= {Answer(1, "", CONFLICT)} if case.startswith("accounts") else set()
    replayed = [comparable(answer, str(laboratory.folder)) for answer in answers]
    pairs = zip(transcripts, replayed, strict=True)
    strange = [f"{case}: {answer}" for one, answer in pairs if nameless(one, answer) not in known]
    won = [one.argv[4] for one, answer in zip(transcripts, replayed, strict=True) if answer.code == 0]
    if (winners := WINNERS[case]) is not None:
        return strange if len(won) == winners else [*strange, f"{case}: {len(won)} succeeded"]
    _, listed, _ = await laboratory.everest.run("everestctl", "accounts", "list", "--columns=user", "--no-headers")
    lost = set(won) - set(listed.split())
    return [*strange, f"{case}: {lost} are not there"] if lost or not won else strange


def nameless(transcript: Transcript, answer: Answer) -> Answer:
    """Without the name of the account or namespace, by which those that ran at once differ."""
    name = transcript.argv[4] if transcript.argv[1] == "accounts" else transcript.argv[3]
    return Answer(answer.code, answer.stdout.replace(name, "NAME"), answer.stderr.replace(name, "NAME"))


SLOW = ("faults", "least-privilege")  # seconds each, for an Everest that seldom changes


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in FILES])
async def test_the_simulated_everest_answers_as_the_real_one_did(tmp_path: Path, name: str) -> None:
    """In the recorded order, because each command finds what the ones before it left."""
    differences = []
    async with lab(tmp_path, name) as laboratory:
        for case, group in groupby(read_transcripts(name), key=lambda transcript: transcript.case):
            transcripts = list(group)
            if case in LEFT_OUT:
                continue
            await laboratory.prepare_case(case, transcripts[0].variables)
            answers = await asyncio.gather(*(laboratory.replay(transcript) for transcript in transcripts))
            if len(transcripts) > 1:
                differences += await check_race(laboratory, transcripts, answers)
            elif case == "accounts-list-after-concurrent":
                continue  # which of them were created differs from race to race; check_race has looked
            elif difference := compare(transcripts[0], answers[0], tmp_path):
                differences.append(difference)
    assert not differences, "\n\n".join(differences)
