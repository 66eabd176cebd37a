"""The preflight: can this handler do its work? `python -m handlers --check` prints it, readiness follows it."""

import shlex
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing

from contracts.codes import CODES, Failure
from handlers.bootstrap.quota import find_shortage, quota_hard
from handlers.commands.processes import find_executable
from handlers.commands.running import (
    Command,
    Commands,
    Completed,
    ExecutableMissing,
    ExecutableUnusable,
    child_environment,
)
from handlers.preflight.findings import Finding, Verdict
from handlers.preflight.reviews import find_missing
from handlers.preflight.rights import Right, needed_rights
from handlers.preflight.roles import find_roles
from handlers.preflight.scratch import check_scratch
from handlers.rbac.stored_policy import NAME, NAMESPACE, NoPolicy, StoredPolicy
from handlers.results import RunCommand, StepFailed
from handlers.settings import Environment, HandlerSettings
from handlers.tenants.credentials import explain_no_namespace
from handlers.tools.compatibility import find_difference, find_missing_charts
from handlers.tools.everestctl import Everestctl
from handlers.tools.kubeconfig import check_kubeconfig, find_kubeconfig
from handlers.tools.kubectl import Kubectl
from handlers.tools.versions import ClusterFacts


async def check(environment: Environment) -> int:
    """Prints each finding as it is made. Gives the exit code: 1 when there is a problem."""
    has_problem = False
    variables = child_environment(environment.variables)
    async with Commands(variables) as commands:
        run, facts = make_runner(commands), ClusterFacts()
        async for finding in find(environment.settings, variables, run, facts):
            print(finding, flush=True)
            has_problem |= finding.verdict is Verdict.PROBLEM
        if not has_problem:
            await _check_outside(environment.settings, variables, run, facts)
    return 1 if has_problem else 0


async def _check_outside(
    settings: HandlerSettings, variables: Mapping[str, str], run: RunCommand, facts: ClusterFacts
) -> None:
    from handlers.preflight.outside import find_outside  # an HTTP client, which no handler at work needs

    try:
        versions = await facts.read_versions(Everestctl(run, settings.subprocess_timeout))
    except StepFailed:
        return  # it was there a moment ago
    print(*await find_outside(versions, variables), sep="\n", flush=True)


async def find_problem(environment: Environment, commands: Commands) -> str | None:
    """The first problem, for readiness."""
    variables = child_environment(environment.variables)
    async with aclosing(find(environment.settings, variables, make_runner(commands), ClusterFacts())) as findings:
        async for finding in findings:
            if finding.verdict is Verdict.PROBLEM:
                return finding.message
    return None


def make_runner(commands: Commands) -> RunCommand:
    """Runs commands that work for no job, so under no lease."""

    async def run(command: Command) -> Completed:
        try:
            return await commands.run(command)
        except (ExecutableMissing, ExecutableUnusable) as error:
            code = f"{error.name}_missing"
            raise StepFailed(Failure(code if code in CODES else "command_failed", str(error))) from error

    return run


async def find(
    settings: HandlerSettings, variables: Mapping[str, str], run: RunCommand, facts: ClusterFacts
) -> AsyncGenerator[Finding]:
    """Everything that can be seen from here, until what is missing makes the rest pointless."""
    missing = list(_find_missing(settings, variables))
    for finding in missing:
        yield finding
    if any(finding.verdict is Verdict.PROBLEM for finding in missing):
        return
    kubectl = Kubectl(run, settings.subprocess_timeout)
    everestctl = Everestctl(run, settings.subprocess_timeout)
    try:
        async for finding in _find_in_cluster(settings, kubectl, everestctl, facts):
            yield finding
    except StepFailed as error:
        yield Finding.of(error.failure)


def _find_missing(settings: HandlerSettings, variables: Mapping[str, str]) -> Iterator[Finding]:
    """What needs no cluster: programs and files."""
    for name in ("everestctl", "kubectl"):
        try:
            yield Finding(Verdict.FINE, f"{name} is {find_executable(name, variables)}")
        except (ExecutableMissing, ExecutableUnusable) as error:
            yield Finding.of(Failure(f"{name}_missing", str(error)))
    if failure := check_kubeconfig(settings.kubeconfig):
        yield Finding.of(failure)
    else:
        yield Finding(Verdict.FINE, f"the kubeconfig is {find_kubeconfig(settings.kubeconfig)}")
    if failure := check_scratch():
        yield Finding.of(failure)
    yield _find_apply_command(settings.everest_rbac_apply_cmd, variables)
    yield _find_default_quota(settings)


