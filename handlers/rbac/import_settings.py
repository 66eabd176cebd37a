"""What everest-rbac-import takes from the environment.

Read by hand, unlike all other settings: an import starts for every job, and would spend most of its time on loading
pydantic.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_LIMIT_SECONDS = 60.0


class InvalidSetting(ValueError):
    """Named, with what it accepts. Never holds its value."""


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """Seconds where not said otherwise; both are settings of the handler, too, who hands them on."""

    subprocess_timeout: float = DEFAULT_LIMIT_SECONDS  # the handler ends it then: it must have ended before
    kubeconfig: str | None = None


def read_import_environment() -> tuple[ImportSettings, Mapping[str, str]]:
    """The settings, an empty variable unset, and the environment for the import's commands. Raises InvalidSetting."""
    variables = dict(os.environ)
    text = variables.get("SUBPROCESS_TIMEOUT", "").strip()
    kubeconfig = variables.get("KUBECONFIG", "").strip()
    limit = _read_seconds("SUBPROCESS_TIMEOUT", text) if text else DEFAULT_LIMIT_SECONDS
    return ImportSettings(limit, kubeconfig or None), variables


def _read_seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise InvalidSetting(f"{name} must be a number") from None
    if not math.isfinite(seconds):
        raise InvalidSetting(f"{name} must be a number")
    if seconds <= 0:
        raise InvalidSetting(f"{name} must be above 0")
    return seconds
