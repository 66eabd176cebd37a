"""The roles that ship: with them and with nothing more the whole workflow works, flat and narrow."""

import asyncio
import os
from pathlib import Path

import pytest
import yaml

from tests.support.eventually import eventually
from tests.support.handlers import open_service, start_handler
from tests.support.manifests import RENDERED, Object, find_workload, render

pytestmark = pytest.mark.slow

USER = "system:serviceaccount:everest-bootstrap:handler"
KINDS = ("Namespace", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


@pytest.mark.parametrize("variant", ["default", "secured"])
async def test_the_shipped_roles_suffice(variant: str, tmp_path: Path) -> None:
    """The preflight finds nothing missing, a job with an operator succeeds, and every query is answered."""
    namespace = yaml.safe_load((RENDERED / "namespace.yaml").read_text())
    objects = [namespace, *(as_user(part) for part in render(variant) if part["kind"] in KINDS)]
    roles = tmp_path / "roles.yaml"
    roles.write_text(yaml.safe_dump_all(objects))
    workload = find_workload(variant, "handler")
    variables = {name: value for name, value in workload.variables.items() if value and not is_a_place(name, value)}
    ready = tmp_path / "ready"
    async with open_service(tmp_path, roles=[roles], user=USER) as service:
        preflight = await start_handler(service.server.url, service.everest, tmp_path, "--check", **variables)
        assert await preflight.wait() == 0, preflight.read_log()
        assert f"the cluster takes this handler for {USER}" in preflight.read_log()
        async with service.handler(**variables, READY_FILE=str(ready)):
            result = await service.run_job(username="alice", operators={"postgresql": True})
            assert result["overall_status"] == "succeeded", str(result["steps"][-1])
            outcomes = [step["outcome"] for step in result["steps"]]
            assert outcomes == ["created", "created", "applied", "applied", "unverified"]  # RBAC is off
            assert result["credentials_secret"]["namespace"] == "everest-bootstrap-credentials"
            again = await service.run_job(username="alice", operators={"postgresql": True})
            assert again["overall_status"] == "succeeded", again
            for path in ("/accounts/list", "/namespaces/list", "/tenants/alice"):
                answer = await service.gateway.api.get(path)
                assert answer.status_code == 200, answer.text
            await wait_for(ready)
            probe = workload.container["readinessProbe"]["exec"]["command"]
            process = await asyncio.create_subprocess_exec(*probe, env={**os.environ, "READY_FILE": str(ready)})
            assert await process.wait() == 0


def is_a_place(name: str, value: str) -> bool:
    """Where a pod has it, and not this machine."""
    return value.startswith("/") or name in ("NATS_URL", "NATS_USER")


def as_user(part: Object) -> Object:
    """A binding's service account by the name of its user, which is who the simulated API knows."""
    if "subjects" not in part:
        return part
    users = [f"system:serviceaccount:{subject['namespace']}:{subject['name']}" for subject in part["subjects"]]
    return {**part, "subjects": [{"kind": "User", "name": user} for user in users]}


async def wait_for(file: Path) -> None:
    await eventually(file.exists, f"{file.name} is made")
