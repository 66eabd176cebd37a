"""Whose Secret it is: a job's id is free again after its record, and the next job under it may be another tenant's."""

import asyncio
import base64
import json
from typing import Any

import pytest

from contracts.names import credentials_secret_name
from handlers.commands.running import Command, Completed
from handlers.commands.secret import Secret
from handlers.results import StepFailed
from handlers.tenants.claims import JOB
from handlers.tenants.credentials import Credentials
from handlers.tools.kubectl import Kubectl

JOB_ID = "shop.order-1"
FIRST = credentials_secret_name(JOB_ID)


class Secrets:
    """Those of one namespace, as kubectl shows and changes them."""

    def __init__(self) -> None:
        self.by_name: dict[str, dict[str, Any]] = {}

    def of(self, username: str, job_id: str = JOB_ID) -> Credentials:
        return Credentials(Kubectl(self.run, 60), "everest-system", job_id, username)

    def keep(self, username: str, password: str) -> str:
        """The name of the Secret that a job keeps it in."""
        return asyncio.run(self.of(username).keep(Secret(password))).secret.name

    def read(self, username: str) -> str | None:
        kept = asyncio.run(self.of(username).find())
        return kept.password.reveal() if kept and kept.password else None

    async def run(self, command: Command) -> Completed:
        verb, words = str(command.argv[1]), [str(word) for word in command.argv]
        code, said, complaint = 0, "", ""
        if verb == "get":
            found = [self.by_name[name] for name in words[3 : words.index("-n")] if name in self.by_name]
            said = json.dumps({"items": found}) if found else ""
        elif verb == "delete":
            self.by_name.pop(words[3], None)
        elif not self._create(json.loads(command.stdin or b"")):
            code, complaint = 1, "Error from server (AlreadyExists): secrets already exists"
        return Completed(command.shown, code, said.encode(), complaint.encode(), False, False, "", "", 0)

    def _create(self, manifest: dict[str, Any]) -> bool:
        values = manifest.pop("stringData")
        stored = {**manifest, "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}}
        return self.by_name.setdefault(manifest["metadata"]["name"], stored) is stored


def test_a_job_id_that_is_used_again_gives_each_tenant_its_own_password() -> None:
    secrets = Secrets()
    assert secrets.keep("carol", "Of_carol-1") == FIRST
    second = secrets.keep("dave", "Of_dave-1")
    assert second != FIRST
    assert (secrets.read("carol"), secrets.read("dave")) == ("Of_carol-1", "Of_dave-1")
    assert secrets.keep("dave", "A_later-1") == second
    assert secrets.read("dave") == "Of_dave-1", "an earlier attempt's is used again"


def test_what_one_tenant_leaves_the_other_keeps() -> None:
    secrets = Secrets()
    secrets.keep("emil", "Of_emil-1")
    assert secrets.read("fritz") is None
    asyncio.run(secrets.of("fritz").drop())
    assert secrets.read("emil") == "Of_emil-1"
    secrets.keep("fritz", "Of_fritz-1")
    asyncio.run(secrets.of("emil").drop())
    assert (secrets.read("emil"), secrets.read("fritz")) == (None, "Of_fritz-1"), "also where the first is gone"
    asyncio.run(secrets.of("fritz").drop())
    assert secrets.by_name == {}


def test_one_of_0_1_0_bears_no_mark_and_is_known_by_its_name() -> None:
    secrets = Secrets()
    secrets.keep("gina", "Of_gina-1")
    del secrets.by_name[FIRST]["metadata"]["annotations"][JOB]
    assert (secrets.read("gina"), secrets.read("hans")) == ("Of_gina-1", None)


def test_one_without_a_password_stands_in_the_way_and_is_named() -> None:
    secrets = Secrets()
    secrets.keep("ines", "Of_ines-1")
    del secrets.by_name[FIRST]["data"]["password"]
    with pytest.raises(StepFailed) as failed:
        secrets.keep("ines", "Another-1")
    assert (failed.value.failure.code, FIRST in failed.value.failure.message) == ("conflict", True)
