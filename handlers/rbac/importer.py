"""everest-rbac-import: puts a tenant's rules into Everest's RBAC policy and leaves everybody else's lines as they are.

Prints `applied` or `unchanged`, then whether Everest enforces the policy at all. When it cannot do its work it writes
nothing and exits with 1; stderr begins with `error: <code>: <what happened>` and `hint: <what to do>`, the code from
contracts.codes.
"""

import argparse
import fcntl
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from contracts.codes import CODES, Failure
from contracts.settings import InvalidSettings
from handlers.commands.processes import ExecutableMissing, ExecutableUnusable, TimeLimitPassed, run
from handlers.rbac.policy import (
    InvalidPolicy,
    Merge,
    Rule,
    check_rules,
    find_odd_actions,
    merge,
    parse_rules,
    read_wanted,
)
from handlers.settings import ImportSettings, read_import_environment
from handlers.tools.kubeconfig import check_kubeconfig

MAX_CONFIGMAP_BYTES = 1_048_576  # of all values together; the API server refuses more

_NAMESPACE, _NAME, _KEY = "everest-system", "everest-rbac", "policy.csv"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# What everestctl takes for its flags; a value that is no boolean makes it ignore KUBECONFIG too (commands/root.go).
_MISREAD_VARIABLES = ("VERBOSE", "JSON", "PRETTY")
_MARGIN_PART = 0.1  # of SUBPROCESS_TIMEOUT, so that the import says why before the handler ends it
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_ROUNDS_SPARED = 3  # the next round may take so much longer than this one
_MOST_WARNINGS = 5
_UNENFORCED = 'Everest enforces no RBAC yet (`enabled` of everest-rbac is not "true"): everybody may do everything.'


class Refused(Exception):
    """The import ends here, and nothing was written by it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Stored:
    """The ConfigMap as it was read, and the policy in it."""

    configmap: dict[str, Any]
    policy: str
    rules: tuple[Rule, ...]

    @property
    def is_enforced(self) -> bool:
        """Exactly as Everest compares it."""
        return bool(self.configmap["data"].get("enabled") == "true")

    def with_policy(self, policy: str) -> dict[str, Any]:
        """What to write. A last-applied annotation would hold the policy a second time, and has a limit of its own."""
        metadata = dict(self.configmap["metadata"])
        annotations = metadata.get("annotations") or {}
        metadata["annotations"] = {name: value for name, value in annotations.items() if name != _LAST_APPLIED}
        return self.configmap | {"metadata": metadata, "data": self.configmap["data"] | {_KEY: policy}}


def main() -> int:
    """The console script. Gives the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by an exception, so that temporary files go
    arguments = _read_arguments()
    try:
        settings, variables = read_import_environment()
        with_limit = arguments.timeout or settings.subprocess_timeout * (1 - _MARGIN_PART)
        tools = Tools(variables, time.monotonic() + with_limit)
        return _import(arguments, settings, tools)
    except InvalidSettings as error:
        return _say_refused(Failure("command_failed", str(error), "Mend the environment variable."))
    except Refused as error:
        return _say_refused(error.failure)
    except KeyboardInterrupt:
        return 130


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="everest-rbac-import", description=(__doc__ or "").partition("\n")[0])
    limit_help = "end after so long (default: nine tenths of SUBPROCESS_TIMEOUT)"
    parser.add_argument("--file", required=True, metavar="POLICY.CSV", help="the rules of one or more roles")
    parser.add_argument("--dry-run", action="store_true", help="print what would change, and write nothing")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help=limit_help)
    return parser.parse_args()


