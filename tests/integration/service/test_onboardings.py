"""Many tenants at once through all of it: nobody loses an account, a line of the policy, or a password."""

from pathlib import Path

import pytest

from tests.support.handlers import open_service
from tests.support.storm.onboardings import enforce_rbac, onboard_many, onboard_mixed


@pytest.mark.parametrize("count", [3, pytest.param(100, marks=pytest.mark.slow)])
async def test_tenants_at_once_are_all_onboarded(tmp_path: Path, count: int) -> None:
    """Two handlers, RBAC enforced. A password is in its Secret and nowhere else."""
    async with open_service(tmp_path, lease_seconds=60) as service, service.handler(), service.handler():
        await enforce_rbac(service)
        seen = await onboard_many(service, count)
    print(f"\n{seen}")
    assert seen["succeeded"] == count
    assert seen["tenants_with_all_their_lines"] == count
    assert seen["passwords_that_open_their_account"] == count
    assert seen["passwords_found_in_records_logs_and_files"] == 0
    assert seen["everestctl_runs_for_one_tenant_side_by_side"] == 0
    assert seen["rbac_enforced"]
    assert not seen["server_crashed"]


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 100])
async def test_mixed_tenants_twice_leave_every_foreign_line(tmp_path: Path, count: int) -> None:
    """Roles and subjects change, an administrator edits in between: nobody loses a line, nobody gains one."""
    async with open_service(tmp_path, lease_seconds=60) as service, service.handler(), service.handler():
        await enforce_rbac(service)
        seen = await onboard_mixed(service, count)
    print(f"\n{seen}")
    assert seen["succeeded"] == 2 * count
    assert seen["foreign_lines_as_they_were"]
    assert seen["tenants_who_read"] == count
    assert (seen["viewers_who_delete"], seen["strangers_who_read"]) == (0, 0)
    assert not seen["server_crashed"]
