"""What the engine of jobs means when it cannot do what it was asked. How that is told is its callers' affair.

Beside these pass through as they are: `Unanswered` and `NotProvisioned` of `gateway.jetstream`, `UnreadableRecord`
and `InvalidRequest` of `contracts`.
"""

from contracts.codes import Failure
from contracts.records import Status


class JobError(Exception):
    """`detail` says what happened this time, where the meaning alone does not; `job_id` whom it is about."""

    def __init__(self, detail: str = "", *, job_id: str | None = None, status: Status | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.job_id = job_id
        self.status = status


class JobNotFound(JobError):
    """Neither a record nor a message: it was never accepted, or its record has expired."""


class BatchNotFound(JobError):
    """No record of its jobs is kept: it was never accepted, or they have expired."""


class JobNotFinished(JobError):
    """It has not ended, so what was asked for is not there yet or cannot be done yet."""


class JobFinished(JobError):
    """It has ended, and stays as it is."""


class JobBusy(JobError):
    """It changed each time it was looked at; the caller may ask again."""


class NotAccepted(JobError):
    """NATS could not be reached: nothing was sent."""


class OutcomeUnknown(JobError):
    """NATS was asked and did not answer in time: the job may be queued."""


class QueueFull(JobError):
    """The stream or the bucket takes no more: nothing was accepted."""


class RequestTooLarge(JobError):
    """The request does not fit a message."""


class JobIdTaken(JobError):
    """The job id, or the key that it is made of, stands for another request."""


class TenantNotFound(JobError):
    """The cluster holds nothing of the tenant."""


class TooManyQuestions(JobError):
    """The account asks faster than it is answered."""


class NoHandler(JobError):
    """Nobody answered a query in time."""


class QueryFailed(Exception):
    """A handler ran the query, and it failed; `stderr` is what its command said.

    `by_everestctl`: the command was everestctl, and exited with an error.
    """

    def __init__(self, failure: Failure, stderr: str, *, by_everestctl: bool) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.stderr = stderr
        self.by_everestctl = by_everestctl
