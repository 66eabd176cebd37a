"""Who may call: the plain key, named keys, their file, and a limit per key."""

import asyncio
import hashlib
import time
from dataclasses import replace
from pathlib import Path

from contracts import names
from contracts.codes import Failure
from tests.support.eventually import eventually
from tests.support.gateways import (
    KEY,
    NOW,
    Gateway,
    manual_handler,
    new_record,
    running_gateway,
    succeeded_record,
)
from tests.support.servers import nats_server


def line(name: str, key: str, expiry: str = "") -> str:
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}{expiry}\n"


async def call(gateway: Gateway, key: str) -> int:
    return (await gateway.nobody.get("/jobs/none", headers={"X-Admin-Key": key})).status_code


async def test_named_keys(tmp_path: Path) -> None:
    """The name is the job's caller; an expired key is refused; the file is read again when it changes."""
    file = tmp_path / "keys"
    file.write_text("# comment\n\n" + line("portal", "portal-key") + line("old", "old-key", ":2020-01-01"))
    async with (
        nats_server(tmp_path, lease_seconds=60) as server,
        running_gateway(server.url, tmp_path, ADMIN_API_KEYS_FILE=str(file)) as gateway,
    ):
        assert [await call(gateway, key) for key in (KEY, "portal-key", "old-key")] == [404, 404, 401]
        job_id = await gateway.submit({"X-Admin-Key": "portal-key"})
        assert (await gateway.api.get(f"/jobs/{job_id}")).json()["caller"] == "portal"
        listed = (await gateway.api.get("/jobs", params={"caller": "portal"})).json()["jobs"]
        assert [job["job_id"] for job in listed] == [job_id]

        file.write_text(line("crm", "crm-key", ":2099-12-31"))

        async def is_known() -> bool:
            return await call(gateway, "crm-key") == 404

        await eventually(is_known, "the new key is read")
        assert await call(gateway, "portal-key") == 401

        file.write_text("nonsense\n")
        await eventually(lambda: "keys.broken" in gateway.read_log(), "the broken file is noticed")
        assert [await call(gateway, key) for key in (KEY, "crm-key")] == [404, 401]
        assert "nonsense" not in gateway.read_log()
        assert "everest_bootstrap_keys_file_broken 1.0" in (await gateway.nobody.get("/metrics")).text


async def test_a_key_does_what_its_scopes_say(tmp_path: Path) -> None:
    """403 names the missing one; every key reads."""
    file = tmp_path / "keys"
    file.write_text(line("look", "read-key", ":read") + line("team", "team-key", ":bootstrap"))
    async with (
        nats_server(tmp_path, lease_seconds=60) as server,
        running_gateway(server.url, tmp_path, ADMIN_API_KEYS_FILE=str(file)) as gateway,
    ):
        job_id = await gateway.submit({"X-Admin-Key": "team-key"})
        key = {"X-Admin-Key": "read-key"}
        assert (await gateway.nobody.get(f"/jobs/{job_id}", headers=key)).status_code == 200
        for path in ("/bootstrap/users", f"/jobs/{job_id}/cancel", f"/jobs/{job_id}/retry"):
            answer = await gateway.nobody.post(path, json={"username": "alice"}, headers=key)
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
            assert answer.json()["scope"] == "bootstrap"
        for verb, scope in (*((verb, "offboard") for verb in ("password", "suspend", "resume")), ("manager", "admin")):
            answer = await gateway.nobody.post(f"/tenants/alice/{verb}", headers={"X-Admin-Key": "team-key"})
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
            assert answer.json()["scope"] == scope
        async with manual_handler(server) as manual:
            subject = names.job_subject("bootstrap", job_id)
            message = await manual.jetstream.get_last_msg(names.JOBS_STREAM, subject)
        assert (message.headers or {})[names.HEADER_BOUND] == "true", "handlers hold it to its own tenants"


