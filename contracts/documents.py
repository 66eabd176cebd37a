"""What callers read: the documents of a job, made from its record, the same over REST and NATS."""

from dataclasses import asdict
from typing import Any

from contracts.codes import CODES, Failure
from contracts.kinds import resolve
from contracts.names import is_query
from contracts.records import JobRecord, Status, StepRecord


def resolved_request(record: JobRecord) -> dict[str, Any]:
    """What the job is asked to do, every default filled in: by its first claim, until then by this version."""
    return record.inputs or resolve(record.kind, record.request)


def job_document(record: JobRecord) -> dict[str, Any]:
    """The document of `GET /jobs/{id}` and of the status request over NATS."""
    asked = resolved_request(record)
    document: dict[str, Any] = {
        "job_id": record.job_id,
        "kind": record.kind,
        "status": record.status.value,
        "caller": record.caller,
        "created_at": record.created_at,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "changed_at": record.changed_at,
        "summary": record.summary or summarize(record),
        "attempt": record.attempt,
        "losses": record.losses,
        "reason": record.reason,
        "retry_at": record.retry_at,
        "error": failure_document(record.error),
        "steps": [_step_state(step) for step in record.steps],
        "warnings": list(record.warnings),
        "username": asked.get("username"),
        "namespace": asked.get("namespace"),
        "request_id": record.request_id,
        "status_url": f"/jobs/{record.job_id}",
        "result_url": f"/jobs/{record.job_id}/result",
    }
    if record.traceparent:
        document["traceparent"] = record.traceparent
    if record.history:
        document["history"] = [_past_run(run) for run in record.history]
    if record.simulated:
        document["simulated"] = True
    return document


def result_document(record: JobRecord) -> dict[str, Any]:
    """The document of `GET /jobs/{id}/result`, for a finished job."""
    document: dict[str, Any] = {
        "job_id": record.job_id,
        "inputs": resolved_request(record),
        "steps": [step_document(step) for step in record.steps],
        "warnings": list(record.warnings),
        "overall_status": record.status.value,
        "summary": record.summary or summarize(record),
        "reason": record.reason,
        "error": failure_document(record.error),
        "attempt": record.attempt,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
    }
    secret = record.credentials_secret
    if secret:
        document["credentials_secret"] = {**asdict(secret), "read_with": secret.read_command}
    rbac = record.step("apply_rbac_policy")
    if rbac and rbac.rbac_applied is not None:
        document["rbac_applied"] = rbac.rbac_applied
    proof = record.step("verify_tenant")
    if proof and proof.is_finished:
        document["usable"] = proof.usable
    if is_query(record.kind):
        document["data"] = record.data
    if record.history:
        document["history"] = [_past_run(run) for run in record.history]
    if record.simulated:
        document["simulated"] = True
    return document


def step_document(step: StepRecord) -> dict[str, Any]:
    """A step with what its commands said."""
    document: dict[str, Any] = {
        "name": step.name,
        "command": step.command,
        "exit_code": step.exit_code,
        "stdout": step.stdout,
        "stderr": step.stderr,
        "outcome": step.outcome,
        "started_at": step.started_at,
        "finished_at": step.finished_at,
        "commands": [asdict(command) for command in step.commands],
    }
    for name in ("manifest_preview", "rbac_applied", "rbac_enforced", "usable"):
        value = getattr(step, name)
        if value is not None:
            document[name] = value
    if step.error:
        document["error"] = failure_document(step.error)
    return document


def event_document(record: JobRecord, revision: int) -> dict[str, Any]:
    """The small message that tells of one transition; `revision` orders the events of a job."""
    step = record.steps[-1] if record.steps else None
    return {
        "job_id": record.job_id,
        "kind": record.kind,
        "revision": revision,
        "status": record.status.value,
        "attempt": record.attempt,
        "step": step.name if step else None,
        "outcome": step.outcome if step else None,
        "reason": record.reason,
        "retry_at": record.retry_at,
        "summary": record.summary or summarize(record),
        "changed_at": record.changed_at,
    }


def failure_document(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "code": failure.code,
        "message": failure.message,
        "hint": failure.hint,
        "retryable": failure.retryable,
    }


def summarize(record: JobRecord) -> str:
    """One line for a person, where the record holds none."""
    if record.status is Status.QUEUED:
        waits = CODES[record.reason].title if record.reason in CODES else "waits for a handler"
        return f"Queued: {waits[0].lower()}{waits[1:]}."
    if record.status is Status.RUNNING:
        if record.retry_at and record.error:
            return f"Waits until {record.retry_at} to try again: {record.error.message}"
        if record.owner is None:
            return "Handed back by a handler that stopped; the next one goes on."
        running = next((step.name for step in record.steps if step.outcome is None), None)
        return f"Running {running}." if running else "Running."
    return f"Job {record.status.value}."


def _step_state(step: StepRecord) -> dict[str, Any]:
    return {
        "name": step.name,
        "outcome": step.outcome,
        "started_at": step.started_at,
        "finished_at": step.finished_at,
        "error": failure_document(step.error),
    }


def _past_run(run: Any) -> dict[str, Any]:
    return {
        "attempt": run.attempt,
        "finished_at": run.finished_at,
        "reason": run.reason,
        "error": failure_document(run.error),
        "losses": run.losses,
        "steps": [{"name": name, "outcome": outcome} for name, outcome in run.steps],
    }
