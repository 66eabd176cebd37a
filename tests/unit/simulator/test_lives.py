"""The judge of tenants that live in a storm: it must see what is untrue, or `make chaos` could not fail."""

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from contracts.names import credentials_secret_name
from handlers.rbac.policy import SUSPENSION
from handlers.tenants.claims import OWNER, SPEC
from tests.support.storm.lives import Ask, find_untrue
from tests.support.storm.snapshot import Snapshot

NAME, SALT, PASSWORD = "life0x", "a-uid", "Some-password_1"
LINES = (f"p, role:{NAME}, namespaces, read, {NAME}", f"g, {NAME}, role:{NAME}")
MADE = {"create_account": "created", "add_namespace": "created"}
FOUND = {"create_account": "unchanged", "add_namespace": "unchanged"}


def snapshot(*, suspended: bool = False, keeper: str = "1") -> Snapshot:
    """Of a tenant as its first bootstrap left it, but for these."""
    wanted = {"suspended": suspended, "managed_by": "admin"}
    annotations = {OWNER: NAME, SPEC: json.dumps({"wanted": wanted})}
    hashed = base64.b64encode(hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), SALT.encode(), 4096, 32)).decode()
    users = f"{NAME}:\n  enabled: {str(not suspended).lower()}\n  passwordHash: !!binary {hashed}\n"
    secret = {"data": {"password": base64.b64encode(PASSWORD.encode()).decode()}}
    return Snapshot(
        {NAME: {"metadata": {"annotations": annotations}}},
        {NAME: {"spec": {"hard": {"limits.cpu": "3"}}}},
        {credentials_secret_name(keeper): secret},
        users,
        SALT,
        "".join(f"{SUSPENSION if suspended else ''}{line}\n" for line in LINES),
    )


def judge(seen: Snapshot, *ends: tuple[str, str] | tuple[str, str, dict[str, str]]) -> list[str]:
    """`ends`: kind, and `ok` or the reason of a failure, in their order, numbered from 1."""
    asked: dict[str, Ask] = {}
    jobs: dict[str, Any] = {}
    results: dict[str, Any] = {}
    for number, (kind, end, *outcomes) in enumerate(ends, 1):
        job_id = str(number)
        asked[job_id] = Ask(kind, NAME, {"resources": {"cpu_cores": 3}} if kind == "bootstrap" else {})
        status, reason = ("succeeded", None) if end == "ok" else ("failed", end)
        jobs[job_id] = {"status": status, "reason": reason, "finished_at": job_id, "caller": "admin"}
        steps = (outcomes or [MADE if number == 1 else FOUND])[0]
        results[job_id] = {"steps": [{"name": name, "outcome": outcome} for name, outcome in steps.items()]}
    return find_untrue(seen, asked, jobs, results)


BEGUN = ("bootstrap", "ok")


def test_what_is_true_is_no_fault() -> None:
    assert judge(snapshot(), BEGUN, ("suspend", "ok"), ("bootstrap", "tenant_suspended"), ("resume", "ok")) == []
    assert judge(snapshot(suspended=True), BEGUN, ("repair", "ok"), ("suspend", "ok")) == []
    assert judge(snapshot(keeper="2"), BEGUN, ("password", "ok")) == []
    assert judge(snapshot(keeper="3"), BEGUN, ("offboard", "ok"), ("bootstrap", "ok", MADE)) == []
    assert judge(snapshot(), BEGUN, ("bootstrap", "ok")) == []


@pytest.mark.parametrize(
    ("seen", "ends", "words"),
    [
        (snapshot(), [BEGUN, ("offboard", "ok")], "gone, and its namespace is there"),
        (snapshot(), [BEGUN, ("suspend", "ok")], "lines in force is {False}, not {True}"),
        (snapshot(suspended=True), [BEGUN], "account enabled is False, not True"),
        (snapshot(), [BEGUN, ("bootstrap", "tenant_suspended")], "bootstrap 2 failed: tenant_suspended"),
        (snapshot(), [BEGUN, ("repair", "tenant_not_found")], "repair 2 failed: tenant_not_found"),
        (snapshot(), [BEGUN, ("resume", "conflict")], "resume 2 failed: conflict"),
        (snapshot(), [BEGUN, ("bootstrap", "ok", MADE)], "says that it created"),
        (snapshot(), [BEGUN, ("offboard", "ok"), ("password", "ok")], "password 3 succeeded when it was gone"),
        (snapshot(), [BEGUN, ("password", "ok")], "its password is kept nowhere"),
        (replace(snapshot(), quotas={}), [BEGUN], "quota is None, not 3"),
        (replace(snapshot(), system_id="another"), [BEGUN], "its password opens nothing"),
    ],
)
def test_what_is_untrue_is_seen(seen: Snapshot, ends: list[Any], words: str) -> None:
    assert any(words in fault for fault in judge(seen, *ends)), judge(seen, *ends)
