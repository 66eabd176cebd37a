"""A run from its command line to its exit code, with what signals do to it."""

from __future__ import annotations

import os
import sys

from tests.everestctl.arguments import leading_words, parse
from tests.everestctl.commands import find_command
from tests.everestctl.context import Context
from tests.everestctl.errors import ApiError, Failed, Usage
from tests.everestctl.output import Console
from tests.everestctl.usage import with_global_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import NoReturn
else:
    import _signal as signal  # what it is made of, without its enumerations

_PANIC = "panic: runtime error: invalid memory address or nil pointer dereference"


def run() -> NoReturn:
    """Without the interpreter's own end, which tidies up what is gone with the process."""
    try:
        code = main(sys.argv[1:])
    except SystemExit as end:
        code = int(end.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(arguments: list[str]) -> int:
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # no TextIO is known to have it
    sys.stderr.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    context = Context(_open_console(arguments), _find_kubeconfig(arguments), arguments)
    context.report()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: _stop(context, number))
    try:
        return _run(context, arguments)
    except Usage as error:
        usage = with_global_flags(error.usage, context.version.repository)
        sys.stderr.write(f"Error: {error}\n{usage}{error}\n")
        return 1


def _run(context: Context, arguments: list[str]) -> int:
    """Raises Usage."""
    path, command = find_command(leading_words(arguments), arguments, context.version.has_status)
    flags, positional = parse(path, command, arguments)
    context.obey_faults()
    try:
        return command.run(context, flags, *positional) or 0
    except (Failed, ApiError) as error:
        context.console.fail(str(error))
        return 1
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        # What is in the cluster is not what it has to be: the real one dereferences nil then.
        sys.stderr.write(f"{_PANIC}\n[signal SIGSEGV: segmentation violation]\n\ngoroutine 1 [running]:\n")
        return 2


def _open_console(arguments: list[str]) -> Console:
    """Even `--json=false` switches pretty output off."""
    json = [word for word in arguments if word.partition("=")[0] == "--json"]
    verbose = [word for word in arguments if word == "-v" or word.partition("=")[0] == "--verbose"]
    return Console(not json and not verbose, bool(json) and json[-1] in ("--json", "--json=true", "--json=1"))


def _find_kubeconfig(arguments: list[str]) -> str:
    """The flag is looked for before the command line is read: what the simulated API says concerns its reading, too."""
    given = os.environ.get("KUBECONFIG") or os.path.join(os.environ.get("HOME", ""), ".kube/config")
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word in ("-k", "--kubeconfig"):
            given = following
        elif word.startswith("--kubeconfig="):
            given = word.partition("=")[2]
        elif word.startswith("-k"):
            given = word[2:].removeprefix("=")
    return given


def _stop(context: Context, number: int) -> NoReturn:
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
