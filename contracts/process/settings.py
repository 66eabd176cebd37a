"""Settings: what gateway and handlers take from the environment alike, and how a wrong value is told.

Each member is the environment variable of its name in capitals; an empty one counts as unset. `read_settings` is
called by the modules of that name in gateway and handlers alone, from their `__main__`.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
# Seconds; NATS takes no shorter time to live and, as nanoseconds in 64 bits, none that is much longer (292 years).
Retention = Annotated[float, Field(ge=1, le=9_000_000_000)]


def _to_upper(text: str) -> str:
    """Not `str.upper` itself: to read the signature of a function in C costs a start several milliseconds."""
    return text.upper()


LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_to_upper)]


class InvalidSettings(ValueError):
    """Settings that cannot be used, each named with what it accepts. Never holds a value."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class Settings(BaseModel):
    """Frozen; values are finite; texts are stripped."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", validate_default=True, str_strip_whitespace=True, allow_inf_nan=False
    )


class NatsSettings(Settings):
    """How gateway and handlers reach NATS."""

    nats_url: str = "nats://127.0.0.1:4222"  # several, separated by commas
    nats_user: str | None = None
    nats_password: str | None = Field(default=None, repr=False)
    nats_password_file: str | None = None
    nats_creds_file: str | None = None
    nats_nkey_file: str | None = None
    nats_tls_ca: str | None = None
    nats_tls_cert: str | None = None
    nats_tls_key: str | None = None

    @property
    def servers(self) -> list[str]:
        return [url.strip() for url in self.nats_url.split(",") if url.strip()]


AnySettings = TypeVar("AnySettings", bound=Settings)


def read_settings(model: type[AnySettings], variables: Mapping[str, str]) -> AnySettings:
    """The settings among an environment's variables. Raises InvalidSettings with a line for each that is wrong."""
    try:
        return model.model_validate({name.lower(): text for name, text in variables.items() if text})
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
    raise InvalidSettings([_explain(problem) for problem in problems])


_WORDING = {
    "missing": "is required",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_parsing": "must be true or false",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
}


def _explain(problem: ErrorDetails) -> str:
    """One line, which begins with the setting's name; a rule of several names them itself."""
    name = "".join(str(part).upper() for part in problem["loc"])
    context = problem.get("ctx", {})
    if "error" in context:
        return f"{name} {context['error']}".strip()
    return f"{name} {_WORDING.get(problem['type'], 'is not valid').format(**context)}"
