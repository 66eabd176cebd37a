"""The commands of everest-rbac-import: they need no running handler, and each has what is left of one time limit."""

import json
import os
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from contracts.codes import Failure
from handlers.commands.processes import ExecutableMissing, ExecutableUnusable, TimeLimitPassed, run
from handlers.rbac.stored_policy import KEY, NAME, NAMESPACE, NoPolicy

# What everestctl takes for its flags; a value that is no boolean makes it ignore KUBECONFIG too (commands/root.go).
_MISREAD_VARIABLES = ("VERBOSE", "JSON", "PRETTY")


class Refused(Exception):
    """The import ends here, and nothing was written by it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ImportCommands:
    """kubectl and everestctl, within the time that is left. Every method raises Refused."""

    def __init__(self, variables: Mapping[str, str], ends_at: float) -> None:
        """`ends_at` on the monotonic clock."""
        kept = {name: value for name, value in variables.items() if name not in _MISREAD_VARIABLES}
        self._environment = kept | {"NO_COLOR": "1"}
        self.ends_at = ends_at

    @property
    def seconds_left(self) -> float:
        return self.ends_at - time.monotonic()

    def read_configmap(self) -> dict[str, Any]:
        code, stdout, stderr = self._run("kubectl", "get", "configmap", NAME, "-n", NAMESPACE, "-o", "json")
        if code != 0 and f'"{NAME}" not found' in stderr:
            raise NoPolicy(f"There is no ConfigMap {NAME}.")
        if code != 0:
            raise Refused(_explain("kubectl get", code, stderr))
        try:
            value = json.loads(stdout)
        except ValueError:  # cut, or not what was asked for: half a policy must never be written back
            value = None
        if not isinstance(value, dict):
            raise Refused(Failure("command_failed", "`kubectl get` printed no JSON object, so nothing was written."))
        return value

    def replace(self, configmap: dict[str, Any]) -> bool:
        """False when somebody wrote since it was read: the read resourceVersion is part of what is written."""
        code, _, stderr = self._run("kubectl", "replace", "-f", "-", stdin=json.dumps(configmap).encode())
        if code != 0 and "(Conflict)" not in stderr and "the object has been modified" not in stderr:
            if "Too long" in stderr:
                raise Refused(Failure("policy_too_large", "The cluster refused the policy as too long."))
            raise Refused(_explain("kubectl replace", code, stderr))
        return code == 0

    def validate(self, policy: str) -> str | None:
        """What everestctl has against the policy, None when it is valid.

        From a file: without one everestctl says of an unreachable cluster, too, that the policy is invalid.
        """
        with _temporary_folder() as folder:
            path = os.path.join(folder, KEY)
            _write(path, policy)
            code, stdout, stderr = self._run("everestctl", "settings", "rbac", "validate", "--policy-file", path)
        if "Invalid" in stdout:
            complaint = " ".join(stdout.partition("Invalid")[2].split())
            return complaint.replace("policy syntax error - ", "") or "everestctl does not say why"
        if code != 0:
            raise Refused(_explain("everestctl settings rbac validate", code, stderr))
        if "Valid" not in stdout:  # a version without the command exits with 0 as well
            reason = "`everestctl settings rbac validate` did not say whether the policy is valid."
            raise Refused(Failure("unsupported_version", reason))
        return None

    def _run(self, *argv: str, stdin: bytes = b"") -> tuple[int, str, str]:
        if self.seconds_left <= 0:
            raise Refused(Failure("timed_out", f"The time was over before `{argv[0]}` could run."))
        try:
            completed = run(argv, self._environment, stdin=stdin, time_limit_seconds=self.seconds_left)
        except (ExecutableMissing, ExecutableUnusable) as error:
            raise Refused(Failure(f"{argv[0]}_missing", str(error))) from None
        except TimeLimitPassed as error:
            doubt = " Whether the policy was written is not known; import it again." if "replace" in argv else ""
            raise Refused(Failure("timed_out", f"{error}.{doubt}")) from None
        stdout, stderr = (stream.decode(errors="replace") for stream in (completed.stdout, completed.stderr))
        return completed.returncode, stdout, stderr


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Of mode 0700. Raises Refused."""
    try:
        return tempfile.TemporaryDirectory(prefix="everest-rbac-import-")
    except OSError as error:
        raise _no_space(error) from None


def _write(path: str, text: str) -> None:
    """Raises Refused."""
    try:
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise _no_space(error) from None


def _no_space(error: OSError) -> Refused:
    return Refused(Failure("no_scratch_space", f"A temporary file cannot be written: {error.strerror or error}."))


def _explain(command: str, code: int, stderr: str) -> Failure:
    # Only now: it takes longer to import than all of this module.
    from handlers.tools.failures import classify, find_reason

    known = classify(stderr)
    if known is not None and known.code != "quota_rejected":  # whose words are of any invalid object
        return known
    reason = find_reason(stderr) or f"exit code {code}, and nothing on stderr"
    return Failure("command_failed", f"`{command}` failed: {reason}")