def seconds(text: str) -> float:
    """argparse shows the name: `invalid seconds value`."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def _import(arguments: argparse.Namespace, settings: ImportSettings, tools: "Tools") -> int:
    wanted = _read_file(arguments.file)
    try:
        read_wanted(wanted)
    except InvalidPolicy as error:
        raise Refused(Failure("policy_invalid", f"{arguments.file}: {error}")) from None
    if failure := check_kubeconfig(settings.kubeconfig):
        raise Refused(failure)
    if arguments.dry_run:
        return _say_diff(*prepare(tools, wanted))
    with one_at_a_time(tools.ends_at):
        stored, merged = apply(tools, wanted)
    return _say_done(stored, merged)


def apply(tools: "Tools", wanted: str) -> tuple[Stored, Merge]:
    """Merges and writes, again from the start when somebody else wrote meanwhile, until the time is over."""
    tries = 0
    while True:
        begun_with = tools.seconds_left
        stored, merged = prepare(tools, wanted)
        if not merged.changed or tools.replace(stored.with_policy(merged.text)):
            return stored, merged
        tries += 1
        longest = min(_FIRST_PAUSE_SECONDS * 2**tries, _LONGEST_PAUSE_SECONDS)
        # A round that the time limit cuts would end in doubt: what was written is not known then.
        if tools.seconds_left <= longest + _ROUNDS_SPARED * (begun_with - tools.seconds_left):
            raise Refused(Failure("conflict", f"Others changed {_NAME} each of the {tries} times that it was written."))
        time.sleep(random.uniform(_FIRST_PAUSE_SECONDS / 2, longest))


def prepare(tools: "Tools", wanted: str) -> tuple[Stored, Merge]:
    """What is stored, and what would be: valid, and small enough. An invalid policy ends the Everest server."""
    stored = _read_stored(tools.read_configmap())
    try:
        merged = merge(stored.policy, wanted)
        check_rules(parse_rules(merged.text))
    except InvalidPolicy as error:
        raise Refused(Failure("policy_invalid", str(error))) from None
    if complaint := tools.validate(merged.text):
        raise Refused(_blame(tools, complaint, stored, merged, wanted))
    if merged.changed:
        _check_size(stored.with_policy(merged.text))
    return stored, merged


def _read_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read(MAX_CONFIGMAP_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Refused(Failure("policy_invalid", f"{path} cannot be read: {reason}")) from None
    if len(text) > MAX_CONFIGMAP_BYTES:
        raise Refused(Failure("policy_too_large", f"{path} is larger than a ConfigMap can be."))
    return text


def _read_stored(configmap: dict[str, Any]) -> Stored:
    """Raises Refused where there is no policy to merge with: absence is never taken for an empty one."""
    policy = (configmap.get("data") or {}).get(_KEY)
    if not isinstance(policy, str):
        reason = f"ConfigMap {_NAME} has no key {_KEY}."
        hint = (
            f"Everest cannot start without it: add it to {_NAME} in {_NAMESPACE}, with the line `g, admin, role:admin`."
        )
        raise Refused(Failure("stored_policy_invalid", reason, hint))
    if not configmap.get("metadata", {}).get("resourceVersion"):
        raise Refused(Failure("command_failed", f"ConfigMap {_NAME} came without its resourceVersion."))
    try:
        rules = parse_rules(policy)
        check_rules(rules)
    except InvalidPolicy as error:
        raise Refused(Failure("stored_policy_invalid", f"The stored policy is invalid: {error}.")) from None
    return Stored(configmap, policy, rules)


def _blame(tools: "Tools", complaint: str, stored: Stored, merged: Merge, wanted: str) -> Failure:
    """Which of the two policies everestctl complains of, and in which line."""
    of_stored = complaint if not merged.changed else tools.validate(stored.policy)
    if of_stored:
        return Failure("stored_policy_invalid", f"The stored policy is invalid: {_locate(of_stored, stored.rules)}.")
    return Failure("policy_invalid", f"The policy is invalid: {_locate(complaint, parse_rules(wanted))}.")


def _locate(complaint: str, rules: tuple[Rule, ...]) -> str:
    """The complaint with the line of the word that it quotes."""
    quoted = complaint.split("'")[1::2]
    line = next((rule.line for rule in rules if not set(quoted).isdisjoint(rule.fields)), None)
    return f"line {line}: {complaint}" if line else complaint


def _check_size(configmap: dict[str, Any]) -> None:
    size = sum(len(value.encode()) for value in configmap["data"].values())
    size += sum(len(value) * 3 // 4 for value in (configmap.get("binaryData") or {}).values())
    if size > MAX_CONFIGMAP_BYTES:
        raise Refused(Failure("policy_too_large", f"The ConfigMap {_NAME} would have {size:,} bytes."))


class Tools:
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
        code, stdout, stderr = self._run("kubectl", "get", "configmap", _NAME, "-n", _NAMESPACE, "-o", "json")
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
        with tempfile.TemporaryDirectory(prefix="everest-rbac-import-") as folder:  # mode 0700
            path = os.path.join(folder, _KEY)
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(policy)
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


def _explain(command: str, code: int, stderr: str) -> Failure:
    from handlers.tools.failures import (  # only now: it takes longer to import than all of this module
        classify,
        find_reason,
    )

    known = classify(stderr)
    if known is not None and known.code != "quota_rejected":  # whose words are of any invalid object
        return known
    reason = find_reason(stderr) or f"exit code {code}, and nothing on stderr"
    return Failure("command_failed", f"`{command}` failed: {reason}")


@contextmanager
def one_at_a_time(ends_at: float) -> Iterator[None]:
    """Waits for the other imports of this user on this machine. Raises Refused when the time is over.

    It only saves conflicts, which cost more than waiting; what keeps a line from being lost is the resourceVersion.
    So where no lock can be had the import goes on without.
    """
    try:
        path = os.path.join(tempfile.gettempdir(), f"everest-rbac-import-{os.getuid()}.lock")
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        _wait_for(lock, ends_at - time.monotonic())
        yield
    finally:
        os.close(lock)


def _wait_for(lock: int, seconds: float) -> None:
    """The kernel wakes the waiters in their order; an alarm ends the wait."""

    def end(*_: object) -> None:
        raise Refused(Failure("timed_out", f"Other imports held the lock for {seconds:.0f} s."))

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _say_done(stored: Stored, merged: Merge) -> int:
    print("applied" if merged.changed else "unchanged")
    _say_enforced(stored)
    for rule in find_odd_actions(parse_rules(merged.text))[:_MOST_WARNINGS]:
        print(f"warning: line {rule.line} of the policy has the unknown action '{rule.fields[2]}' and grants nothing.")
    return 0


def _say_diff(stored: Stored, merged: Merge) -> int:
    import difflib

    before, after = (text.splitlines(keepends=True) for text in (stored.policy, merged.text))
    for line in difflib.unified_diff(before, after, "stored", "merged"):
        print(line, end="" if line.endswith("\n") else "\n\\ No newline at end of file\n")
    _say_enforced(stored)
    return 0


def _say_enforced(stored: Stored) -> None:
    print(f"rbac_enforced={str(stored.is_enforced).lower()}")
    if not stored.is_enforced:
        print(_UNENFORCED)


def _say_refused(failure: Failure) -> int:
    """Each on a line of its own, whatever the message holds: the handler reads them."""
    print(f"error: {failure.code}: {' '.join(failure.message.split())}", file=sys.stderr)
    print(f"hint: {' '.join((failure.hint or CODES[failure.code].hint).split())}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
