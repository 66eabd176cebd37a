"""everestctl behind typed verbs. What it answers is looked at, never only its exit code: some failures exit 0."""

import re

from contracts.codes import Failure
from contracts.requests import OPERATOR_NAMES
from handlers.commands.running import Command, Completed
from handlers.commands.secret import Secret
from handlers.results import RunCommand, StepFailed
from handlers.tools.compatibility import Versions, refuse_major
from handlers.tools.failures import explain

_NOT_INSTALLED = "[NOT INSTALLED]"


def read_whole(completed: Completed) -> str:
    """All that a command printed, if it succeeded. Raises StepFailed; half of an output would be a wrong answer."""
    if completed.exit_code != 0:
        raise StepFailed(explain(completed), completed)
    if completed.overflowed:
        raise StepFailed(Failure("result_too_large", f"`{completed.command}` printed more than is read."), completed)
    return completed.stdout.decode(errors="replace")


def _read_versions(completed: Completed) -> dict[str, str]:
    text = completed.stdout.decode(errors="replace")
    return dict(re.findall(r"^(Version|ServerVersion): *(.+?) *$", text, re.MULTILINE))


class Everestctl:
    def __init__(self, run: RunCommand, time_limit_seconds: float) -> None:
        self._run = run
        self._time_limit_seconds = time_limit_seconds

    async def read_versions(self) -> Versions:
        """Raises StepFailed: also for everestctl 2, whatever it says of a server that it does not find."""
        completed = await self._try("version")
        found = _read_versions(completed)
        if completed.exit_code == 0 and len(found) == 2:
            server = found["ServerVersion"]
            return Versions(found["Version"], None if server == _NOT_INSTALLED else server)
        alone = _read_versions(await self._try("version", "--client-only"))
        if failure := refuse_major("everestctl", alone.get("Version", "")):
            raise StepFailed(failure, completed)
        if completed.exit_code != 0:
            raise StepFailed(explain(completed), completed)
        # everestctl 1.4 says nothing of the server
        reason = "`everestctl version` named not both its own version and the server's."
        raise StepFailed(Failure("unsupported_version", reason), completed)

    async def list_users(self) -> frozenset[str]:
        """Raises StepFailed."""
        completed = await self._try("accounts", "list", "--columns=user", "--no-headers")
        if completed.exit_code != 0:
            raise StepFailed(explain(completed), completed)
        if completed.overflowed:
            raise StepFailed(Failure("command_failed", f"`{completed.command}` printed more than is read."), completed)
        return frozenset(completed.stdout.decode(errors="replace").split())

    async def list_accounts(self) -> Completed:
        """The table. The caller judges what came of it."""
        return await self._try("accounts", "list")

    async def list_namespaces(self) -> Completed:
        """The table. The caller judges what came of it."""
        return await self._try("namespaces", "list")

    def to_create_account(self, username: str, password: Secret) -> Command:
        """The password can be given in no other way than as an argument."""
        return self._change("accounts", "create", "-u", username, "-p", password)

    def to_set_password(self, username: str, password: Secret) -> Command:
        """Beside other writers of accounts it exits 0 with the old password back, too."""
        return self._change("accounts", "set-password", "-u", username, "--new-password", password)

    async def can(self, subject: str, action: str, resource: str, name: str) -> bool:
        """What the stored policy allows; always true while Everest enforces none. Raises StepFailed."""
        ends_flags = ("--",) if subject.startswith("-") else ()  # an OIDC `sub` may begin so
        completed = await self._try("settings", "rbac", "can", *ends_flags, subject, action, resource, name)
        answer = {"Yes": True, "No": False}.get(completed.stdout.decode(errors="replace").strip())
        if completed.exit_code != 0 or answer is None:
            raise StepFailed(explain(completed), completed)
        return answer

    async def find_fault(self, policy: str) -> str | None:
        """What everestctl has against a policy; None when it is valid. Raises StepFailed."""
        argv = ("everestctl", "settings", "rbac", "validate", "--policy-file", "/dev/stdin")
        completed = await self._run(Command(argv, policy.encode(), self._time_limit_seconds))
        said = completed.stdout.decode(errors="replace")
        if "Invalid" in said:
            return " ".join(said.partition("Invalid")[2].split()).replace("policy syntax error - ", "")
        if completed.exit_code != 0 or "Valid" not in said:
            raise StepFailed(explain(completed), completed)
        return None

    def to_add_namespace(self, name: str, operators: frozenset[str], time_limit_seconds: float) -> Command:
        """The namespace is claimed by then, so taking ownership only says that it exists."""
        return self._provision("add", name, operators, time_limit_seconds, "--take-ownership")

    def to_update_namespace(self, name: str, operators: frozenset[str], time_limit_seconds: float) -> Command:
        return self._provision("update", name, operators, time_limit_seconds)

    def to_remove_namespace(self, name: str, time_limit_seconds: float, *, keeps: bool, forces: bool) -> Command:
        """Its databases are in the way, but for `forces`; all else goes without a question, but for `keeps`."""
        flags = [*(["--keep-namespace"] if keeps else []), *(["--force"] if forces else [])]
        return self._change("namespaces", "remove", name, *flags, limit_seconds=time_limit_seconds)

    async def carry_out(self, command: Command) -> Completed:
        """Runs one of these commands. The caller judges what came of it."""
        return await self._run(command)

    def _provision(
        self, verb: str, name: str, operators: frozenset[str], time_limit_seconds: float, *more: str
    ) -> Command:
        # All three, always: one that is not named would be installed.
        flags = [f"--operator.{key.replace('_', '-')}={str(key in operators).lower()}" for key in OPERATOR_NAMES]
        return self._change("namespaces", verb, name, *flags, *more, limit_seconds=time_limit_seconds)

    def _change(self, *arguments: str | Secret, limit_seconds: float | None = None) -> Command:
        return Command(
            ("everestctl", *arguments), time_limit_seconds=limit_seconds or self._time_limit_seconds, changes=True
        )

    async def _try(self, *arguments: str | Secret) -> Completed:
        return await self._run(Command(("everestctl", *arguments), time_limit_seconds=self._time_limit_seconds))
