"""A tenant as a bootstrap leaves it, put into a cluster without running one: for tests of what comes after.

`bootstrap/test_arrangement.py` holds it to what a real job leaves.
"""

import hashlib
import json
from typing import Any

import orjson
import yaml

from contracts.kinds import read_request
from contracts.names import credentials_secret_name
from contracts.requests import BootstrapRequest
from contracts.requests.members import OPERATOR_NAMES
from handlers.bootstrap.quota import render_manifest
from handlers.rbac.policy import edit, parse_rules, render_rule
from handlers.rbac.resources import KNOWN_RESOURCES
from handlers.rbac.roles import load_role
from handlers.settings import HandlerSettings
from handlers.tenants.access import role_of
from handlers.tenants.accounts_file import read_proof
from handlers.tenants.claims import JOB, LABEL, OWNER, SPEC, Claims, Namespace
from handlers.tenants.credentials import find_keepers
from handlers.tenants.spec import Spec, make_wanted
from tests.everestctl import accounts_file
from tests.simulator import SimulatedEverest
from tests.support.clusters import IS_REAL
from tests.support.environments import handler_settings
from tests.support.tenants import put, read_policy, read_users, run, write_policy, write_users
from tests.support.workflows import Bench

PASSWORD = "First-password_1"
MOMENT = "2026-01-01T00:00:00Z"
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


async def have_tenant(everest: SimulatedEverest, bench: Bench, job_id: str, **request: Any) -> None:
    """As `bench.onboard` leaves a namespace that was not there, the tenant's first or one more.

    On a real API by that job: its operators are nobody's to play.
    """
    if IS_REAL:
        await bench.onboard(job_id, **request)
        return
    bench.callers[job_id] = bench.caller
    await put_tenant(everest, job_id, bench.caller, handler_settings({**bench.variables, **bench.settings}), **request)


async def put_tenant(
    everest: SimulatedEverest, job_id: str, caller: str, settings: HandlerSettings, **request: Any
) -> None:
    """What a bootstrap of that handler leaves, in a simulated cluster."""
    wanted = _resolve(settings, request)
    is_first = wanted.account and await _have_account(everest, wanted.username, job_id)
    spec = await _draft_spec(everest, wanted, job_id, caller, is_first=is_first)
    await _have_namespace(everest, wanted, spec, job_id)
    if wanted.operators and wanted.operators.wanted:
        await _have_operators(everest, wanted)
    await _have_quota(everest, wanted, settings)
    lines = "".join(f"{line}\n" for line in _lines_of(wanted))
    await write_policy(everest, edit(await read_policy(everest), lines, "").text)


def _resolve(settings: HandlerSettings, request: dict[str, Any]) -> BootstrapRequest:
    wanted = read_request("bootstrap", orjson.dumps(request))
    assert isinstance(wanted, BootstrapRequest)
    wanted = wanted.with_operators(settings.default_operators).with_resources(settings.default_resources)
    return wanted.with_role(settings.everest_default_role)


async def _have_account(everest: SimulatedEverest, username: str, job_id: str) -> bool:
    """Whether it is new. Its password is in the job's Secret."""
    users = accounts_file.read_users(await read_users(everest))
    if username in users:
        return False
    salt = (await everest.get("ns", "everest-system"))["metadata"]["uid"]
    stored = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt.encode(), 4096, 32)
    users[username] = accounts_file.Account(True, ("login",), MOMENT, stored)
    await write_users(everest, accounts_file.render_users(users))
    metadata = {"name": credentials_secret_name(job_id), "namespace": "everest-system", "annotations": {JOB: job_id}}
    data = {"username": username, "password": PASSWORD}
    await put(
        everest, {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "stringData": data}
    )
    return True


async def _draft_spec(
    everest: SimulatedEverest, wanted: BootstrapRequest, job_id: str, caller: str, *, is_first: bool
) -> Spec:
    """What earlier claims of the tenant say of its account and of whose it is holds for this one too."""
    claims = await _find_claims(everest, wanted.username)
    earlier = [spec for claim in claims if (spec := claim.read_spec())]
    created = is_first or any(spec.wanted.account_created for spec in earlier)
    managed_by = earlier[0].wanted.managed_by if earlier else caller
    facts = make_wanted(wanted.lasting, managed_by=managed_by, account_created=created)
    spec = Spec.first(facts, job_id).with_applied(_lines_of(wanted))
    if is_first:
        return spec.with_credentials((job_id,)).with_account(read_proof(await read_users(everest), wanted.username))
    proof = next((one.account_proof for one in earlier if one.account_proof), None)
    return spec.with_credentials(tuple(find_keepers(Claims(wanted.username, None, claims)))).with_account(proof)


async def _find_claims(everest: SimulatedEverest, username: str) -> tuple[Namespace, ...]:
    found = map(Namespace.of, (await everest.get("ns"))["items"])
    return tuple(namespace for namespace in found if namespace.owner == username)


async def _have_namespace(everest: SimulatedEverest, wanted: BootstrapRequest, spec: Spec, job_id: str) -> None:
    name = wanted.namespace
    annotations = {OWNER: wanted.username, JOB: job_id, SPEC: spec.render()}
    metadata = {"name": name, "labels": {"name": name, LABEL: "true"}, "annotations": annotations}
    await put(everest, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


async def _have_operators(everest: SimulatedEverest, wanted: BootstrapRequest) -> None:
    assert wanted.operators is not None
    choices = {name.replace("_", "-"): name in wanted.operators.wanted for name in OPERATOR_NAMES}
    flags = (f"--operator.{name}={str(is_wanted).lower()}" for name, is_wanted in choices.items())
    await run(everest, "everestctl", "namespaces", "add", wanted.namespace, *flags, "--take-ownership")


async def _have_quota(everest: SimulatedEverest, wanted: BootstrapRequest, settings: HandlerSettings) -> None:
    """With what `kubectl apply` notes of it."""
    shares = settings.limit_range_limit_percent, settings.limit_range_request_percent
    for manifest in yaml.safe_load_all(render_manifest(wanted.resources, *shares)):
        manifest["metadata"] = {"annotations": {}, **manifest["metadata"], "namespace": wanted.namespace}
        applied = json.dumps(manifest, separators=(",", ":"), sort_keys=True) + "\n"
        manifest["metadata"]["annotations"] = {_APPLIED: applied}
        await put(everest, manifest)


def _lines_of(wanted: BootstrapRequest) -> tuple[str, ...]:
    assert wanted.role is not None
    holder = role_of(wanted.username)
    rules = load_role(wanted.role, None).render(holder, wanted.namespace, KNOWN_RESOURCES).rules
    members = parse_rules("\n".join(render_rule("g", subject, holder) for subject in wanted.subjects))
    return tuple(rule.shown for rule in (*rules, *members))
