"""The webhooks that an operator has declared, in WEBHOOKS_FILE. Nobody else names an address."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from standardwebhooks.webhooks import Webhook as Signature

from contracts.documents import Event
from contracts.names import JOB_KINDS, WEBHOOK_CONSUMER_PREFIX
from contracts.records import FINISHED, Status
from gateway.yaml_files import GivenTwice, StrictLoader

_NAME = re.compile(r"[A-Za-z0-9_-]{1,48}", re.ASCII)
# Where pydantic speaks of Python's types.
_WORDING = {
    "missing": "is required",
    "extra_forbidden": "is no member that is known",
    "string_type": "must be text, in quotes where it looks like something else",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "too_short": "must not be empty: leave it out for its default",
    "model_type": "must have members: name, url, secret_file",
    "path_type": "must be the path of a file",
}


class InvalidWebhooks(Exception):
    """The file, or a row of it, cannot be used; `problems` never hold a secret."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def check_name(name: str) -> str:
    """Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError("must be 1 to 48 letters, digits, '-' or '_'")
    return name


def check_address(address: str) -> str:
    """As it is called. Raises ValueError."""
    try:
        return str(TypeAdapter(HttpUrl).validate_python(address))
    except ValidationError as error:
        raise ValueError(_word(error.errors(include_input=False)[0])) from None


def _check_kinds(kinds: tuple[str, ...]) -> tuple[str, ...]:
    if not set(kinds) <= set(JOB_KINDS):
        raise ValueError(f"must be of {', '.join(JOB_KINDS)}")
    return kinds


class _Row(BaseModel):
    """One of `webhooks:`. Without `kinds` all, without `callers` everybody's, without `statuses` the two ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(check_name)]
    url: HttpUrl
    secret_file: Path
    kinds: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_check_kinds)] = ()
    statuses: Annotated[tuple[Status, ...], Field(min_length=1)] = FINISHED
    callers: Annotated[tuple[str, ...], Field(min_length=1)] = ()
    enabled: bool = True


class _File(BaseModel):
    """Its rows are looked at one by one: one that is broken is no reason to forget the others."""

    model_config = ConfigDict(extra="forbid")

    webhooks: tuple[Any, ...] = ()
    version: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class Webhook:
    """One address, and what it is told. Several secrets: while one takes the place of another."""

    name: str
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    kinds: tuple[str, ...] = ()
    statuses: tuple[str, ...] = tuple(status.value for status in FINISHED)
    callers: tuple[str, ...] = ()
    enabled: bool = True

    @property
    def consumer(self) -> str:
        return f"{WEBHOOK_CONSUMER_PREFIX}{self.name}"

    def wants(self, event: Event) -> bool:
        return event["status"] in self.statuses and (not self.kinds or event["kind"] in self.kinds)

    def wants_of(self, caller: str) -> bool:
        return not self.callers or caller in self.callers


def read_webhooks(file: Path) -> tuple[tuple[Webhook, ...], list[str]]:
    """The rows that can be used, and what is wrong with the others, or with the file as a whole."""
    webhooks: list[Webhook] = []
    problems: list[str] = []
    try:
        rows = _read_rows(file)
    except InvalidWebhooks as error:
        return (), list(error.problems)
    for number, row in enumerate(rows, 1):
        try:
            webhooks.append(_make(_read_row(number, row), file.parent))
        except InvalidWebhooks as error:
            problems += error.problems
    names = [webhook.name for webhook in webhooks]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems += [f"WEBHOOKS_FILE: {name} is declared twice" for name in twice]
    return tuple(webhook for webhook in webhooks if webhook.name not in twice), problems


def find_files(file: Path) -> tuple[Path, ...]:
    """The file, and the secrets that it names; itself alone where it cannot be read."""
    try:
        rows = _read_rows(file)
    except InvalidWebhooks:
        return (file,)
    named = (row.get("secret_file") for row in rows if isinstance(row, dict))
    return file, *(file.parent / secret_file for secret_file in named if isinstance(secret_file, str))


def _read_rows(file: Path) -> tuple[Any, ...]:
    """Raises InvalidWebhooks."""
    try:
        return _File.model_validate(yaml.load(file.read_text(), StrictLoader) or {}).webhooks
    except ValidationError as error:
        raise InvalidWebhooks(*_explain("WEBHOOKS_FILE", error)) from None
    except yaml.MarkedYAMLError as error:
        raise InvalidWebhooks(_explain_yaml(error)) from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # no text, or a date that no calendar has
        raise InvalidWebhooks(f"WEBHOOKS_FILE cannot be read: {type(error).__name__}") from None


def _read_row(number: int, row: Any) -> _Row:
    """Raises InvalidWebhooks."""
    try:
        return _Row.model_validate(row)
    except ValidationError as error:
        raise InvalidWebhooks(*_explain(f"WEBHOOKS_FILE row {number}", error)) from None


def _make(row: _Row, folder: Path) -> Webhook:
    """Relative files are beside the declaration. Raises InvalidWebhooks."""
    try:
        secrets = tuple((folder / row.secret_file).read_text().split())
    except (OSError, ValueError) as error:
        raise InvalidWebhooks(f"{row.name}: its secret_file cannot be read: {type(error).__name__}") from None
    try:
        for secret in secrets:
            Signature(secret)
    except Exception:  # whatever the library makes of a text that is no secret; it must not be shown
        secrets = ()
    if not secrets:
        raise InvalidWebhooks(f"{row.name}: its secret_file holds no secret that new-webhook printed")
    statuses = tuple(status.value for status in row.statuses)
    return Webhook(row.name, str(row.url), secrets, row.kinds, statuses, row.callers, row.enabled)


def _explain_yaml(error: yaml.MarkedYAMLError) -> str:
    """Where it is; never what stands there."""
    line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
    what = "gives a member again" if isinstance(error, GivenTwice) else f"cannot be read: {type(error).__name__}"
    return f"WEBHOOKS_FILE{line} {what}"


def _explain(where: str, error: ValidationError) -> Iterable[str]:
    for problem in error.errors(include_input=False):
        yield f"{' '.join((where, '.'.join(map(str, problem['loc'])))).rstrip()}: {_word(problem)}"


def _word(problem: ErrorDetails) -> str:
    context = problem.get("ctx", {})
    if isinstance(context.get("error"), ValueError):  # one of our own
        return str(context["error"])
    return _WORDING.get(problem["type"], problem["msg"])
