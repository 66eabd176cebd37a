"""A tenant as a bootstrap leaves it, put into a cluster in a moment, and what the cluster says of it."""

import base64
import json
from dataclasses import dataclass
from typing import Any

import yaml

from contracts.names import credentials_secret_name
from handlers.tenants.access import first_lines
from handlers.tenants.accounts_file import set_enabled
from handlers.tenants.claims import JOB, LABEL, OWNER, SPEC
from tests.simulator import SimulatedEverest

PASSWORD = "First-password_1"
EVEREST = "everest.percona.com/v1alpha1"
_SYSTEM = ("-n", "everest-system")


@dataclass(frozen=True, slots=True)
class State:
    """All that a suspension may change."""

    policy: str
    is_enabled: bool | None
    specs: dict[str, Any]
    paused: dict[str, bool]

    @property
    def is_suspended(self) -> set[bool]:
        """Of each claim."""
        return {spec["wanted"]["suspended"] for spec in self.specs.values()}


async def make_tenant(everest: SimulatedEverest, name: str, *namespaces: str, account: bool = True) -> None:
    """With its claims, its account and its lines in the policy."""
    lines: list[str] = []
    for namespace in namespaces or (name,):
        written = first_lines(name, namespace)
        wanted = {
            "username": name,
            "namespace": namespace,
            "role": "developer",
            "subjects": [name],
            "managed_by": "tests",
            "account_created": account,
            "resources": {"cpu_cores": 2, "ram_mb": 2048, "disk_gb": 20},
        }
        spec = {"version": 1, "generation": 1, "wanted": wanted, "applied": written, "credentials": [f"made-{name}"]}
        annotations = {OWNER: name, JOB: f"made-{name}", SPEC: json.dumps(spec)}
        metadata = {"name": namespace, "labels": {"name": namespace, LABEL: "true"}, "annotations": annotations}
        await put(everest, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        lines += [line for line in written if line not in lines]
    stored = (await read_policy(everest)).removesuffix("\n") + "\n"
    await write_policy(everest, stored + "".join(f"{line}\n" for line in lines))
    if account:
        await run(everest, "everestctl", "accounts", "create", "-u", name, "-p", PASSWORD)


async def make_secret(everest: SimulatedEverest, username: str, job_id: str, password: str) -> None:
    """Of the job that made the account."""
    metadata = {
        "name": credentials_secret_name(job_id),
        "namespace": "everest-system",
        "annotations": {JOB: job_id},
    }
    data = {"username": username, "password": password}
    await put(everest, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})


async def make_database(everest: SimulatedEverest, namespace: str, name: str, *, paused: bool = False) -> None:
    spec = {"engine": {"type": "postgresql", "storage": {"size": "1Gi"}, "replicas": 1}, "paused": paused}
    metadata = {"name": name, "namespace": namespace}
    await put(everest, {"apiVersion": EVEREST, "kind": "DatabaseCluster", "metadata": metadata, "spec": spec})


async def look_at(everest: SimulatedEverest, name: str, *namespaces: str) -> State:
    accounts = await read_accounts(everest)
    found = [await everest.get("namespace", namespace) for namespace in namespaces or (name,)]
    specs = {one["metadata"]["name"]: json.loads(one["metadata"]["annotations"][SPEC]) for one in found}
    listed = [await everest.get("databaseclusters.everest.percona.com", "-n", namespace) for namespace in specs]
    databases = [database for one in listed for database in (one or {"items": []})["items"]]
    paused = {one["metadata"]["name"]: bool(one["spec"].get("paused")) for one in databases}
    return State(await read_policy(everest), (accounts.get(name) or {}).get("enabled"), specs, paused)


async def put(everest: SimulatedEverest, manifest: dict[str, Any]) -> None:
    await everest.create(manifest)


async def run(everest: SimulatedEverest, *argv: str, stdin: str = "") -> str:
    code, stdout, stderr = await everest.run(*argv, stdin=stdin)
    assert code == 0, stderr
    return stdout


async def read_policy(everest: SimulatedEverest) -> str:
    return str((await everest.get("configmap", "everest-rbac", *_SYSTEM))["data"]["policy.csv"])


async def write_policy(everest: SimulatedEverest, text: str, *, enabled: bool | None = None) -> None:
    configmap = await everest.get("configmap", "everest-rbac", *_SYSTEM)
    configmap["data"]["policy.csv"] = text
    if enabled is not None:
        configmap["data"]["enabled"] = str(enabled).lower()
    await everest.replace(configmap)


async def read_users(everest: SimulatedEverest) -> str:
    secret = await everest.get("secret", "everest-accounts", *_SYSTEM)
    return base64.b64decode(secret["data"]["users.yaml"]).decode()


async def read_accounts(everest: SimulatedEverest) -> dict[str, Any]:
    return dict(yaml.safe_load(await read_users(everest)))


async def write_users(everest: SimulatedEverest, users: str) -> None:
    secret = await everest.get("secret", "everest-accounts", *_SYSTEM)
    secret["data"]["users.yaml"] = base64.b64encode(users.encode()).decode()
    await everest.replace(secret)


async def disable(everest: SimulatedEverest, name: str) -> str:
    """As somebody else does; gives the accounts as they are then."""
    await write_users(everest, set_enabled(await read_users(everest), name, "2026-01-01T00:00:00Z", enabled=False))
    return await read_users(everest)
