"""Our programs as tests start them again and again: forked from a process that has imported them already.

They are processes of their own, as `python -m` makes them, with their arguments, environment, streams and signals; only
the imports are not done anew. What proves how a program starts, or that it cannot, starts it with `python -m`.
"""

from tests.support.forks.starts import Ended, Fork, run_fork, start_fork

__all__ = ["Ended", "Fork", "run_fork", "start_fork"]
