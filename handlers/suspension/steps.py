"""Suspending a tenant takes its rights first; resuming gives them back first."""

from contracts.records import JobRecord
from contracts.requests import ResumeRequest, SuspendRequest
from handlers.suspension.databases import decide_pause, decide_start
from handlers.suspension.restoration import decide_restoration
from handlers.suspension.revocation import decide_revocation
from handlers.workflow import Step

SUSPEND: tuple[Step[SuspendRequest], ...] = (
    Step("revoke_access", decide_revocation),
    Step("pause_databases", decide_pause),
)
RESUME: tuple[Step[ResumeRequest], ...] = (
    Step("restore_access", decide_restoration),
    Step("resume_databases", decide_start),
)


def summarize_suspension(record: JobRecord, request: SuspendRequest) -> str:
    return f"Tenant {request.username} is suspended; databases {_outcome(record, 'pause_databases', 'paused')}."


def summarize_resumption(record: JobRecord, request: ResumeRequest) -> str:
    return f"Tenant {request.username} is resumed; databases {_outcome(record, 'resume_databases', 'started again')}."


def _outcome(record: JobRecord, name: str, done: str) -> str:
    step = record.step(name)
    return done if step and step.outcome == "updated" else "untouched"
