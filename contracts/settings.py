"""Settings read from an environment-like mapping into a frozen dataclass, without touching the environment itself.

A field `retry_for: float = 3600` is read from `RETRY_FOR`. Types: str, int, float, bool and their optional forms.
"""

import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar

Settings = TypeVar("Settings")


class InvalidSettings(ValueError):
    """Settings that cannot be used, each named with what it accepts. Never holds a value."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def read_settings(model: type[Settings], environ: Mapping[str, str]) -> Settings:
    """The model filled from the mapping; an empty text counts as unset. Raises InvalidSettings with every problem."""
    hints = typing.get_type_hints(model)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for part in fields(model):  # type: ignore[arg-type]  # every model is a dataclass
        name = part.name.upper()
        text = environ.get(name, "").strip()
        if not text:
            if part.default is MISSING and part.default_factory is MISSING:
                problems.append(f"{name} is required")
            continue
        kind, convert = _CONVERTERS[_plain_type(hints[part.name])]
        try:
            values[part.name] = convert(text)
        except ValueError:
            problems.append(f"{name} must be {kind}")
    if problems:
        raise InvalidSettings(problems)
    return model(**values)


def _plain_type(hint: Any) -> Any:
    return next((part for part in typing.get_args(hint) if part is not type(None)), hint)


def _to_flag(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError


def _to_positive(convert: Callable[[str], float]) -> Callable[[str], float]:
    def to_positive(text: str) -> float:
        number = convert(text)
        if not 0 <= number < float("inf"):
            raise ValueError
        return number

    return to_positive


_CONVERTERS: dict[Any, tuple[str, Callable[[str], Any]]] = {
    str: ("a text", str),
    int: ("a whole number, not negative", _to_positive(int)),
    float: ("a number, not negative", _to_positive(float)),
    bool: ("true or false", _to_flag),
}


@dataclass(frozen=True, slots=True)
class NatsSettings:
    """How gateway and handlers reach NATS. Set `inbox_prefix` where accounts limit what may be subscribed."""

    nats_url: str = "nats://127.0.0.1:4222"  # several, separated by commas
    nats_user: str | None = None
    nats_password: str | None = None
    nats_password_file: str | None = None
    nats_creds_file: str | None = None
    nats_nkey_file: str | None = None
    nats_tls_ca: str | None = None
    nats_tls_cert: str | None = None
    nats_tls_key: str | None = None

    @property
    def servers(self) -> list[str]:
        return [url.strip() for url in self.nats_url.split(",") if url.strip()]
