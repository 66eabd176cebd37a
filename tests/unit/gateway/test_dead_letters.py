"""What an operator is shown of dead letters."""

import pytest

from contracts import names
from gateway.commands.dead_letters import _list
from gateway.jetstream import JetStream, Message


class Buried(JetStream):
    """NATS with one dead letter."""

    def __init__(self, message: Message) -> None:
        self._message = message

    async def read_next(self, stream: str, sequence: int, subjects: str) -> Message | None:
        return self._message if sequence <= self._message.sequence else None


async def test_what_a_publisher_chose_writes_to_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """The last token of a subject takes every byte but a few: titles, the clipboard, rows that are hidden."""
    subject = f"{names.PREFIX}.jobs.bootstrap.svc.\x1b]0;owned\x07\x9b2J"
    headers = {names.HEADER_REASON: "invalid_request", names.HEADER_SUBJECT: subject}
    assert await _list(Buried(Message("", b"\x1b[2J", headers, 1, "now"))) == 0
    printed = capsys.readouterr().out
    assert r"svc.\x1b]0;owned\x07\x9b2J" in printed
    assert all(character.isprintable() or character in "\t\n" for character in printed)