async def test_a_key_with_scopes_changes_its_own_jobs_alone(tmp_path: Path) -> None:
    """Nobody cancels for another what he could not submit for him; who manages all tenants may."""
    file = tmp_path / "keys"
    file.write_text(line("team", "team-key", ":bootstrap") + line("other", "other-key", ":bootstrap,offboard"))
    async with (
        nats_server(tmp_path, lease_seconds=60) as server,
        running_gateway(server.url, tmp_path, ADMIN_API_KEYS_FILE=str(file)) as gateway,
    ):
        job_id, second = [await gateway.submit({"X-Admin-Key": "team-key"}) for _ in range(2)]

        async def post(action: str, job_id: str, key: str) -> tuple[int, str | None]:
            answer = await gateway.nobody.post(f"/jobs/{job_id}/{action}", headers={"X-Admin-Key": key})
            return answer.status_code, answer.json().get("scope")

        for action in ("cancel", "retry"):
            assert await post(action, job_id, "other-key") == (403, "admin")
        assert await post("cancel", job_id, "team-key") == (202, None)
        assert await post("retry", job_id, "other-key") == (403, "admin")
        assert await post("retry", job_id, "team-key") == (202, None)
        assert await post("cancel", second, KEY) == (202, None)


async def test_wrong_keys_are_slowed_and_counted(tmp_path: Path) -> None:
    """The slowness is the guesser's alone."""
    async with running_gateway("nats://127.0.0.1:1", tmp_path, ready=False) as gateway:
        started_at = time.monotonic()
        assert await call(gateway, "wrong") == 401
        assert time.monotonic() - started_at > 0.2
        guesses = [asyncio.create_task(call(gateway, f"guess-{turn}")) for turn in range(30)]
        await gateway.api.get("/jobs/none")
        assert not all(guess.done() for guess in guesses)
        assert await asyncio.gather(*guesses) == [401] * 30
        assert "everest_bootstrap_wrong_keys_total 31.0" in (await gateway.nobody.get("/metrics")).text


async def test_the_well_known_key_is_warned_of(tmp_path: Path) -> None:
    async with running_gateway("nats://127.0.0.1:1", tmp_path, ready=False, ADMIN_API_KEY="changeme") as gateway:
        warnings = [line for line in gateway.log_lines() if line["event"] == "key.well_known"]
        assert [warning["level"] for warning in warnings] == ["warning"]


async def test_a_key_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-a-file\n")
    async with running_gateway(
        "nats://127.0.0.1:1", tmp_path, ready=False, ADMIN_API_KEY="", ADMIN_API_KEY_FILE=str(file)
    ) as gateway:
        assert [await call(gateway, key) for key in ("from-a-file", KEY)] == [503, 401]


async def test_a_rate_limit(tmp_path: Path) -> None:
    """429 with Retry-After, per key; probes and other keys are not limited."""
    file = tmp_path / "keys"
    file.write_text(line("portal", "portal-key"))
    async with running_gateway(
        "nats://127.0.0.1:1", tmp_path, ready=False, RATE_LIMIT="3/hour", ADMIN_API_KEYS_FILE=str(file)
    ) as gateway:
        assert [await call(gateway, "portal-key") for _ in range(4)] == [503, 503, 503, 429]
        answer = await gateway.nobody.get("/jobs/none", headers={"X-Admin-Key": "portal-key"})
        assert answer.json()["code"] == "rate_limited"
        assert int(answer.headers["retry-after"]) > 0
        assert await call(gateway, KEY) == 503
        assert (await gateway.nobody.get("/healthz")).status_code == 200


async def test_what_holds_for_every_job_is_told_once(tmp_path: Path) -> None:
    """At /readyz?verbose, to key-holders alone, as the newest job that succeeded tells it; its own warnings stay."""
    own, notice = "Something of this job.", "Everest enforces no RBAC (whatever follows)."
    async with (
        nats_server(tmp_path, lease_seconds=60) as server,
        manual_handler(server) as manual,
        running_gateway(server.url, tmp_path) as gateway,
    ):
        assert (await gateway.api.get("/readyz?verbose")).json() == {"status": "ready", "notices": []}
        record = replace(succeeded_record(new_record()), warnings=(notice, own))
        await manual.write(record)
        await manual.write(new_record("failed").failed(Failure("forbidden", "may not"), NOW))
        assert (await gateway.api.get("/readyz?verbose")).json()["notices"] == [notice]
        assert (await gateway.nobody.get("/readyz")).json() == {"status": "ready"}
        assert (await gateway.nobody.get("/readyz?verbose")).status_code == 401
        job = (await gateway.api.get(f"/jobs/{record.job_id}")).json()
        assert (job["warnings"], job["notices"]) == ([notice, own], [notice])
