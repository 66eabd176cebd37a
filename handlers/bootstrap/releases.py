"""Helm's releases in a namespace: which is the newest, and whether a pending one may be taken away.

Of a pending release nothing says who writes it: an operator's `everestctl upgrade` helm-upgrades every namespace, and a
release whose Secret goes amid that fails the upgrade of all namespaces behind it.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from contracts.codes import Failure
from handlers.results import StepFailed
from handlers.tenants.claims import Namespace
from handlers.tools.kubectl import Object

_HINT = (
    "Wait for the everestctl that works on it, then retry the job. Where none does, retry when it is {seconds} s old, "
    "or take it away (kubectl delete secret {secret} -n {name})."
)


class Release(NamedTuple):
    """A revision of Helm's, in its Secret. `begun_at`: the operation that makes it."""

    status: str
    revision: int
    secret: str
    begun_at: datetime

    @classmethod
    def of(cls, secret: Object) -> "Release":
        metadata = secret["metadata"]
        labels, begun_at = metadata.get("labels") or {}, metadata.get("creationTimestamp", "1970-01-01T00:00:00Z")
        moment = datetime.fromisoformat(begun_at)
        return cls(labels.get("status", ""), int(labels.get("version", 0)), metadata["name"], moment)

    @property
    def is_pending(self) -> bool:
        return is_pending(self.status)


def is_pending(status: str) -> bool:
    """Whether somebody makes the release, or did when he was killed."""
    return status.startswith("pending")


def newest_release(secrets: list[Object]) -> Release | None:
    return max(map(Release.of, secrets), key=lambda release: release.revision, default=None)


def next_revision(newest: Release | None) -> int:
    """A pending one is taken away first."""
    return 1 if newest is None else newest.revision + (not newest.is_pending)


def mark_of(job_id: str, revision: int) -> str:
    """What the namespace says before a job has that revision made."""
    return f"{job_id} {revision}"


def is_first_of(job_id: str, namespace: Namespace | None, revision: int) -> bool:
    """Whether it is the first release in a namespace that this job has made: it says so without a mark."""
    if namespace is None:
        return revision == 1
    spec = namespace.read_spec() if namespace.job == job_id else None
    return revision == 1 and spec is not None and not spec.wanted.adopted


def check_abandoned(
    release: Release, namespace: Namespace, job_id: str, limit_seconds: float, now: datetime | None = None
) -> None:
    """Raises StepFailed where somebody may be at work on this pending release.

    Nobody is at what an earlier attempt of this job has begun, which holds the tenant; nor, for longer than everestctl
    is ever given here, at what anybody has.
    """
    is_own = namespace.installing == mark_of(job_id, release.revision) or (
        release.status == "pending-install" and is_first_of(job_id, namespace, release.revision)
    )
    age = (now or datetime.now(UTC)) - release.begun_at
    if is_own or age.total_seconds() > limit_seconds:
        return
    since = release.begun_at.isoformat().replace("+00:00", "Z")
    reason = f"The Helm release of namespace {namespace.name} is {release.status} since {since}, and not by this job."
    hint = _HINT.format(seconds=round(limit_seconds), secret=release.secret, name=namespace.name)
    raise StepFailed(Failure("operation_in_progress", reason, hint))
