"""The webhooks that an operator has declared, in WEBHOOKS_FILE. Nobody else names an address."""

import re
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
    """The file cannot be used; `problems` never hold a secret."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def check_name(name: str) -> str:
    """Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError("must be 1 to 48 letters, digits, '-' or '_'")
    return name


def _check_kinds(kinds: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := set(kinds) - set(JOB_KINDS):
        raise ValueError(f"must be of {', '.join(JOB_KINDS)}, not {min(unknown)}")
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
    model_config = ConfigDict(extra="forbid")

    webhooks: tuple[_Row, ...] = ()
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


def read_webhooks(file: Path) -> tuple[Webhook, ...]:
    """Raises InvalidWebhooks."""
    try:
        rows = _File.model_validate(yaml.safe_load(file.read_text()) or {}).webhooks
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidWebhooks([f"WEBHOOKS_FILE cannot be read: {type(error).__name__}"]) from None
    except ValidationError as error:
        raise InvalidWebhooks([_explain(problem) for problem in error.errors(include_input=False)]) from None
    names = [row.name for row in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidWebhooks([f"WEBHOOKS_FILE: {name} is declared twice" for name in twice])
    return tuple(_make(row, file.parent) for row in rows)


def find_files(file: Path) -> tuple[Path, ...]:
    """The file, and the secrets that it names; itself alone where it cannot be read."""
    try:
        rows = yaml.safe_load(file.read_text())["webhooks"]
        return file, *(file.parent / str(row["secret_file"]) for row in rows)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return (file,)


def _make(row: _Row, folder: Path) -> Webhook:
    """Relative files are beside the declaration. Raises InvalidWebhooks."""
    try:
        secrets = tuple((folder / row.secret_file).read_text().split())
        for secret in secrets:
            Signature(secret)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidWebhooks([f"{row.name}: its secret_file cannot be read: {type(error).__name__}"]) from None
    except Exception:  # whatever the library makes of a text that is no secret; it must not be shown
        secrets = ()
    if not secrets:
        raise InvalidWebhooks([f"{row.name}: its secret_file holds no secret that new-webhook printed"])
    statuses = tuple(status.value for status in row.statuses)
    return Webhook(row.name, str(row.url), secrets, row.kinds, statuses, row.callers, row.enabled)


def _explain(problem: Any) -> str:
    where = ".".join(map(str, problem["loc"]))
    return f"WEBHOOKS_FILE {where}: {problem['msg']}"
