"""The webhooks that an operator has declared, in WEBHOOKS_FILE. Nobody else names an address."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, HttpUrl, ValidationError
from standardwebhooks.webhooks import Webhook as Signature

from contracts.documents import Event
from contracts.names import JOB_KINDS, WEBHOOK_CONSUMER_PREFIX
from contracts.records import FINISHED, Status

_NAME = re.compile(r"[A-Za-z0-9_-]{1,48}", re.ASCII)


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
    kinds: Annotated[tuple[str, ...], AfterValidator(_check_kinds)] = ()
    statuses: tuple[Status, ...] = FINISHED
    callers: tuple[str, ...] = ()
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
        return _File.model_validate(yaml.safe_load(file.read_text()) or {}).webhooks
    except ValidationError as error:
        raise InvalidWebhooks(*_explain("WEBHOOKS_FILE", error)) from None
    except (OSError, ValueError, yaml.YAMLError) as error:  # no text, or a date that no calendar has
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


def _explain(where: str, error: ValidationError) -> Iterable[str]:
    for problem in error.errors(include_input=False):
        yield f"{' '.join((where, '.'.join(map(str, problem['loc'])))).rstrip()}: {problem['msg']}"
