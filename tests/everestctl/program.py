"""A run from its command line to its exit code, with what signals do to it."""

import os
import signal
import sys
from typing import NoReturn

from tests.everestctl import arguments as command_line
from tests.everestctl.commands import find_command
from tests.everestctl.context import Context
from tests.everestctl.errors import ApiError, Failed, Usage
from tests.everestctl.output import Console
from tests.everestctl.usage import with_global_flags
from tests.everestctl.version import DEFAULT, Version

_PANIC = "panic: runtime error: invalid memory address or nil pointer dereference"


def run() -> NoReturn:
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # no TextIO is known to have it
    sys.stderr.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        return _run(arguments)
    except Usage as error:
        sys.stderr.write(f"Error: {error}\n{with_global_flags(error.usage)}{error}\n")
        return 1


def _run(arguments: list[str]) -> int:
    """Raises Usage."""
    version = Version(os.environ.get("EVERESTCTL_VERSION") or DEFAULT)
    path, command = find_command(command_line.leading_words(arguments), arguments, version.has_status)
    line = command_line.parse(path, command, arguments)
    context = Context(_open_console(arguments, line.flags), _find_kubeconfig(line.flags), arguments)
    context.report()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: _stop(context, signal.Signals(number)))
    context.obey_faults()
    try:
        return command.run(context, line.flags, *line.positional) or 0
    except (Failed, ApiError) as error:
        context.console.fail(str(error))
        return 1
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        # What is in the cluster is not what it has to be: the real one dereferences nil then.
        sys.stderr.write(f"{_PANIC}\n[signal SIGSEGV: segmentation violation]\n\ngoroutine 1 [running]:\n")
        return 2


def _open_console(arguments: list[str], flags: command_line.Flags) -> Console:
    """Even `--json=false` switches pretty output off."""
    is_json = any(word == "--json" or word.startswith("--json=") for word in arguments)
    is_verbose = any(word in ("-v", "--verbose") or word.startswith("--verbose=") for word in arguments)
    return Console(not (is_json or is_verbose), flags["json"])


def _find_kubeconfig(flags: command_line.Flags) -> str:
    path = flags["kubeconfig"] or os.environ.get("KUBECONFIG")
    return str(path or os.path.join(os.environ.get("HOME", ""), ".kube/config"))


def _stop(context: Context, number: signal.Signals) -> NoReturn:
    """SIGTERM while a spinner runs quits with 0, although nothing has ended; SIGINT with 1."""
    if context.spinner is not None and context.spinner.is_open:
        context.spinner.quit()
        if number == signal.SIGINT:
            context.console.fail("program was killed: program was interrupted")
    elif not context.console.is_json or context.spinner is None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if number == signal.SIGTERM else 1)
