"""Onboardings as a platform team would try them, each with its result: `python -m tests.support.storm.onboardings`.

A real NATS server, the gateway, handlers and a simulated Everest that enforces RBAC; every request goes through HTTP.
"""

import argparse
import asyncio
import base64
import json
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from handlers.tenants.accounts_file import proves
from tests.simulator import overlaps
from tests.support.handlers import Service, open_service

OPERATOR = {"operators": {"postgresql": True}, "resources": {"cpu_cores": 4, "ram_mb": 8192, "disk_gb": 100}}


async def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.storm.onboardings", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--tenants", type=int, default=100, help="how many at once, at the end (default: 100)")
    tenants = parser.parse_args().tenants
    with tempfile.TemporaryDirectory() as folder:
        async with open_service(Path(folder), lease_seconds=60) as service, AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(service.handler())
            await enforce_rbac(service)
            await show_single_ones(service)
            await show_rights(service)
            print(json.dumps(await onboard_many(service, tenants), indent=2))
            print(json.dumps(await onboard_mixed(service, tenants), indent=2))


async def enforce_rbac(service: Service) -> None:
    patch = '{"data": {"enabled": "true"}}'
    code, _, stderr = await service.everest.run(
        "kubectl", "patch", "configmap", "everest-rbac", "-n", "everest-system", "--type=merge", "-p", patch
    )
    assert code == 0, stderr


async def show_single_ones(service: Service) -> None:
    show("the default request", await service.run_job(username="alice"))
    show("a PostgreSQL request", await service.run_job(username="bob", **OPERATOR))
    show("the PostgreSQL request again", await service.run_job(username="bob", **OPERATOR))
    code, _, stderr = await service.everest.run("kubectl", "create", "namespace", "reports")
    assert code == 0, stderr
    foreign = {"username": "carol", "namespace": "reports", **OPERATOR}
    show("a foreign namespace", await service.run_job(**foreign))
    show("a foreign namespace with take_ownership", await service.run_job(**foreign, take_ownership=True))


def show(title: str, result: dict[str, Any]) -> None:
    """The result as it came, with what the tools said left out."""
    for step in result["steps"]:
        for name in ("stdout", "stderr", "commands", "manifest_preview", "started_at", "finished_at"):
            step.pop(name, None)
    print(f"--- {title}\n{json.dumps(result, indent=2)}\n", flush=True)


async def show_rights(service: Service) -> None:
    """Two namespaces of one tenant, a group of an identity provider, and a stranger."""
    await service.run_job(username="alice", namespace="alice2")
    await service.run_job(username="payments", account=False, subjects=["DB Admins"], role="viewer")
    questions = [
        (who, action, where)
        for who, where in (("alice", "alice"), ("alice", "alice2"), ("DB Admins", "payments"))
        for action in ("read", "delete")
    ]
    questions += [("stranger", "read", where) for where in ("alice", "alice2", "payments")]
    print("--- everestctl settings rbac can")
    for who, action, where in questions:
        said = "Yes" if await may(service, who, action, where) else "No"
        print(f"{said:3} {who} {action} database-clusters {where}/db1")
    print(flush=True)


async def may(service: Service, subject: str, action: str, namespace: str) -> bool:
    question = (subject, action, "database-clusters", f"{namespace}/db1")
    code, stdout, stderr = await service.everest.run("everestctl", "settings", "rbac", "can", *question)
    assert code == 0, stderr
    return stdout == "Yes\n"


async def onboard_mixed(service: Service, count: int) -> dict[str, Any]:
    """All at once with mixed roles and subjects, twice, an administrator's edits in between: whose lines are left."""
    names = [f"mixed{number}" for number in range(count)]
    first = await asyncio.gather(*(service.run_job(**mix(name, number)) for number, name in enumerate(names)))
    foreign = await edit_as_administrator(service, names)
    second = await asyncio.gather(*(service.run_job(**mix(name, number + 1)) for number, name in enumerate(names)))
    lines = (await read_policy(service)).splitlines()
    return {
        "tenants_twice_with_mixed_roles": count,
        "succeeded": sum(result["overall_status"] == "succeeded" for result in (*first, *second)),
        "foreign_lines": len(foreign),
        "foreign_lines_as_they_were": [line for line in lines if line in set(foreign)] == foreign,
        "tenants_who_read": sum([await may(service, subjects_of(name)[0], "read", name) for name in names]),
        "viewers_who_delete": sum(
            [
                await may(service, subjects_of(name)[0], "delete", name)
                for number, name in enumerate(names)
                if mix(name, number + 1)["role"] == "viewer"
            ]
        ),
        "strangers_who_read": sum([await may(service, "stranger", "read", name) for name in names[:5]]),
        "server_crashed": (await service.everest.state())["has_server_crashed"],
    }


