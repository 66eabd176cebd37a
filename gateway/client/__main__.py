"""`python -m gateway.client` and `everest-bootstrap`: what nobody foresaw ends in one line, and no exit code lies."""

import os
import signal
import sys

_WRONG_USE, _INTERRUPTED, _LEFT_BY_ITS_READER = 2, 130, 141  # the last two as a shell tells of these signals


def main() -> int:
    """A traceback could show the key, and Python's exit code for it, 1, is that of a failed job."""
    try:
        interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)  # an exception amid an import can crash what is in C
        from gateway.client.commands import app

        signal.signal(signal.SIGINT, interrupt)
        try:
            app()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return _LEFT_BY_ITS_READER
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):  # of which typer makes 1
            raise
        _drop_output()
        return _LEFT_BY_ITS_READER
    except Exception as error:
        _drop_output()
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return _WRONG_USE
    return 0


def _drop_output() -> None:
    """What could not be written is not tried again at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    sys.exit(main())
