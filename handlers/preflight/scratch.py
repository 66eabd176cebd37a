"""The temporary folder: the policy is handed over in a file there, so without it no job can be finished."""

import tempfile

from contracts.codes import Failure

_PROBE_BYTES = 64 * 1024  # a policy is smaller


def check_scratch() -> Failure | None:
    """Why no temporary file can be written; None where one was."""
    try:
        with tempfile.TemporaryFile() as file:
            file.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return Failure("no_scratch_space", f"A temporary file cannot be written: {error.strerror or error}.")
    return None
