"""What the gateway answers: documents; and what is no success, as what it means to a caller."""

from typing import Any

import httpx

FINISHED = ("succeeded", "failed")

Document = dict[str, Any]


class CallFailed(Exception):
    """A call that is no success."""

    retry_after_seconds = 0.0  # another try before is of no use

    @property
    def is_final(self) -> bool:
        """Whether another try ends like this one."""
        return False

    @property
    def leaves_doubt(self) -> bool:
        """Whether it may be done all the same."""
        return False


class Refused(CallFailed):
    """The gateway answered with a problem document."""

    def __init__(self, status: int, problem: Document, retry_after_seconds: float = 0) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"the answer is {status}")
        self.status = status
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds

    @property
    def code(self) -> str:
        return str(self.problem.get("code", f"http_{self.status}"))

    @property
    def is_temporary(self) -> bool:
        return self.status >= 500 or self.is_too_early

    @property
    def is_too_early(self) -> bool:
        """Whether the caller has had its share for now."""
        return self.status == 429

    @property
    def is_final(self) -> bool:
        return not (self.is_temporary and self.problem.get("retryable", True))

    @property
    def leaves_doubt(self) -> bool:
        """So does a proxy's own answer, for a gateway that it lost."""
        return self.code == "outcome_unknown" or (self.status >= 500 and "code" not in self.problem)

    def of_requests(self, what: str, first: int) -> "Refused":
        """The same of a part of a file, which begins at its request `first`: the answer counts from the part's own."""
        if not first:
            return self
        fields = [_shift(field, first) for field in self.problem.get("fields", ())]
        title = self.problem.get("title", f"the answer is {self.status}")
        return Refused(self.status, {**self.problem, "detail": f"{what}: {title}", "fields": fields})


class Unreachable(CallFailed):
    """Nobody answered at the address, or the connection broke."""

    def __init__(self, message: str, *, may_be_done: bool = False) -> None:
        super().__init__(message)
        self._may_be_done = may_be_done

    @property
    def leaves_doubt(self) -> bool:
        return self._may_be_done


class Unfinished(Exception):
    """The time to wait is over and the job goes on."""

    def __init__(self, job: Document) -> None:
        super().__init__(f"job {job['job_id']} is {job['status']}; it goes on")
        self.job = job


def read_refusal(answer: httpx.Response) -> Refused:
    """An answer that is an error."""
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    seconds = answer.headers.get("Retry-After", "")
    is_number = seconds.isascii() and seconds.isdecimal() and len(seconds) < 9  # a proxy may name a date
    return Refused(answer.status_code, problem if isinstance(problem, dict) else {}, int(seconds) if is_number else 0)


def _shift(field: Document, first: int) -> Document:
    return {**field, "index": field["index"] + first} if "index" in field else field
