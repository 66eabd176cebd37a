"""What holds for all tests: which modules begin first, where their files are, what interrupts them; hypothesis never
judges by the clock.

Machines are as slow as they are.
"""

import gc
import os
import signal
import sys

import pytest
from hypothesis import settings

# Tests start hundreds of processes. Where bytecode is not to be kept, each would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell's background ignores Ctrl-C, and all that is started there: what tests interrupt would go on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MEMORY = "/dev/shm"
LEAST_BYTES = 1 << 30  # twenty times what `make test` needs


def _is_roomy(folder: str) -> bool:
    """Of a container it may be small, and its files may be no programs."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return (
        not found.f_flag & os.ST_NOEXEC
        and found.f_bavail * found.f_frsize >= LEAST_BYTES
        and os.access(folder, os.W_OK)
    )


# NATS waits for the disk with each message that it takes, and tests for NATS. What they prove needs no disk: they kill
# processes, but no machine loses its power.
if _is_roomy(MEMORY):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)

settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

# The longest, so that none of them is what all others wait for in the end; the short ones fill the gaps.
BEGIN_FIRST = (
    "integration/service/test_chaos",
    "integration/bootstrap/test_workflow",
    "integration/offboarding/",
    "integration/tenants/",
    "unit/handlers/test_protocol_model",
    "integration/handlers/test_faults",
    "integration/service/test_standalone",
    "integration/handlers/test_jobs",
    "integration/service/test_queries",
    "integration/handlers/test_stop",
    "integration/gateway/http/test_front_door",
    "integration/gateway/test_live",
    "integration/gateway/test_outage",
    "integration/rbac/test_importer",
    "integration/bootstrap/test_rights",
    "integration/simulator/test_lifecycle",
    "integration/nats/test_cluster",
    "integration/service/",
    "integration/simulator/test_transcripts",
    "integration/",
)


# What is collected stays to the end, thousands of tests and all that they import: nobody is to walk through them.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    path = item.nodeid.removeprefix("tests/")
    return next((turn for turn, begin in enumerate(BEGIN_FIRST) if path.startswith(begin)), len(BEGIN_FIRST))
