"""everest-rbac-import: puts a tenant's rules into Everest's RBAC policy and leaves everybody else's lines as they are.

Nothing is taken out of the policy but the rules that `--withdraw` names, in the same write. `--suspend` makes comments
of a tenant's rules, and `--resume` makes rules of these comments again, byte for byte. Prints `applied` or
`unchanged`, then whether Everest enforces the policy at all. When it cannot do its work it writes nothing and exits
with 1, or with 75 when all it did was to wait for other imports; stderr begins with `error: <code>: <what happened>`
and `hint: <what to do>`, the code from contracts.codes.
"""

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contracts.codes import CODES, Failure
from handlers.rbac.enforcer import find_malformed
from handlers.rbac.import_commands import ImportCommands, Refused
from handlers.rbac.import_lock import WAITED, Busy, one_at_a_time
from handlers.rbac.import_settings import ImportSettings, InvalidSetting, read_import_environment
from handlers.rbac.policy import (
    ADMIN_RULE,
    Edit,
    InvalidPolicy,
    Rule,
    edit,
    find_odd_actions,
    parse_rules,
    read_rules,
    read_wanted,
    resume,
    suspend,
)
from handlers.rbac.stored_policy import KEY, NAME, NAMESPACE, NoPolicy, StoredPolicy
from handlers.tools.kubeconfig import check_kubeconfig

MAX_CONFIGMAP_BYTES = 1_048_576  # of all values together; the API server refuses more

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MARGIN_PART = 0.1  # of SUBPROCESS_TIMEOUT, so that the import says why before the handler ends it
_LOCK_PART = 0.1  # of the time limit, for waiting: the rest must do for the work
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_ROUNDS_SPARED = 3  # the next round may take so much longer than this one
_MOST_WARNINGS = 5
_UNENFORCED = 'Everest enforces no RBAC yet (`enabled` of everest-rbac is not "true"): everybody may do everything.'


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be put in, taken out, made a comment, or a rule again, as policies: of the last two at most one."""

    wanted: str
    withdrawn: str
    suspended: str = ""
    resumed: str = ""

    def edit(self, stored: str) -> Edit:
        """Raises InvalidPolicy."""
        if self.suspended:
            return suspend(stored, self.suspended)
        if self.resumed:
            return resume(stored, self.resumed, self.withdrawn)
        return edit(stored, self.wanted, self.withdrawn)


@dataclass(frozen=True, slots=True)
class Stored:
    """The ConfigMap as it was read, and the policy in it."""

    configmap: dict[str, Any]
    policy: StoredPolicy

    def with_policy(self, policy: str) -> dict[str, Any]:
        """What to write. A last-applied annotation would hold the policy a second time, and has a limit of its own."""
        metadata = dict(self.configmap["metadata"])
        annotations = metadata.get("annotations") or {}
        metadata["annotations"] = {name: value for name, value in annotations.items() if name != _LAST_APPLIED}
        return self.configmap | {"metadata": metadata, "data": self.configmap["data"] | {KEY: policy}}


def main() -> int:
    """The console script. Gives the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by an exception, so that temporary files go
    arguments = _read_arguments()
    try:
        settings, variables = read_import_environment()
        limit_seconds = arguments.timeout or settings.subprocess_timeout * (1 - _MARGIN_PART)
        commands = ImportCommands(variables, time.monotonic() + limit_seconds)
        return _import(arguments, settings, commands)
    except Busy as error:
        _say_refused(Failure("conflict", str(error), "Nothing was tried. Import again when they have ended."))
        return WAITED
    except InvalidSetting as error:
        return _say_refused(Failure("command_failed", str(error), "Mend the environment variable."))
    except Refused as error:
        return _say_refused(error.failure)
    except KeyboardInterrupt:
        return 130


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="everest-rbac-import", description=(__doc__ or "").partition("\n")[0])
    limit_help = "end after so long (default: nine tenths of SUBPROCESS_TIMEOUT)"
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--file", metavar="POLICY.CSV", help="rules to put in, of one or more roles")
    what.add_argument("--suspend", metavar="POLICY.CSV", help="rules to make comments of, however they are spelt")
    what.add_argument("--resume", metavar="POLICY.CSV", help="rules to bring back from such comments")
    parser.add_argument("--withdraw", metavar="POLICY.CSV", help="rules to take out, however they are spelt")
    parser.add_argument("--dry-run", action="store_true", help="print what would change, and write nothing")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help=limit_help)
    arguments = parser.parse_args()
    if arguments.suspend and arguments.withdraw:
        parser.error("argument --withdraw: not allowed with argument --suspend")
    if not any((arguments.file, arguments.withdraw, arguments.suspend, arguments.resume)):
        parser.error("--file, --withdraw, --suspend or --resume is needed")
    return arguments


