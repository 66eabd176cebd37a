"""The tenants that tests put into a cluster are those that jobs leave: else what is tried on them proves nothing."""

import base64
import json
from typing import Any

import pytest

from contracts.names import credentials_secret_name
from handlers.tenants.accounts_file import proves, read_proof
from handlers.tenants.claims import SPEC
from tests.simulator import SimulatedEverest
from tests.simulator.apiserver.resources import RESOURCES
from tests.support.arrangement import have_tenant
from tests.support.clusters import IS_REAL
from tests.support.tenants import read_accounts, read_policy, read_users
from tests.support.workflows import Bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_EACH = ("uid", "resourceVersion", "creationTimestamp", "modifiedAt", "lastTransitionTime")
TENANTS: list[dict[str, Any]] = [  # one after the other
    {"username": "NAME", "operators": {"postgresql": True}, "resources": {"cpu_cores": "2.5"}},
    {"username": "NAME", "namespace": "NAME-more", "role": "owner", "subjects": ["NAME_group"]},
    {"username": "NAME-team", "account": False, "subjects": ["NAMEs"]},
]


@pytest.mark.skipif(IS_REAL, reason="on a real API tenants are made by jobs")
async def test_what_is_put_there_is_what_jobs_leave(everest: SimulatedEverest, bench: Bench) -> None:
    for number, request in enumerate(TENANTS):
        await bench.onboard(f"made-{number}", **rename(request, "NAME", "made"))
        await have_tenant(everest, bench, f"given-{number}", **rename(request, "NAME", "given"))
    assert await describe(everest, "given") == await describe(everest, "made")


def rename(value: Any, old: str, new: str) -> Any:
    return json.loads(json.dumps(value).replace(old, new))


async def describe(everest: SimulatedEverest, name: str) -> list[str]:
    """All that the cluster holds of the tenants whose names begin so, but for what is of one object alone."""
    users = await read_users(everest)
    objects: dict[str, Any] = {}
    for kind in RESOURCES:
        where = ("-A",) if kind.is_namespaced else ()
        for found in (await everest.get(kind.qualified, *where) or {"items": []})["items"]:
            metadata = found["metadata"]
            if metadata.get("namespace", metadata["name"]).startswith(name):
                objects[f"{kind.kind} {metadata.get('namespace')}/{metadata['name']}"] = plain(found, users)
    lines = [line for line in (await read_policy(everest)).splitlines() if name in line]
    accounts = {user: account for user, account in (await read_accounts(everest)).items() if user.startswith(name)}
    shown = {user: [account["enabled"], account["capabilities"]] for user, account in accounts.items()}
    secret = await everest.get("secret", credentials_secret_name(f"{name}-0"), "-n", "everest-system")
    kept = {member: base64.b64decode(value).decode() for member, value in secret["data"].items()}
    salt = (await everest.get("ns", "everest-system"))["metadata"]["uid"]
    opens = proves(users, salt, kept["username"], kept.pop("password"))
    told = rename([objects, lines, shown, secret["metadata"]["annotations"], kept, opens], name, "NAME")
    return json.dumps(told, indent=1, sort_keys=True).splitlines()


def plain(value: Any, users: str) -> Any:
    """Without what no two objects share; a claim's proof is told by whether it is the account's."""
    if isinstance(value, list):
        return [plain(one, users) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {name: plain(member, users) for name, member in value.items() if name not in OF_EACH}
    if SPEC in kept:
        spec = json.loads(kept[SPEC])
        kept[SPEC] = spec | {
            "account_proof": spec.get("account_proof") == read_proof(users, spec["wanted"]["username"])
        }
    return kept
