"""What a job says that ended badly: what was bound, what it had made and took back."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from contracts.names import credentials_secret_name
from handlers.tenants.claims import JOB, OWNER
from tests.support.handlers import Service, open_service

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """Its handler's RBAC command always fails."""
    async with (
        open_service(tmp_path_factory.mktemp("service"), lease_seconds=60) as opened,
        opened.handler(EVEREST_RBAC_APPLY_CMD="false"),
    ):
        yield opened


async def test_a_role_that_could_not_be_bound_is_not_said_to_be(service: Service) -> None:
    result = await service.run_job(username="unbound")
    step = result["steps"][-1]
    assert (result["overall_status"], result["reason"]) == ("failed", "rbac_command_failed")
    assert (step["name"], step["outcome"], step["exit_code"]) == ("apply_rbac_policy", "failed", 1)
    assert (step["rbac_applied"], result["rbac_applied"]) == (False, False)


async def test_who_loses_the_namespace_has_made_no_account(service: Service) -> None:
    """It was made, and is taken away again with its Secret; retried, the job begins anew."""
    await service.everest.set_faults(only="accounts create", holds="race")
    job_id = await service.gateway.submit(username="loser", namespace="wanted")
    await service.everest.wait_until_held("accounts", "create")
    claim = (f"{OWNER}=winner", f"{JOB}=another-job")
    for command in (("create", "namespace", "wanted"), ("annotate", "namespace", "wanted", *claim)):
        assert (await service.everest.run("kubectl", *command))[0] == 0
    await service.everest.set_faults()
    result = await service.wait_until_finished(job_id)
    assert [(step["name"], step["outcome"]) for step in result["steps"]] == [("add_namespace", "failed")]
    assert result["reason"] == "namespace_owned_by_another"
    assert "taken away again" in result["error"]["message"]
    assert "credentials_secret" not in result
    secrets = await service.everest.get("secret", "-n", "everest-system")
    assert credentials_secret_name(job_id) not in [one["metadata"]["name"] for one in secrets["items"]]
    assert "loser" not in (await service.everest.run("everestctl", "accounts", "list"))[1]
    assert (await service.everest.run("kubectl", "delete", "namespace", "wanted"))[0] == 0
    assert (await service.gateway.api.post(f"/jobs/{job_id}/retry")).status_code == 202
    again = await service.wait_until_finished(job_id)
    made = [(step["name"], step["outcome"]) for step in again["steps"]][:2]
    assert made == [("create_account", "created"), ("add_namespace", "created")]
