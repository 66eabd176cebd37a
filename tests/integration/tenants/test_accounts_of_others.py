"""An account that was there before its tenant: a caller who has but its own tenants neither opens nor closes it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from contracts.records import Outcome
from tests.simulator import SimulatedEverest
from tests.support.clusters import open_cluster
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
    await portal.onboard("ida-1", username="ida")
    assert (await portal.attempt("ida-2", kind="password", username="ida")).outcomes == [Outcome.UPDATED]
    before = await read_accounts(everest)
    assert (await portal.attempt("ida-3", kind="suspend", username="ida")).failure is None
    assert await read_accounts(everest) != before
