"""The members that requests are made of, and the rule that each keeps. No message repeats a value."""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import core_schema

# Everest's rule for account names (pkg/accounts/cli/utils.go), bounded so that a label value holds it. Names that YAML
# could read as something else (null, true, 123, 1e5) are held: Everest writes the Secret everest-accounts with yaml.v2
# 2.4.0, which quotes every text that it would resolve to anything but a text (encode.go, stringv), and reads it so.
USERNAME_PATTERN = r"^[A-Za-z0-9_]{3,63}$"
# A tenant that logs in by SSO has no account, so hyphens and dots may stand inside of its name.
TENANT_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{1,61}[A-Za-z0-9_]$"
# RFC 1035, and at most 53 characters: Everest names the Helm release after the namespace.
NAMESPACE_PATTERN = r"^[a-z]([-a-z0-9]{0,51}[a-z0-9])?$"
RESERVED_NAMESPACES = ("everest-system", "everest-monitoring", "everest-olm", "default")

CALLER_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
ROLE_PATTERN = r"^[a-z][a-z0-9_-]{0,62}$"
MOST_SUBJECTS = 50
MOST_GENERATIONS = 2**53  # more than a double holds exactly

OPERATOR_NAMES = ("mongodb", "postgresql", "xtradb_cluster")

USERNAME_WORDING = "must be 3 to 63 letters, digits or underscores"
# Control characters, half characters, and separators of lines: Unicode's categories Cc, Cs, Zl and Zp.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_NUMBER_TEXT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Amount:
    """A number between two bounds, given as a number or as a string of digits, and documented as a number."""

    low: float
    high: float
    whole: bool = True

    def read(self, value: object) -> float:
        """Raises ValueError with the rule that the value breaks."""
        number = _to_number(value)
        if number is None:
            raise ValueError("must be a number, or a string of digits")
        if self.whole and number != int(number):
            raise ValueError("must be a whole number")
        if not self.low <= number <= self.high:
            raise ValueError(f"must be between {self.low} and {self.high}")
        rounded = round(number, 3)
        if not math.isclose(number, rounded, rel_tol=0, abs_tol=1e-9):
            raise ValueError("must have at most three decimals")
        return int(rounded) if rounded == int(rounded) else rounded

    def __get_pydantic_core_schema__(self, source: Any, handler: object) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> dict[str, Any]:
        return {"type": "integer" if self.whole else "number", "minimum": self.low, "maximum": self.high}


def _to_number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    if isinstance(value, str) and _NUMBER_TEXT.fullmatch(value):
        return float(value)
    return None


def _check_username(username: str) -> str:
    if username == "admin":
        raise ValueError("admin is Everest's own account")
    if ".." in username:
        raise ValueError("must not hold two dots in a row")
    return username


def _check_subject(subject: str) -> str:
    """Everest takes a user and a group of one name for one subject, and a group named like a role for that role."""
    if subject != subject.strip() or _UNSEEN.search(subject):
        raise ValueError("must not hold control characters, nor blanks at its ends")
    if subject == "admin" or subject.startswith("role:"):
        raise ValueError("must not be admin, nor begin with role:")
    return subject


def _check_subjects(subjects: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Each once; an account is always among them."""
    own = (info.data["username"],) if info.data.get("account") and "username" in info.data else ()
    if not own and not subjects:
        raise ValueError("is required where account is false: nobody would hold the role")
    return tuple(dict.fromkeys(own + subjects))


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable characters")
    return text


def _refuse_reserved(namespace: str) -> str:
    if namespace in RESERVED_NAMESPACES or namespace.startswith("kube-"):
        raise ValueError("is reserved for Everest or Kubernetes")
    return namespace


Username = Annotated[str, Field(pattern=TENANT_PATTERN, examples=["alice"]), AfterValidator(_check_username)]
Subject = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_check_subject)]
Subjects = Annotated[
    tuple[Subject, ...],
    Field(max_length=MOST_SUBJECTS, strict=False),  # JSON has lists, and this is frozen
    AfterValidator(_check_subjects),
]
Correlation = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_check_printable)]
Namespace = Annotated[str, Field(pattern=NAMESPACE_PATTERN), AfterValidator(_refuse_reserved)]
Generation = Annotated[int, Field(ge=0, le=MOST_GENERATIONS)]
