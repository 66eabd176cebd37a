"""Steps behind a spinner, one after the other, up to the first that fails."""

from __future__ import annotations

from tests.everestctl.errors import ApiError, Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.everestctl.context import Context

    Step = tuple[str, Callable[[], None]]


def run_steps(context: Context, component: str, steps: Iterable[Step]) -> None:
    """Raises Failed."""
    spinner = context.open_spinner()
    try:
        for title, act in steps:
            spinner.start(title)
            try:
                act()
            except (Failed, ApiError) as error:
                spinner.end("❌")
                spinner.close()
                message, caller = "Error occurred during step execution", "tui/spinner.go:249"
                context.console.log(message, caller, component, "error", step=title, error=str(error))
                raise Failed(str(error)) from None
            spinner.end("✅")
        spinner.close()
    finally:
        context.spinner = None
