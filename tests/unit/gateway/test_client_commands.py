"""The command line: what it takes, and what it refuses before anybody is asked."""

from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest
import typer

from gateway.client.commands import app

_TEXTS = (str, str | None, list[str] | None)


def _list_texts() -> Iterator[tuple[str, str, Any]]:
    """Command, parameter, and how it is declared."""
    for command in (info.callback for info in app.registered_commands if info.callback):
        for name, hint in get_type_hints(command, include_extras=True).items():
            if getattr(hint, "__origin__", None) in _TEXTS:
                yield command.__name__, name, hint.__metadata__[0]


def test_no_empty_text_is_taken_for_one_that_is_not_given() -> None:
    """What a script's unset variable leaves would mean more than it says: another job, another route, all."""
    texts = {(command, name): declared for command, name, declared in _list_texts()}
    assert {("offboard", "namespace"), ("submit", "idempotency_key"), ("job", "job_id")} < set(texts)
    for declared in texts.values():
        with pytest.raises(typer.BadParameter, match="must not be empty"):
            declared.callback("")


@pytest.mark.parametrize("given", [("offboard", "alice", "--namespace", ""), ("submit", "alice", "--subject", "")])
def test_nobody_is_asked_for_what_is_empty(given: tuple[str, ...]) -> None:
    """`offboard USER --namespace ""` would take the whole tenant away."""
    with pytest.raises(typer.BadParameter, match="must not be empty"):
        app(given, standalone_mode=False)