def seconds(text: str) -> float:
    """argparse shows the name: `invalid seconds value`."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def _import(arguments: argparse.Namespace, settings: ImportSettings, commands: ImportCommands) -> int:
    asked = _read_asked(arguments)
    if failure := check_kubeconfig(settings.kubeconfig):
        raise Refused(failure)
    if arguments.dry_run:
        return _say_diff(*prepare(commands, asked))
    with one_at_a_time(settings.kubeconfig, commands.seconds_left * _LOCK_PART):
        stored, edited = apply(commands, asked)
    return _say_done(stored, edited)


def _read_asked(arguments: argparse.Namespace) -> Asked:
    wanted = _read_rules(arguments.file, read_wanted, may_be_empty=arguments.withdraw is not None)
    withdrawn = _read_rules(arguments.withdraw, parse_rules, may_be_empty=True)
    return Asked(wanted, withdrawn, *(_read_rules(path, parse_rules) for path in (arguments.suspend, arguments.resume)))


def _read_rules(path: str | None, read: Callable[[str], tuple[Rule, ...]], *, may_be_empty: bool = False) -> str:
    """The text of a policy that can be read. Nothing where no file is given. Raises Refused."""
    if not path:
        return ""
    text = _read_file(path)
    try:
        rules = read(text)
    except InvalidPolicy as error:
        raise Refused(Failure("policy_invalid", f"{path}: {error}")) from None
    if not rules and not may_be_empty:
        raise Refused(Failure("policy_invalid", f"{path}: the policy holds no rule"))
    return text


def apply(commands: ImportCommands, asked: Asked) -> tuple[Stored, Edit]:
    """Edits and writes, again from the start when somebody else wrote meanwhile, until the time is over."""
    tries = 0
    while True:
        begun_with = commands.seconds_left
        stored, edited = prepare(commands, asked)
        if not edited.changed or commands.replace(stored.with_policy(edited.text)):
            return stored, edited
        tries += 1
        longest = min(_FIRST_PAUSE_SECONDS * 2**tries, _LONGEST_PAUSE_SECONDS)
        # A round that the time limit cuts would end in doubt: what was written is not known then.
        if commands.seconds_left <= longest + _ROUNDS_SPARED * (begun_with - commands.seconds_left):
            raise Refused(Failure("conflict", f"Others changed {NAME} each of the {tries} times that it was written."))
        time.sleep(random.uniform(_FIRST_PAUSE_SECONDS / 2, longest))


def prepare(commands: ImportCommands, asked: Asked) -> tuple[Stored, Edit]:
    """What is stored, and what would be: valid, and small enough. An invalid policy ends the Everest server."""
    stored = _read_stored(commands)
    try:
        edited = asked.edit(stored.policy.text)
    except InvalidPolicy as error:
        raise Refused(Failure("policy_invalid", str(error))) from None
    if complaint := commands.validate(edited.text):
        raise Refused(_blame(commands, complaint, stored.policy, edited, asked.wanted or edited.text))
    if edited.changed:
        _check_size(stored.with_policy(edited.text))
    return stored, edited


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


def _read_stored(commands: ImportCommands) -> Stored:
    """Raises Refused where there is no policy to edit: absence is never taken for an empty one."""
    try:
        configmap = commands.read_configmap()
        policy = StoredPolicy.of(configmap)
    except NoPolicy as error:
        hint = f"Everest cannot start without it: add it to {NAME} in {NAMESPACE}, with the line `{ADMIN_RULE}`."
        raise Refused(Failure("stored_policy_invalid", str(error), hint)) from None
    if not configmap.get("metadata", {}).get("resourceVersion"):
        raise Refused(Failure("command_failed", f"ConfigMap {NAME} came without its resourceVersion."))
    return Stored(configmap, policy)


def _blame(commands: ImportCommands, complaint: str, stored: StoredPolicy, edited: Edit, wanted: str) -> Failure:
    """Which of the two policies everestctl complains of, and in which line."""
    of_stored = complaint if not edited.changed else commands.validate(stored.text)
    if of_stored:
        reason = str(stored.fault) if stored.fault else _locate(of_stored, stored.text)
        return Failure("stored_policy_invalid", f"The stored policy is invalid: {reason}.")
    return Failure("policy_invalid", f"The policy is invalid: {_locate(complaint, wanted)}.")


def _locate(complaint: str, text: str) -> str:
    """The complaint with the line of the word that it quotes."""
    quoted = complaint.split("'")[1::2]
    line = next((rule.line for rule in read_rules(text).rules if not set(quoted).isdisjoint(rule.fields)), None)
    return f"line {line}: {complaint}" if line else complaint


def _check_size(configmap: dict[str, Any]) -> None:
    size = sum(len(value.encode()) for value in configmap["data"].values())
    size += sum(len(value) * 3 // 4 for value in (configmap.get("binaryData") or {}).values())
    if size > MAX_CONFIGMAP_BYTES:
        raise Refused(Failure("policy_too_large", f"The ConfigMap {NAME} would have {size:,} bytes."))


def _say_done(stored: Stored, edited: Edit) -> int:
    print("applied" if edited.changed else "unchanged")
    _say_enforced(stored.policy)
    rules = read_rules(edited.text).rules
    for rule in find_odd_actions(rules)[:_MOST_WARNINGS]:
        print(f"warning: line {rule.line} of the policy has the unknown action '{rule.fields[2]}' and grants nothing.")
    for rule in find_malformed(rules)[:_MOST_WARNINGS]:
        print(f"warning: line {rule.line} of the policy has a pattern that Everest cannot match: {rule.shown}")
    return 0


def _say_diff(stored: Stored, edited: Edit) -> int:
    from handlers.rbac.differences import diff

    print(diff(stored.policy.text, edited.text), end="")
    _say_enforced(stored.policy)
    return 0


def _say_enforced(policy: StoredPolicy) -> None:
    print(f"rbac_enforced={str(policy.is_enforced).lower()}")
    if not policy.is_enforced:
        print(_UNENFORCED)


def _say_refused(failure: Failure) -> int:
    """Each on a line of its own, whatever the message holds: the handler reads them."""
    print(f"error: {failure.code}: {' '.join(failure.message.split())}", file=sys.stderr)
    print(f"hint: {' '.join((failure.hint or CODES[failure.code].hint).split())}", file=sys.stderr)
    return 1
