"""A new password: in a Secret before it is set, proved before the old one goes, whoever else writes accounts."""

import base64
from collections.abc import Sequence
from typing import Any

import pytest

from contracts.names import credentials_secret_name
from contracts.records import Outcome
from handlers.commands.running import Command, Completed
from handlers.commands.secret import MASK
from handlers.results import RunCommand
from handlers.tenants.accounts_file import proves
from tests.simulator import SimulatedEverest
from tests.support.tenants import look_at, make_secret, make_tenant, read_users, run, write_users
from tests.support.workflows import Bench, die_at

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def read_passwords(everest: SimulatedEverest, *job_ids: str) -> list[str | None]:
    """What the jobs' Secrets hold."""
    found = []
    for job_id in job_ids:
        secret = await everest.get("secret", credentials_secret_name(job_id), "-n", "everest-system")
        found.append(base64.b64decode(secret["data"]["password"]).decode() if secret else None)
    return found


async def opens(everest: SimulatedEverest, name: str, password: str | None) -> bool:
    system = await everest.get("namespace", "everest-system")
    return proves(await read_users(everest), system["metadata"]["uid"], name, password or "")


async def make(everest: SimulatedEverest, name: str) -> str:
    """A tenant with its password in the Secret of the job that made it; gives that job's id."""
    await make_tenant(everest, name)
    await make_secret(everest, name, f"made-{name}", "First-password_1")
    return f"made-{name}"


async def test_a_new_password_is_kept_proved_and_the_only_one(everest: SimulatedEverest, bench: Bench) -> None:
    """The claims name its Secret alone; none of its values reaches a command that is shown."""
    first = await make(everest, "anna")
    plan = await bench.plan(kind="password", username="anna")
    assert [step["outcome"] for step in plan["steps"]] == ["would update"]
    assert f"everestctl accounts set-password -u anna --new-password {MASK}" in plan["steps"][0]["commands"]
    assert await opens(everest, "anna", "First-password_1")

    made = await bench.attempt("new-one", kind="password", username="anna")
    assert made.outcomes == [Outcome.UPDATED], made.failure
    secret = made.result("set_password").credentials_secret
    assert secret is not None
    assert secret.name == credentials_secret_name("new-one")
    old, new = await read_passwords(everest, first, "new-one")
    assert old is None
    assert await opens(everest, "anna", new)
    assert (await look_at(everest, "anna")).specs["anna"]["credentials"] == ["new-one"]
    assert not any(new in shown for shown in made.ran if new)

    await bench.attempt("newer", kind="password", username="anna")
    assert await read_passwords(everest, "new-one") == [None]


async def test_a_password_that_another_writer_takes_back_is_set_again(everest: SimulatedEverest, bench: Bench) -> None:
    """everestctl exits 0 with the old password back where somebody deletes another account at the same time."""
    await make(everest, "bert")
    before, taken = await read_users(everest), 0

    def intercept(run: RunCommand) -> RunCommand:
        async def take_back(command: Command) -> Completed:
            nonlocal taken
            completed = await run(command)
            if "set-password" in command.shown and taken < 2:
                assert completed.exit_code == 0
                await write_users(everest, before)
                taken += 1
            return completed

        return take_back

    made = await bench.attempt("again", kind="password", username="bert", intercept=intercept)
    assert (made.outcomes, taken) == ([Outcome.UPDATED], 2)
    assert await opens(everest, "bert", *await read_passwords(everest, "again"))


@pytest.mark.parametrize(
    ("after", "points"),
    [
        (True, (2,)),
        pytest.param(False, range(5), marks=pytest.mark.slow),
        pytest.param(True, range(5), marks=pytest.mark.slow),
    ],
)
async def test_killed_anywhere_one_password_opens_the_account(
    everest: SimulatedEverest, bench: Bench, after: bool, points: Sequence[int]
) -> None:
    """At each moment some Secret that the claims name holds the password that does; in the end the new one alone."""
    name = f"kill_{after}_{len(points)}".lower()
    await make_tenant(everest, name, name.replace("_", "-"))
    old = f"made-{name}"
    await make_secret(everest, name, old, "First-password_1")
    for number in points:  # claim, Secret, password, old Secret, claim
        new = f"{name}-{number}"
        made = await bench.attempt(new, kind="password", username=name, intercept=die_at(number, after=after))
        assert made.failed_step is not None, "there is a change of that number"
        spec = (await look_at(everest, name, name.replace("_", "-"))).specs[name.replace("_", "-")]
        held = await read_passwords(everest, *spec["credentials"])
        assert any([await opens(everest, name, password) for password in held])
        ended = await bench.finish(new, made, kind="password", username=name)
        assert ended.failure is None
        kept, gone = await read_passwords(everest, new, old)
        assert gone is None
        assert await opens(everest, name, kept)
        old = new


async def test_who_has_no_account_gets_no_password(everest: SimulatedEverest, bench: Bench) -> None:
    """Also where the account goes while its password is set: then no Secret is left that would lie."""
    await make_tenant(everest, "carl", account=False)
    refused = await bench.attempt("none", kind="password", username="carl")
    assert refused.code == "account_not_found"
    assert not any(command.changes for command in refused.commands)
    await make(everest, "dora")

    def intercept(execute: RunCommand) -> RunCommand:
        async def remove(command: Command) -> Completed:
            if "set-password" in command.shown:
                await run(everest, "everestctl", "accounts", "delete", "-u", "dora")
            return await execute(command)

        return remove

    made = await bench.attempt("late", kind="password", username="dora", intercept=intercept)
    assert made.code == "account_not_found"
    assert await read_passwords(everest, "late") == [None]
    assert (await bench.attempt("x", kind="password", username="nobody_here")).code == "tenant_not_found"


async def test_a_suspended_tenant_gets_a_password_and_stays_disabled(everest: SimulatedEverest, bench: Bench) -> None:
    await make(everest, "emil")
    await bench.attempt("s", kind="suspend", username="emil")
    made = await bench.attempt("p", kind="password", username="emil")
    assert any("suspended" in warning for warning in made.warnings)
    assert await opens(everest, "emil", *await read_passwords(everest, "p"))
    assert (await look_at(everest, "emil")).is_enabled is False


async def test_another_caller_manages_the_tenant_from_its_handover_on(everest: SimulatedEverest, bench: Bench) -> None:
    """Each of its claims says so, also after a kill behind each of them, and who managed it before is refused."""
    await make_tenant(everest, "fritz", "fritz", "fritz-two")
    request: dict[str, Any] = {"username": "fritz", "caller": "billing"}
    plan = await bench.plan(kind="handover", **request)
    assert (plan["would"], plan["steps"][0]["outcome"]) == ("change", "would update")
    cut = await bench.attempt("h", kind="handover", **request, intercept=die_at(0, after=True))
    cut = await bench.attempt("h", kind="handover", **request, done=cut, intercept=die_at(0, after=True))
    made = await bench.finish("h", cut, kind="handover", **request)
    assert made.outcomes == [Outcome.UPDATED]
    specs = (await look_at(everest, "fritz", "fritz", "fritz-two")).specs.values()
    assert [(spec["wanted"]["managed_by"], spec["generation"]) for spec in specs] == [("billing", 2), ("billing", 2)]
    assert (await bench.attempt("h2", kind="handover", **request)).outcomes == [Outcome.UNCHANGED]
    former = bench.called_by("tests", is_bound=True)
    assert (await former.attempt("b", username="fritz")).code == "tenant_managed_by_another"
    assert (await former.attempt("n", kind="handover", **request)).code == "tenant_managed_by_another"
