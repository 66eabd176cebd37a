"""Whose a pending Helm release is: only what nobody can be at work on is taken away."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers.bootstrap.releases import check_abandoned, newest_release, next_revision
from handlers.results import StepFailed
from handlers.tenants.claims import Namespace

LIMIT_SECONDS = 1800
BEGUN_AT = datetime(2026, 11, 27, 12, tzinfo=UTC)


def namespace(job: str = "an-earlier-job", *, adopted: bool = False, installing: str | None = None) -> Namespace:
    wanted = {"role": "developer", "subjects": [], "managed_by": "admin", "adopted": adopted}
    annotations = {
        "everest-bootstrap/owner": "alice",
        "everest-bootstrap/job": job,
        "everest-bootstrap/spec": json.dumps({"wanted": wanted}),
    }
    if installing:
        annotations["everest-bootstrap/installing"] = installing
    return Namespace.of({"metadata": {"name": "alice", "resourceVersion": "1", "annotations": annotations}})


def secret(revision: int, status: str) -> dict[str, Any]:
    labels = {"owner": "helm", "name": "alice", "status": status, "version": str(revision)}
    created = BEGUN_AT.isoformat().replace("+00:00", "Z")
    return {
        "metadata": {"name": f"sh.helm.release.v1.alice.v{revision}", "labels": labels, "creationTimestamp": created}
    }


def find_refusal(there: Namespace, *secrets: dict[str, Any], after_seconds: float = 60) -> str | None:
    """What `job-2` is told so long after the newest release was begun."""
    newest = newest_release(list(secrets))
    assert newest is not None
    try:
        check_abandoned(newest, there, "job-2", LIMIT_SECONDS, BEGUN_AT + timedelta(seconds=after_seconds))
    except StepFailed as error:
        return f"{error.failure.code}: {error.failure.message} {error.failure.hint}"
    return None


UPGRADE = (secret(1, "deployed"), secret(2, "pending-upgrade"))


def test_the_upgrade_of_an_operator_is_left_alone() -> None:
    """`everestctl upgrade` does it to every namespace, and waits for a Job in each."""
    said = find_refusal(namespace(), *UPGRADE)
    assert said is not None
    assert said.startswith("operation_in_progress: ")
    assert "is pending-upgrade since 2026-11-27T12:00:00Z" in said
    assert "kubectl delete secret sh.helm.release.v1.alice.v2 -n alice" in said


@pytest.mark.parametrize(("after_seconds", "is_refused"), [(LIMIT_SECONDS - 1, True), (LIMIT_SECONDS + 1, False)])
def test_what_is_older_than_any_command_has_nobody(after_seconds: float, is_refused: bool) -> None:
    assert (find_refusal(namespace(), *UPGRADE, after_seconds=after_seconds) is not None) == is_refused


@pytest.mark.parametrize(
    ("mark", "is_refused"),
    [("job-2 2", False), ("job-2 1", True), ("job-2 3", True), ("job-1 2", True), (None, True)],
)
def test_the_mark_of_this_job_names_its_revision(mark: str | None, is_refused: bool) -> None:
    """One that it has finished says nothing of what somebody has begun since."""
    assert (find_refusal(namespace(installing=mark), *UPGRADE) is not None) == is_refused


@pytest.mark.parametrize(
    ("there", "newest", "is_refused"),
    [
        (namespace("job-2"), secret(1, "pending-install"), False),
        (namespace("job-2"), secret(1, "pending-upgrade"), True),
        (namespace("job-2", adopted=True), secret(1, "pending-install"), True),
        (namespace("job-1"), secret(1, "pending-install"), True),
    ],
)
def test_the_first_release_in_a_namespace_that_this_job_made_is_its_own(
    there: Namespace,
    newest: dict[str, Any],
    is_refused: bool,
) -> None:
    """An earlier handler leaves no mark. In an adopted one it may be that of whoever had it."""
    assert (find_refusal(there, newest) is not None) == is_refused


@pytest.mark.parametrize(
    ("secrets", "revision"),
    [([], 1), ([secret(1, "deployed")], 2), ([secret(9, "superseded"), secret(10, "pending-upgrade")], 10)],
)
def test_a_revision_that_is_stuck_is_made_anew(secrets: list[dict[str, Any]], revision: int) -> None:
    assert next_revision(newest_release(secrets)) == revision
