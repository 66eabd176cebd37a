"""The step apply_rbac_policy: the tenant's role, handed to the configured command in a private file."""

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from contracts.codes import CODES, Failure, Nature
from contracts.records import Outcome
from contracts.requests import BootstrapRequest
from handlers.commands.outputs import clean
from handlers.commands.running import Command, Completed
from handlers.rbac.policy import InvalidPolicy, Rule, parse_rules
from handlers.results import StepFailed, StepResult
from handlers.tools.failures import explain, find_reason
from handlers.tools.kubectl import Kubectl
from handlers.workflow import StepContext

_RIGHTS = (
    ("namespaces", "read", "{namespace}"),
    ("database-engines", "read", "{namespace}/*"),
    ("database-clusters", "read", "{namespace}/*"),
    ("database-clusters", "update", "{namespace}/*"),
    ("database-clusters", "create", "{namespace}/*"),
    ("database-clusters", "delete", "{namespace}/*"),
    ("database-cluster-credentials", "read", "{namespace}/*"),
)
_OF_STEPS = (Nature.PERMANENT, Nature.TRANSIENT, Nature.INFRASTRUCTURE)
_UNSET = "EVEREST_RBAC_APPLY_CMD is not set: no role was bound. everest-rbac-import is the recommended command."
UNENFORCED = 'Everest enforces no RBAC (`enabled` of everest-rbac is not "true"): everybody may do everything.'


async def ensure_access(context: StepContext) -> StepResult:
    template = (context.settings.everest_rbac_apply_cmd or "").strip()
    if not template:
        return StepResult(Outcome.SKIPPED, None, (_UNSET,), rbac_applied=False)
    with _private_file(render_policy(context.request)) as path:
        argv = _resolve(template, path)
        limit_seconds = context.settings.subprocess_timeout
        completed = await context.run(Command(argv, time_limit_seconds=limit_seconds, changes=True))
    if completed.exit_code != 0:
        raise StepFailed(_explain(completed), completed)
    enforced = _read_enforced(completed)
    warnings = (UNENFORCED,) if enforced is False else ()
    return StepResult(Outcome.APPLIED, completed, warnings, rbac_applied=True, rbac_enforced=enforced)


def render_policy(request: BootstrapRequest) -> str:
    """Casbin's lines, as Everest reads them."""
    role = f"role:{request.username}"
    lines = [f"p, {role}, {what}, {may}, {on.format(namespace=request.namespace)}" for what, may, on in _RIGHTS]
    return "\n".join([*lines, f"g, {request.username}, {role}", ""])


async def find_subjects_with_access(kubectl: Kubectl, request: BootstrapRequest) -> list[str]:
    """Roles and users to whom everest-rbac gives rights in the namespace, but for the tenant and the administrator.

    Raises StepFailed.
    """
    found = await kubectl.get("configmap", "everest-rbac", "everest-system")
    try:
        rules = parse_rules(((found or {}).get("data") or {}).get("policy.csv", ""))
    except InvalidPolicy as error:
        raise StepFailed(Failure("stored_policy_invalid", f"The stored policy is invalid: {error}.")) from None
    expected = {f"{prefix}{name}" for prefix in ("", "role:") for name in (request.username, "admin")}
    return sorted(_find_subjects(rules, request.namespace) - expected)


def _find_subjects(rules: Iterable[Rule], namespace: str) -> set[str]:
    rules = tuple(rules)
    subjects = {rule.subject for rule in rules if rule.kind == "p" and _reaches(rule, namespace)}
    return subjects | {rule.subject for rule in rules if rule.kind == "g" and rule.fields[1] in subjects}


def _reaches(rule: Rule, namespace: str) -> bool:
    """Whether its object is the namespace or in it. A pattern's `*` ends at the `/` (doublestar, as in Everest)."""
    what, pattern = rule.fields[1], rule.fields[3]
    first, slash, _ = pattern.partition("/")
    if not slash and not fnmatchcase("namespaces", what):
        return False  # objects of other kinds are in a namespace, or in none
    return fnmatchcase(namespace, first)


@contextmanager
def _private_file(policy: str) -> Iterator[Path]:
    """Nobody else may read it, and it is gone afterwards, also when the step is cut."""
    folder = Path(tempfile.mkdtemp(prefix="everest-bootstrap-"))  # mode 0700
    path = folder / "policy.csv"
    try:
        with open(path, "x", opener=_open_private) as file:
            file.write(policy)
        yield path
    finally:
        try:
            path.unlink()
            folder.rmdir()
        except OSError:  # never written, or the command left something beside it
            shutil.rmtree(folder, ignore_errors=True)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _resolve(template: str, path: Path) -> tuple[str, ...]:
    """Split as a shell would, and run without one."""
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise StepFailed(Failure("rbac_command_failed", f"EVEREST_RBAC_APPLY_CMD cannot be split: {error}")) from None
    if any("{file}" in word for word in words):
        return tuple(word.replace("{file}", str(path)) for word in words)
    return (*words, "--file", str(path))


def _read_enforced(completed: Completed) -> bool | None:
    """What everest-rbac-import says; None from a command that does not tell."""
    said = completed.stdout.decode(errors="replace").splitlines()
    return True if "rbac_enforced=true" in said else False if "rbac_enforced=false" in said else None


def _explain(completed: Completed) -> Failure:
    """everest-rbac-import names the code; of another command only outages and conflicts are known for sure."""
    stderr = clean(completed.stderr)
    word, _, rest = stderr.partition(": ")
    code, _, message = rest.partition(": ")
    if word == "error" and code in CODES and CODES[code].nature in _OF_STEPS:
        reason, _, hint = message.partition("\nhint: ")
        return Failure(code, reason.strip(), hint.strip().partition("\n")[0])
    known = explain(completed)
    if known.nature in (Nature.INFRASTRUCTURE, Nature.TRANSIENT):
        return known
    reason = find_reason(stderr) or f"exit code {completed.exit_code}"
    return Failure("rbac_command_failed", f"`{completed.command}` failed: {reason}")
