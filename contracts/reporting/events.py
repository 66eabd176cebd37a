"""Events as CloudEvents 1.0 has them: attributes in the headers, by the NATS protocol binding; the body is ours."""

from contracts.records import JobRecord

TYPE_PREFIX = "dev.everest-bootstrap.job."
SOURCE = "/everest-bootstrap"
HEADER_ID = "ce-id"


def event_id(job_id: str, revision: int) -> str:
    """Names one transition for ever: who hears of it twice knows it by this."""
    return f"{job_id}:{revision}"


def event_type(record: JobRecord) -> str:
    return f"{TYPE_PREFIX}{record.status.value}"


def event_headers(record: JobRecord, revision: int) -> dict[str, str]:
    return {
        "ce-specversion": "1.0",
        HEADER_ID: event_id(record.job_id, revision),
        "ce-type": event_type(record),
        "ce-source": SOURCE,
        "ce-subject": record.job_id,
        "ce-time": record.changed_at,
        "content-type": "application/json",
    }
