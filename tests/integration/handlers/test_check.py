"""`python -m handlers --check`, and the file by which a probe knows a ready handler."""

import sys
from pathlib import Path

import pytest

from tests.simulator import SimulatedEverest, simulated_everest
from tests.support.handlers import RBAC_IMPORT, open_house
from tests.support.servers import ROOT

CHECK = (sys.executable, "-m", "handlers", "--check")
GRANTS_NOTHING = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules:
- {apiGroups: [""], resources: [namespaces], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{kind: User, name: handler, apiGroup: rbac.authorization.k8s.io}]
"""


async def check(everest: SimulatedEverest, **variables: str) -> tuple[int, str]:
    code, stdout, stderr = await everest.run(*CHECK, **{"PYTHONPATH": str(ROOT), **variables})
    assert stderr == ""
    return code, stdout


async def test_all_is_well(tmp_path: Path) -> None:
    async with simulated_everest(tmp_path) as everest:
        code, said = await check(everest, EVEREST_RBAC_APPLY_CMD=RBAC_IMPORT)
    assert code == 0, said
    assert "problem" not in said
    assert "rights that the workflow needs are granted" in said
    assert "Everest enforces no RBAC" in said


async def test_what_is_missing_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Programs, the kubeconfig, the cluster: exit code 1, a code, a message and a hint each."""
    async with simulated_everest(tmp_path) as everest:
        code, said = await check(everest, PATH="/nowhere", KUBECONFIG=str(tmp_path))
        assert code == 1
        for words in ("everestctl_missing", "kubectl_missing", "kubeconfig_missing", "is a folder, not a file"):
            assert words in said
        await everest.set_faults(unreachable=True)
        code, said = await check(everest)
        assert code == 1
        assert "cluster_unreachable" in said
    assert said.count("hint:") >= 2


async def test_each_missing_right_is_named(tmp_path: Path) -> None:
    roles = tmp_path / "roles.yaml"
    roles.write_text(GRANTS_NOTHING)
    async with simulated_everest(tmp_path, roles=[roles], user="handler") as everest:
        code, said = await check(everest)
    assert code == 1
    missing = [line for line in said.splitlines() if "forbidden: this handler may not" in line]
    assert any(line.endswith("may not create namespaces") for line in missing)
    assert any("may not list jobs.batch" in line for line in missing)
    assert any("may not update configmaps everest-rbac in everest-system" in line for line in missing)
    assert not any(line.endswith("may not get namespaces") for line in missing)


@pytest.mark.parametrize("template", ["no-such-program --flag", "unbalanced 'quote"])
async def test_an_apply_command_that_cannot_run(tmp_path: Path, template: str) -> None:
    async with simulated_everest(tmp_path) as everest:
        code, said = await check(everest, EVEREST_RBAC_APPLY_CMD=template)
    assert (code, "rbac_command_failed" in said) == (1, True)


async def test_the_ready_file_is_there_while_the_handler_is_ready(tmp_path: Path) -> None:
    """Made when everything was found well, gone when the handler has stopped."""
    file = tmp_path / "ready"
    async with open_house(tmp_path / "house") as house:
        async with house.handler(READY_FILE=str(file)) as handler:
            await handler.wait_for_event("handler.ready")
            assert file.exists()
        assert not file.exists()
        await house.everest.set_faults(unreachable=True)
        async with house.handler(READY_FILE=str(file)) as handler:
            (line,) = await handler.wait_for_event("handler.not_ready")
            assert "cluster_unreachable" in line["error"]
            assert not file.exists()
