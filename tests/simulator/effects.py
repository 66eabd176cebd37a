"""The log of what was done to the cluster: every everestctl run with its begin and end, every write."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Run:
    """One everestctl. It ends when its connection closes, which a kill -9 does too."""

    argv: list[str]
    pid: int
    started_at: float = field(default_factory=time.monotonic)
    ended_at: float | None = None
    held_in: str | None = None  # the gap that the fault `holds` keeps it in

    @property
    def tenant(self) -> str | None:
        """Whom it works for: the user or the namespace that it names, None for look-ups."""
        words = self.argv
        if words[:1] == ["accounts"] and "-u" in words:
            return words[words.index("-u") + 1]
        if words[:1] == ["namespaces"] and words[1:2] != ["list"]:
            return next((word for word in words[2:] if not word.startswith("-")), None)
        return None


class Effects:
    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.writes: list[dict[str, Any]] = []

    def begin(self, argv: list[str], pid: int) -> Run:
        run = Run(argv, pid)
        self.runs.append(run)
        return run

    def find(self, pid: int) -> Run:
        """The latest of that process."""
        return next(run for run in reversed(self.runs) if run.pid == pid)

    def note_write(self, user: str, method: str, path: str, code: int) -> None:
        self.writes.append({"at": time.monotonic(), "user": user, "method": method, "path": path, "code": code})

    def as_json(self) -> dict[str, Any]:
        runs = [{**asdict(run), "tenant": run.tenant} for run in self.runs]
        return {"runs": runs, "writes": self.writes}


def overlaps(runs: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of runs for one tenant of which the later began before the earlier ended."""
    found = []
    by_tenant: dict[str, list[dict[str, Any]]] = {}
    for run in sorted(runs, key=lambda run: run["started_at"]):
        if run["tenant"] is None:
            continue
        before = by_tenant.setdefault(run["tenant"], [])
        found += [(one, run) for one in before if one["ended_at"] is None or one["ended_at"] > run["started_at"]]
        by_tenant[run["tenant"]].append(run)
    return found
