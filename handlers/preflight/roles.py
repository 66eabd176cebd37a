"""The role files, tried before a job needs one: each is read, and what each version would get of it validated."""

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.codes import Failure
from handlers.preflight.findings import Finding, Verdict
from handlers.rbac.policy import render_rule
from handlers.rbac.resources import KNOWN_RESOURCES, MINOR_VERSIONS, resources_of
from handlers.rbac.roles import InvalidRole, Role, UnknownRole, list_roles, load_role
from handlers.settings import HandlerSettings
from handlers.tools.everestctl import Everestctl
from handlers.tools.versions import ClusterFacts

_HINT = "Mend the file in EVEREST_ROLES_DIR: `p, {role}, <resource>, <action>, <object>` a line."


@dataclass(frozen=True, slots=True)
class _Roles:
    """Those that could be read, and what is wrong with the others."""

    read: tuple[Role, ...]
    findings: tuple[Finding, ...]


async def find_roles(settings: HandlerSettings, everestctl: Everestctl, facts: ClusterFacts) -> list[Finding]:
    """Raises StepFailed where everestctl cannot be asked."""
    roles = _read_roles(settings.everest_roles_dir, settings.everest_default_role)
    client = (await facts.read_versions(everestctl)).client
    lines = [line for role in roles.read for line in _render_for_all_versions(role, client)]
    findings = list(roles.findings)
    if complaint := await everestctl.find_fault("\n".join(lines) + "\n"):
        findings.append(Finding.of(Failure("policy_invalid", f"A role is invalid for everestctl: {complaint}.", _HINT)))
    if findings:
        return findings
    names = ", ".join(role.name for role in roles.read)
    return [Finding(Verdict.FINE, f"the roles {names} are valid for every version up to {client}")]


def _read_roles(folder: str | None, default: str) -> _Roles:
    read, findings = [], []
    try:
        names = [*dict.fromkeys([*list_roles(folder), default])]
    except InvalidRole as error:
        return _Roles((), (Finding.of(Failure("invalid_request", str(error), "Mount the folder.")),))
    for name in names:
        try:
            role = load_role(name, folder)
        except UnknownRole as error:
            hint = "Set EVEREST_DEFAULT_ROLE to one of these."
            findings.append(Finding.of(Failure("invalid_request", f"EVEREST_DEFAULT_ROLE: {error}.", hint)))
        except InvalidRole as error:
            findings.append(Finding.of(Failure("policy_invalid", f"{error}.", _HINT)))
        else:
            read.append(role)
            findings += _find_unknown(role)
    return _Roles(tuple(read), tuple(findings))


def _find_unknown(role: Role) -> Iterator[Finding]:
    for rule in role.render("role:check", "check", KNOWN_RESOURCES).left_out:
        reason = f"role {role.name}: no version of Everest known here has the resource {rule.fields[1]}"
        yield Finding(Verdict.WARNING, reason, "The line is left out of every policy.")


def _render_for_all_versions(role: Role, client: str) -> Iterator[str]:
    """What a server of each version would get, under a name for each; newer ones than everestctl's it cannot judge."""
    for minor in MINOR_VERSIONS:
        holder = f"role:check-{role.name}-{minor}"
        rules = role.render(holder, "check", resources_of(f"1.{minor}.0", client)).rules
        yield from (rule.shown for rule in rules)
        yield render_rule("g", "check", holder)