def _find_default_quota(settings: HandlerSettings) -> Finding:
    """Of a request that names no resources: each of its jobs would be told so."""
    if shortage := find_shortage(quota_hard(settings.default_resources)):
        return Finding(Verdict.WARNING, f"where a request names no resources: {shortage}")
    return Finding(Verdict.FINE, "the quota of a request that names no resources holds Everest's smallest preset")


def _find_apply_command(template: str | None, variables: Mapping[str, str]) -> Finding:
    if not template or not template.strip():
        hint = "Set it to everest-rbac-import, or no job binds a role."
        return Finding(Verdict.WARNING, "EVEREST_RBAC_APPLY_CMD is not set", hint)
    try:
        program, *_ = shlex.split(template)
        return Finding(Verdict.FINE, f"EVEREST_RBAC_APPLY_CMD runs {find_executable(program, variables)}")
    except ValueError as error:
        reason = f"EVEREST_RBAC_APPLY_CMD cannot be split: {error}."
        return Finding.of(Failure("rbac_command_failed", reason, "Quote it as for a shell."))
    except (ExecutableMissing, ExecutableUnusable) as error:
        reason = f"EVEREST_RBAC_APPLY_CMD: {error}"
        return Finding.of(Failure("rbac_command_failed", reason, "Set it to a command that the handler can run."))


async def _find_in_cluster(
    settings: HandlerSettings, kubectl: Kubectl, everestctl: Everestctl, facts: ClusterFacts
) -> AsyncGenerator[Finding]:
    """Raises StepFailed where the cluster itself cannot be asked."""
    yield Finding(Verdict.FINE, f"the cluster takes this handler for {await facts.read_user(kubectl)}")
    looks: tuple[Callable[[], Awaitable[list[Finding]]], ...] = (
        lambda: _find_rights(settings, kubectl),
        lambda: _find_versions(everestctl, facts),
        lambda: find_roles(settings, everestctl, facts),
        lambda: _find_policy(kubectl),
        lambda: _find_credentials_namespace(settings, kubectl),
    )
    for look in looks:
        try:
            findings = await look()
        except StepFailed as error:
            findings = [Finding.of(error.failure)]
        for finding in findings:
            yield finding


async def _find_versions(everestctl: Everestctl, facts: ClusterFacts) -> list[Finding]:
    versions = await facts.read_versions(everestctl)
    if failure := find_missing_charts(versions):
        return [Finding.of(failure, Verdict.WARNING)]
    if difference := find_difference(versions):
        return [Finding(Verdict.WARNING, difference)]
    return [Finding(Verdict.FINE, f"everestctl is {versions.client}, Everest is {versions.server}")]


async def _find_rights(settings: HandlerSettings, kubectl: Kubectl) -> list[Finding]:
    """Asks for all of them in one command; names each that is missing."""
    rights = needed_rights(settings.everest_credentials_namespace, settings.everest_tenant_role)
    missing = await find_missing(kubectl, rights)
    if not missing:
        return [Finding(Verdict.FINE, f"all {len(rights)} rights that the workflow needs are granted")]
    return [_describe_missing(right) for right in missing]


def _describe_missing(right: Right) -> Finding:
    hint = f"Grant it: {right}, as our chart's roles do. {right.why}".strip()
    verdict = Verdict.WARNING if right.is_optional else Verdict.PROBLEM
    return Finding.of(Failure("forbidden", f"this handler may not {right}", hint), verdict)


async def _find_policy(kubectl: Kubectl) -> list[Finding]:
    try:
        stored = StoredPolicy.of(await kubectl.get("configmap", NAME, NAMESPACE))
    except NoPolicy as error:
        return [Finding.of(Failure("everest_not_installed", str(error)))]
    if stored.fault:
        return [Finding.of(Failure("stored_policy_invalid", f"The stored policy is invalid: {stored.fault}."))]
    if stored.is_enforced:
        return [Finding(Verdict.FINE, "Everest enforces RBAC")]
    hint = 'Set `enabled` of the ConfigMap everest-rbac to "true" when the tenants\' roles are bound.'
    return [Finding(Verdict.WARNING, "Everest enforces no RBAC: everybody may do everything", hint)]


async def _find_credentials_namespace(settings: HandlerSettings, kubectl: Kubectl) -> list[Finding]:
    name = settings.everest_credentials_namespace
    if await kubectl.get("ns", name) is None:
        return [Finding.of(explain_no_namespace(name))]
    return [Finding(Verdict.FINE, f"credentials are kept in namespace {name}")]
