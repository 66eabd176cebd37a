"""An account that was there before its tenant: a caller who has but its own tenants neither opens nor closes it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from contracts.records import Outcome
from contracts.requests import TenantQuery
from handlers.preflight.checking import make_runner
from handlers.queries.tenant_report import describe_tenant
from handlers.tools.everestctl import Everestctl
from handlers.tools.kubectl import Kubectl
from tests.simulator import SimulatedEverest
from tests.support.arrangement import have_tenant
from tests.support.clusters import open_cluster
from tests.support.environments import handler_settings
from tests.support.tenants import disable, run
from tests.support.tenants import read_accounts as read_stored
from tests.support.workflows import Bench, open_bench

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedEverest]:
    async with open_cluster(tmp_path_factory.mktemp("cluster"), job_seconds=0.05) as running:
        code, _, stderr = await running.run("everestctl", "accounts", "create", "-u", "hans", "-p", "His-own_password")
        assert code == 0, stderr
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(cluster: SimulatedEverest) -> AsyncIterator[Bench]:
    async with open_bench(cluster.variables) as opened:
        yield opened.called_by("portal", is_bound=True)


async def read_accounts(everest: SimulatedEverest) -> str:
    secret = await everest.get("secret", "everest-accounts", "-n", "everest-system")
    return str(secret["data"]["users.yaml"])


async def test_onboarding_somebody_is_no_way_into_his_account(everest: SimulatedEverest, portal: Bench) -> None:
    """Whoever can name him as a tenant could else have a password made for him, or have him locked out."""
    await portal.onboard("hans-1", username="hans")
    before = await read_accounts(everest)
    refused = await portal.attempt("hans-2", kind="password", username="hans")
    assert (refused.failed_step, refused.code) == ("set_password", "tenant_managed_by_another")
    suspended = await portal.attempt("hans-3", kind="suspend", username="hans")
    assert suspended.failure is None, suspended.failure
    assert "Account hans was not made by this service, so it stays enabled." in suspended.warnings
    assert (await portal.attempt("hans-4", kind="resume", username="hans")).failure is None
    assert await read_accounts(everest) == before
    admin = portal.called_by("admin")
    assert (await admin.attempt("hans-5", kind="password", username="hans")).outcomes == [Outcome.UPDATED]


async def test_what_the_caller_made_it_may_change(everest: SimulatedEverest, portal: Bench) -> None:
    await have_tenant(everest, portal, "ida-1", username="ida")
    assert (await portal.attempt("ida-2", kind="password", username="ida")).outcomes == [Outcome.UPDATED]
    before = await read_accounts(everest)
    assert (await portal.attempt("ida-3", kind="suspend", username="ida")).failure is None
    assert await read_accounts(everest) != before


async def test_one_that_replaced_what_the_job_had_made_is_not_claimed(everest: SimulatedEverest, portal: Bench) -> None:
    """Between its first step and its second: the claim has the proof of what was made, not of what is there."""
    made = await portal.attempt("vera-1", only="create_account", username="vera")
    await run(everest, "everestctl", "accounts", "delete", "-u", "vera")
    await run(everest, "everestctl", "accounts", "create", "-u", "vera", "-p", "Her-own_password")
    assert (await portal.attempt("vera-1", done=made, username="vera")).failure is None
    suspended = await portal.attempt("vera-2", kind="suspend", username="vera")
    assert "Account vera was not made by this service, so it stays enabled." in suspended.warnings, suspended.failure


async def test_an_account_that_somebody_disabled_is_told_and_stays_so(everest: SimulatedEverest, portal: Bench) -> None:
    """The job, its plan and the report name it; nobody says that such a tenant can be used."""
    admin = portal.called_by("admin")
    await run(everest, "everestctl", "accounts", "create", "-u", "jana", "-p", "Her-own_password")
    await disable(everest, "jana")
    before = await read_accounts(everest)
    said = "Account jana is disabled, and not by a suspension of this service: nobody can log in with it."
    planned = await admin.plan(username="jana")
    assert any(warning.startswith(said) for warning in planned["warnings"])
    made = await admin.onboard("jana-1", username="jana")
    assert any(warning.startswith(said) for warning in made.result("create_account").warnings)
    assert (made.result("verify_tenant").usable, made.result("verify_tenant").outcome) == (False, Outcome.UNVERIFIED)
    repaired = await admin.attempt("jana-2", kind="repair", username="jana")
    assert (repaired.failure, repaired.result("verify_tenant").usable) == (None, False)
    strict = await admin.having(EVEREST_REQUIRE_USABLE="true").attempt("jana-3", username="jana")
    assert (strict.failed_step, strict.code) == ("verify_tenant", "not_usable")
    assert said in await report(portal, "jana")
    assert await read_accounts(everest) == before


async def test_an_account_of_ours_that_somebody_disabled_is_told_too(everest: SimulatedEverest, portal: Bench) -> None:
    """But for a tenant that is suspended, whose account is to be so; a resume gives it back."""
    await have_tenant(everest, portal, "kurt-1", username="kurt")
    assert await report(portal, "kurt") == []
    assert (await portal.attempt("kurt-2", kind="suspend", username="kurt")).failure is None
    assert await report(portal, "kurt") == []
    assert (await portal.attempt("kurt-3", kind="resume", username="kurt")).failure is None
    assert await report(portal, "kurt") == []
    await disable(everest, "kurt")
    assert [difference.partition(",")[0] for difference in await report(portal, "kurt")] == ["Account kurt is disabled"]


async def test_a_password_that_makes_an_account_the_tenants_again_says_so(
    everest: SimulatedEverest, portal: Bench
) -> None:
    """It was made anew by hand, so an offboarding would leave it; from now on it goes with the tenant."""
    admin = portal.called_by("admin")
    await have_tenant(everest, portal, "lena-1", username="lena")
    await make_anew(everest, "lena")
    said = "Account lena was made anew or given another password by somebody else"
    assert (await admin.plan(kind="password", username="lena"))["warnings"][0].startswith(said)
    changed = await admin.attempt("lena-2", kind="password", username="lena")
    assert changed.outcomes == [Outcome.UPDATED], changed.failure
    assert changed.warnings[0].startswith(said)
    assert (await admin.attempt("lena-3", kind="password", username="lena")).warnings == []


async def test_a_resume_enables_the_account_that_its_suspension_disabled(
    everest: SimulatedEverest, portal: Bench
) -> None:
    """Also with a password that this service gave it meanwhile; another of that name stays as its maker left it."""
    admin = portal.called_by("admin")
    for name in ("mara", "nora", "olga"):
        await have_tenant(everest, portal, f"{name}-1", username=name)
    await make_anew(everest, "olga")  # disabled by the suspension all the same, so given back by the resume
    for name in ("mara", "nora", "olga"):
        assert (await admin.attempt(f"{name}-2", kind="suspend", username=name)).failure is None
    await make_anew(everest, "mara")
    await disable(everest, "mara")
    for name in ("nora", "olga"):
        assert (await admin.attempt(f"{name}-3", kind="password", username=name)).failure is None
    said = "Account mara was made anew or given another password by somebody else while the tenant was suspended"
    assert (await admin.plan(kind="resume", username="mara"))["warnings"][0].startswith(said)
    for name in ("mara", "nora", "olga"):
        resumed = await admin.attempt(f"{name}-4", kind="resume", username=name)
        assert (resumed.failure, len(resumed.warnings)) == (None, 1 if name == "mara" else 0), resumed.warnings
    accounts = await read_stored(everest)
    assert {name: accounts[name]["enabled"] for name in ("mara", "nora", "olga")} == {
        "mara": False,
        "nora": True,
        "olga": True,
    }


async def make_anew(everest: SimulatedEverest, name: str) -> None:
    """As somebody else does."""
    await run(everest, "everestctl", "accounts", "delete", "-u", name)
    await run(everest, "everestctl", "accounts", "create", "-u", name, "-p", "Somebody-elses_1")


async def report(bench: Bench, name: str) -> list[str]:
    """The differences of a tenant, as its report tells them."""
    run_command, settings = make_runner(bench.commands), handler_settings({**bench.variables, **bench.settings})
    kubectl, everestctl = Kubectl(run_command, 60), Everestctl(run_command, 60)
    told = await describe_tenant(kubectl, everestctl, TenantQuery(username=name), settings)
    return [difference["message"] for difference in told["differences"]]
