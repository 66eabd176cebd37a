"""What a webhook brings: the job as its event tells of it, and what it was asked for."""

from typing import Any

from contracts.documents import Event, Job, job_document, resolved_request
from contracts.names import caller_of
from contracts.records import JobRecord


class WebhookDocument(Job):
    """The document of the job, with what it was asked for; `type` and `revision` are those of the event."""

    type: str
    revision: int
    inputs: dict[str, Any]


# Of these an event knows more than a record that somebody has changed since.
_OF_THE_EVENT = ("status", "attempt", "reason", "retry_at", "summary", "changed_at", "revision")


def webhook_document(event: Event, record: JobRecord | None) -> WebhookDocument:
    """The same for an event however often it is told, while the record is as it was. `record`: None once forgotten."""
    document: dict[str, Any] = dict(job_document(record)) if record else _bare_document(event)
    told = {name: event[name] for name in _OF_THE_EVENT}  # type: ignore[literal-required]
    inputs = resolved_request(record) if record else {}
    return {"type": f"job.{event['status']}", **document, **told, "inputs": inputs}  # type: ignore[typeddict-item]


def _bare_document(event: Event) -> dict[str, Any]:
    job_id = event["job_id"]
    absent = ("started_at", "finished_at", "error", "username", "namespace", "request_id")
    return {
        "job_id": job_id,
        "kind": event["kind"],
        "caller": find_caller(event) or caller_of(job_id, None),
        "created_at": event["changed_at"],
        **dict.fromkeys(absent),
        "losses": 0,
        "steps": [],
        "warnings": [],
        "notices": [],
        "status_url": f"/jobs/{job_id}",
        "result_url": f"/jobs/{job_id}/result",
    }


def find_caller(event: Event) -> str | None:
    """Whose job it is, as far as the event and its id tell: earlier versions said it in the record alone."""
    job_id = event["job_id"]
    return caller_of(job_id, None) if "." in job_id else event.get("caller")


def webhook_id(event_id: str) -> str:
    """A signature is made over `id.timestamp.body`, so that an id has no full stop."""
    return event_id.replace(".", "~")
