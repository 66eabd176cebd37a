"""One import at a time: a lock for the imports of one user on one machine into one cluster."""

import fcntl
import hashlib
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from handlers.tools.kubeconfig import find_kubeconfig

WAITED = 75  # EX_TEMPFAIL: the exit code of an import that has only waited


class Busy(Exception):
    """Other imports held the lock all the time."""


@contextmanager
def one_at_a_time(kubeconfig: str | None, seconds: float) -> Iterator[None]:
    """Waits for the other imports into the cluster. Raises Busy.

    It only saves conflicts, which cost more than waiting; what keeps a line from being lost is the resourceVersion.
    So where no lock can be had the import goes on without.
    """
    try:
        lock = os.open(_path(kubeconfig), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        _wait_for(lock, seconds)
        yield
    finally:
        os.close(lock)


def _path(kubeconfig: str | None) -> str:
    """A cluster is told by its kubeconfig: a slow one must not hold up the others. Raises OSError."""
    with open(find_kubeconfig(kubeconfig), "rb") as file:
        cluster = hashlib.sha256(file.read()).hexdigest()[:16]
    return os.path.join(tempfile.gettempdir(), f"everest-rbac-import-{os.getuid()}-{cluster}.lock")


def _wait_for(lock: int, seconds: float) -> None:
    """The kernel wakes the waiters in their order; an alarm ends the wait."""

    def end(*_: object) -> None:
        raise Busy(f"Other imports held the lock for {seconds:.1f} s.")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
