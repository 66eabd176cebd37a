"""What the preflight says: findings, one a line, with what to do about those that are not fine."""

from dataclasses import dataclass
from enum import StrEnum

from contracts.codes import Failure


class Verdict(StrEnum):
    FINE = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. A problem means that jobs cannot succeed."""

    verdict: Verdict
    message: str
    hint: str = ""

    @classmethod
    def of(cls, failure: Failure, verdict: Verdict = Verdict.PROBLEM) -> "Finding":
        return cls(verdict, f"{failure.code}: {failure.message}", failure.hint)

    def __str__(self) -> str:
        hint = f"\n{'':9}hint: {self.hint}" if self.hint else ""
        return f"{self.verdict:8} {self.message}{hint}"
