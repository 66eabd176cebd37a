"""How a command ends other than well."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Failed(Exception):
    """The command ends with code 1 and this text."""


class Usage(Exception):
    """A mistake in the command line: text and usage, then the text again."""

    def __init__(self, message: str, usage: str = "") -> None:
        super().__init__(message)
        self.usage = usage


class ApiError(Exception):
    """The API refused; `reason` is Kubernetes' word for why."""

    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__(status.get("message", "the server refused"))
        self.reason: str = status.get("reason", "")