def subjects_of(name: str) -> list[str]:
    return [f"Team {name}, all", "/Keycloak/everybody"]


def mix(name: str, number: int) -> dict[str, Any]:
    role = ("developer", "owner", "viewer")[number % 3]
    return {"username": name, "account": False, "subjects": subjects_of(name)[: 1 + number % 2], "role": role}


async def read_policy(service: Service) -> str:
    found = await service.everest.get("configmap", "everest-rbac", "-n", "everest-system")
    return str(found["data"]["policy.csv"])


async def edit_as_administrator(service: Service, names: list[str]) -> list[str]:
    """Lines of every kind, among them some for tenants' roles. Gives all that are nobody's of this service."""
    found = await service.everest.get("configmap", "everest-rbac", "-n", "everest-system")
    before = found["data"]["policy.csv"].splitlines()
    added = ["# by hand", "p,role:hand,namespaces,  read, *", "g,  hand , role:hand", "g, hand, role:hand"]
    added += [f"p, role:{name}, backup-storages, read, shared/*" for name in names[::3]]
    added += [f"g, auditor, role:{name}" for name in names[::4]]
    found["data"]["policy.csv"] += "".join(f"{line}\n" for line in added)
    await service.everest.replace(found)
    ours = {f"role:{name}" for name in names}
    return [line for line in before if ours.isdisjoint(line.replace(",", " ").split())] + added


async def onboard_many(service: Service, count: int) -> dict[str, Any]:
    """All at once. What was seen of them afterwards, in the cluster and in everything that was kept."""
    names = [f"tenant{number}" for number in range(count)]
    begun = time.monotonic()
    results = await asyncio.gather(*(service.run_job(username=name, **OPERATOR) for name in names))
    seconds = time.monotonic() - begun
    effects = await service.everest.effects()
    conflicts = [write["path"].rpartition("/")[2] for write in effects["writes"] if write["code"] == 409]
    kept = await read_passwords(service)
    passwords = {name: kept[name] for name in names if name in kept}
    return {
        "tenants_at_once": count,
        "succeeded": sum(result["overall_status"] == "succeeded" for result in results),
        "seconds": round(seconds, 1),
        "conflicts_of_accounts": conflicts.count("everest-accounts"),
        "conflicts_of_rbac": conflicts.count("everest-rbac"),
        "rbac_enforced": all(result["steps"][3]["rbac_enforced"] for result in results),
        "tenants_with_all_their_lines": await count_tenants_with_rights(service, names),
        "passwords_that_open_their_account": await count_open_accounts(service, passwords),
        "passwords_found_in_records_logs_and_files": len(find_leaks(service, results, passwords)),
        "everestctl_runs_for_one_tenant_side_by_side": len(overlaps(effects["runs"])),
        "server_crashed": (await service.everest.state())["has_server_crashed"],
    }


async def read_passwords(service: Service) -> dict[str, str]:
    """By username, from the Secrets that the jobs have kept."""
    found = {}
    for secret in (await service.everest.get("secret", "-n", "everest-system"))["items"]:
        if secret["metadata"]["name"].startswith("bootstrap-"):
            kept = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
            found[kept["username"]] = kept["password"]
    return found


async def count_open_accounts(service: Service, passwords: dict[str, str]) -> int:
    accounts = await service.everest.get("secret", "everest-accounts", "-n", "everest-system")
    users = base64.b64decode(accounts["data"]["users.yaml"]).decode()
    salt = (await service.everest.get("ns", "everest-system"))["metadata"]["uid"]
    return sum(proves(users, salt, username, password) for username, password in passwords.items())


async def count_tenants_with_rights(service: Service, names: list[str]) -> int:
    found = await service.everest.get("configmap", "everest-rbac", "-n", "everest-system")
    lines = found["data"]["policy.csv"].splitlines()
    mine = {name: [line for line in lines if f"role:{name}" in line.replace(",", " ").split()] for name in names}
    return sum(len(set(kept)) == len(kept) == 8 for kept in mine.values())


def find_leaks(service: Service, results: list[dict[str, Any]], passwords: dict[str, str]) -> list[str]:
    """Usernames whose password stands in a result, or in a file of NATS, of the gateway or of a handler."""
    places = [json.dumps(results).encode()]
    cluster = service.folder / "everest"  # which holds the Secrets, and may
    places += [
        path.read_bytes() for path in service.folder.rglob("*") if path.is_file() and cluster not in path.parents
    ]
    assert any(b"tenant0" in place for place in places[1:]), "the files of NATS were not looked at"
    return [username for username, password in passwords.items() if any(password.encode() in place for place in places)]


if __name__ == "__main__":
    asyncio.run(main())
