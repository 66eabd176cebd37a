"""`python -m gateway dead-letters`: what could have no record of its own is shown, and goes back byte for byte."""

import os
from pathlib import Path
from typing import Any

import pytest

from contracts import names
from tests.support.forks import run_fork
from tests.support.gateways import ManualHandler, manual_handler
from tests.support.servers import NatsServer, nats_server, write_configuration

BODY = b"\x00\xff not JSON \r\n"
SUBJECT = names.job_subject("bootstrap", "order-42")


async def dead_letters(server: NatsServer, *arguments: str, **variables: str) -> tuple[int, str, str]:
    environment = {**os.environ, "NATS_URL": server.url, **variables}
    ended = await run_fork("gateway", "dead-letters", *arguments, environment=environment)
    return ended.code, ended.stdout, ended.stderr


async def bury(manual: ManualHandler, subject: str = SUBJECT, body: bytes = BODY) -> int:
    """Writes a dead letter as a handler does; gives its sequence."""
    headers = {
        names.HEADER_REASON: "job_id_taken",
        names.HEADER_SUBJECT: subject,
        names.HEADER_SEQUENCE: "7",
        names.HEADER_CALLER: "portal",
    }
    return (await manual.jetstream.publish(names.dead_subject("bootstrap", "order-42"), body, headers=headers)).seq


async def test_who_may_not_look_is_told_who_may(tmp_path: Path) -> None:
    """As in a gateway's own container: the role is another than the command's."""
    roles: dict[str, dict[str, Any]] = {
        role: {"NATS_USER": role, "NATS_PASSWORD": f"p0{role}"} for role in ("gateway", "handler", "provisioner")
    }
    secrets = {f"NATS_{role.upper()}_PASSWORD": variables["NATS_PASSWORD"] for role, variables in roles.items()}
    configuration = write_configuration(tmp_path / "conf", "node.conf", "accounts.conf")
    async with nats_server(tmp_path, configuration=configuration, variables=secrets) as server:
        await server.provision(**roles["provisioner"])
        code, output, errors = await dead_letters(server, "list", **roles["gateway"])
        assert (code, output) == (1, "")
        assert "needs the role provisioner" in errors
        assert await dead_letters(server, "list", **roles["provisioner"]) == (0, "", "there are no dead letters\n")


async def test_they_are_listed_oldest_first(tmp_path: Path) -> None:
    """Sequence, moment, reason, subject and the beginning of the body, one line each, whatever the bytes are."""
    async with nats_server(tmp_path, lease_seconds=60) as server, manual_handler(server) as manual:
        assert await dead_letters(server, "list") == (0, "", "there are no dead letters\n")
        sequences = [await bury(manual), await bury(manual, body=b"")]
        code, output, _ = await dead_letters(server, "list")
        lines = [line.split("\t") for line in output.splitlines()]
        assert (code, [int(line[0]) for line in lines]) == (0, sequences)
        assert [line[2:4] for line in lines] == [["job_id_taken", SUBJECT]] * 2
        assert r"\xff not JSON" in lines[0][4]


async def test_one_goes_back_as_it_was_and_is_gone_from_the_list(tmp_path: Path) -> None:
    """The same bytes and the sender's own headers, on the subject it came from; twice is not possible."""
    async with nats_server(tmp_path, lease_seconds=60) as server, manual_handler(server) as manual:
        kept, sequence = await bury(manual, body=b"another"), await bury(manual)
        code, output, errors = await dead_letters(server, "put-back", str(sequence))
        assert (code, output.strip(), errors) == (0, f"put back: {SUBJECT}", "")
        message = await manual.jetstream.get_last_msg(names.JOBS_STREAM, SUBJECT)
        assert (message.data, message.headers) == (BODY, {names.HEADER_CALLER: "portal"})
        _, output, _ = await dead_letters(server, "list")
        assert [line.split("\t")[0] for line in output.splitlines()] == [str(kept)]
        code, _, errors = await dead_letters(server, "put-back", str(sequence))
        assert (code, f"there is no dead letter {sequence}" in errors) == (1, True)


@pytest.mark.parametrize(
    ("subject", "reason"), [(SUBJECT, "queued or runs"), ("everest.v1.jobs.bootsrap.x", "no stream takes")]
)
async def test_what_is_not_taken_is_kept(tmp_path: Path, subject: str, reason: str) -> None:
    """A job of the same id waits, or the subject belongs to no stream: said, and the dead letter stays."""
    async with nats_server(tmp_path, lease_seconds=60) as server, manual_handler(server) as manual:
        await manual.jetstream.publish(SUBJECT, b'{"username": "alice"}')
        sequence = await bury(manual, subject)
        code, _, errors = await dead_letters(server, "put-back", str(sequence))
        assert (code, reason in errors) == (1, True), errors
        assert (await dead_letters(server, "list"))[1].startswith(f"{sequence}\t")


async def test_what_is_in_the_way_is_said(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        code, _, errors = await dead_letters(server, "list")
        assert (code, "provision" in errors) == (1, True), errors
