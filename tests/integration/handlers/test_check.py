"""`python -m handlers --check`, and the file by which a probe knows a ready handler."""

import sys
from pathlib import Path

import pytest

from tests.simulator import SimulatedEverest, simulated_everest
from tests.support.forks import run_fork
from tests.support.handlers import RBAC_IMPORT, open_service
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


# What is asked outside of the cluster is refused at once: tests depend on nobody.
NOBODY = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "", "NO_PROXY": ""}


async def check(everest: SimulatedEverest, *around: str, **variables: str) -> tuple[int, str]:
    """`around` are words in front of the command."""
    variables = {"PYTHONPATH": str(ROOT), **NOBODY, **variables}
    if around:
        code, stdout, stderr = await everest.run(*around, *CHECK, **variables)
        assert stderr == ""
        return code, stdout
    ended = await run_fork("handlers", "--check", environment={**everest.variables, **variables})
    assert ended.stderr == ""
    return ended.code, ended.stdout


async def test_all_is_well(tmp_path: Path) -> None:
    async with simulated_everest(tmp_path) as everest:
        enough = {"EVEREST_DEFAULT_RESOURCES": "disk_gb=25"}
        code, said = await check(everest, EVEREST_RBAC_APPLY_CMD=RBAC_IMPORT, **enough)
    assert code == 0, said
    assert "the quota of a request that names no resources holds Everest's smallest preset" in said
    assert "problem" not in said
    assert "rights that the workflow needs are granted" in said
    assert "Everest enforces no RBAC" in said
    assert "everestctl is v1.10.0, Everest is v1.10.0" in said
    assert "warning  the version service https://check.percona.com cannot be reached from here: " in said
    assert "warning  the chart repository https://percona.github.io/percona-helm-charts/ cannot be reached" in said


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
        assert "warning  where a request names no resources: The quota is below Everest's smallest preset" in said
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


async def test_a_chart_in_the_cache_is_asked_for_nowhere(tmp_path: Path) -> None:
    cached = tmp_path / "cache" / "everestctl" / "everest-db-namespace-1.16.1.tgz"
    cached.parent.mkdir(parents=True)
    cached.touch()
    async with simulated_everest(tmp_path, version="1.16.1") as everest:
        code, said = await check(everest, EVEREST_RBAC_APPLY_CMD=RBAC_IMPORT, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert (code, f"ok       the chart is in the cache: {cached}" in said) == (0, True), said


@pytest.mark.parametrize(
    ("client", "code", "words"),
    [
        ("1.10.0", 0, "warning  unsupported_version: everestctl v1.10.0 cannot install operators for Everest v1.16.1"),
        ("1.15.2", 0, "warning  everestctl is v1.15.2 and Everest is v1.16.1: use the same minor version."),
        ("2.0.0-dev.1", 1, "problem  unsupported_version: everestctl is v2.0.0-dev.1; 1.x is supported."),
    ],
)
async def test_what_the_versions_allow_is_said(tmp_path: Path, client: str, code: int, words: str) -> None:
    async with simulated_everest(tmp_path, version="1.16.1", cli_version=client) as everest:
        ended, said = await check(everest, EVEREST_RBAC_APPLY_CMD=RBAC_IMPORT)
    assert (ended, words in said) == (code, True), said
    assert ("EVERESTCTL_VERSION=1.16.1" in said) == (client == "1.10.0")


@pytest.mark.parametrize(
    ("user", "hint"),
    [
        ("auth-provider: {name: gcp}", "Make it anew: gcloud container clusters get-credentials CLUSTER"),
        ("client-certificate: /home/x/client.crt", "kubectl config view --flatten --minify --raw"),
        (
            "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: sh, args: [-c, echo hello]}",
            "kubectl config set-credentials $(kubectl config view --minify",
        ),
    ],
)
async def test_a_kubeconfig_of_the_wild_is_named_with_what_mends_it(tmp_path: Path, user: str, hint: str) -> None:
    """Also one that only a command can find out; never by a step's output, because there is no step."""
    path = tmp_path / "wild"
    async with simulated_everest(tmp_path) as everest:
        server = everest.server.replace("http:", "https:")
        path.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
            f"clusters: [{{name: k, cluster: {{server: '{server}'}}}}]\n"
            f"contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nusers:\n- name: u\n  user:\n    {user}\n"
        )
        code, said = await check(everest, KUBECONFIG=str(path))
    assert (code, "problem  kubeconfig_invalid" in said, hint in said) == (1, True, True), said
    assert "stderr" not in said


async def test_a_full_temporary_folder_is_a_problem(tmp_path: Path) -> None:
    """Here no file may grow at all, which fails as a full disk does."""
    async with simulated_everest(tmp_path) as everest:
        code, said = await check(everest, "sh", "-c", 'ulimit -f 0; exec "$@"', "sh")
    assert (code, "problem  no_scratch_space: A temporary file cannot be written" in said) == (1, True), said


async def test_a_missing_namespace_for_the_credentials_is_a_problem(tmp_path: Path) -> None:
    async with simulated_everest(tmp_path) as everest:
        code, said = await check(everest, EVEREST_CREDENTIALS_NAMESPACE="nowhere")
    assert (code, "problem  credentials_namespace_missing" in said) == (1, True), said
    assert "hint: Make it: kubectl create namespace nowhere" in said


@pytest.mark.parametrize("template", ["no-such-program --flag", "unbalanced 'quote"])
async def test_an_apply_command_that_cannot_run(tmp_path: Path, template: str) -> None:
    async with simulated_everest(tmp_path) as everest:
        code, said = await check(everest, EVEREST_RBAC_APPLY_CMD=template)
    assert (code, "rbac_command_failed" in said) == (1, True)


async def test_the_ready_file_is_there_while_the_handler_is_ready(tmp_path: Path) -> None:
    """Made when everything was found well, gone when the handler has stopped."""
    file = tmp_path / "ready"
    async with open_service(tmp_path / "service") as service:
        async with service.handler(READY_FILE=str(file)) as handler:
            await handler.wait_for_event("handler.ready")
            assert file.exists()
        assert not file.exists()
        await service.everest.set_faults(unreachable=True)
        async with service.handler(READY_FILE=str(file)) as handler:
            (line,) = await handler.wait_for_event("handler.not_ready")
            assert "cluster_unreachable" in line["error"]
            assert not file.exists()


async def test_each_role_file_is_tried_at_every_version(tmp_path: Path) -> None:
    """A wrong resource makes the policy invalid, and an invalid policy ends Everest's server."""
    (tmp_path / "auditor.csv").write_text("p, {role}, database-clusters, read, {namespace}/*\n")
    async with simulated_everest(tmp_path / "cluster") as everest:
        code, said = await check(everest, EVEREST_ROLES_DIR=str(tmp_path))
        assert code == 0, said
        assert "the roles auditor, developer, owner, viewer are valid for every version up to v1.10.0" in said
        (tmp_path / "auditor.csv").write_text("p, {role}, databases, read, {namespace}/*\n")
        (tmp_path / "typo.csv").write_text("p, {role}, database-clusters, raed, {namespace}/*\n")
        (tmp_path / "other.csv").write_text("g, bob, {role}\n")
        code, said = await check(everest, EVEREST_ROLES_DIR=str(tmp_path), EVEREST_DEFAULT_ROLE="nobody")
    assert code == 1
    assert "no version of Everest known here has the resource databases" in said
    assert "typo.csv: line 1: unknown action 'raed'" in said
    assert "other.csv: line 1: a line of a role begins with" in said
    assert "EVEREST_DEFAULT_ROLE: there is no role nobody" in said
