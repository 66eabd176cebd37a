"""The file of webhooks: what can be used of it, and what is said of the rest."""

from pathlib import Path

import pytest

from gateway.commands.webhooks import make_secret
from gateway.operator_files import BROKEN_SECONDS, Breakage
from gateway.webhooks.declared import find_files, read_webhooks

SECRET = make_secret()
ORDERS = "{name: orders, url: 'https://orders.example.org/', secret_file: a.secret}"
PORTAL = "{name: portal, url: 'https://portal.example.org/', secret_file: b.secret}"


def declare(folder: Path, *rows: str) -> Path:
    for name in ("a.secret", "b.secret"):
        (folder / name).write_text(SECRET)
    file = folder / "webhooks.yaml"
    file.write_text("webhooks:\n" + "".join(f"- {row}\n" for row in rows))
    return file


BROKEN_ROWS = {
    "no row": ("orders", "WEBHOOKS_FILE row 1: "),
    "nothing": ("", "WEBHOOKS_FILE row 1: "),
    "no address": ("{name: orders, secret_file: a.secret}", "WEBHOOKS_FILE row 1 url: Field required"),
    "a wrong name": (ORDERS.replace("orders,", "or ders,"), "WEBHOOKS_FILE row 1 name: "),
    "a wrong kind": (ORDERS.replace("}", ", kinds: [all]}"), "WEBHOOKS_FILE row 1 kinds: "),
    "a member too many": (ORDERS.replace("}", ", secret: x}"), "WEBHOOKS_FILE row 1 secret: "),
    "no secret's file": (ORDERS.replace("a.secret", "c.secret"), "orders: its secret_file cannot be read: "),
    "a file that cannot be": (ORDERS.replace("a.secret", r'"\0"'), "orders: its secret_file cannot be read: "),
    "no secret": (ORDERS.replace("a.secret", "webhooks.yaml"), "orders: its secret_file holds no secret "),
}


@pytest.mark.parametrize(("row", "problem"), BROKEN_ROWS.values(), ids=BROKEN_ROWS)
def test_a_row_that_cannot_be_used_is_named_and_the_others_count(tmp_path: Path, row: str, problem: str) -> None:
    file = declare(tmp_path, row, PORTAL)
    webhooks, problems = read_webhooks(file)
    assert [webhook.name for webhook in webhooks] == ["portal"]
    assert [found.startswith(problem) for found in problems] == [True], problems
    assert tmp_path / "b.secret" in find_files(file), "a secret that changes is read again"


def test_of_a_name_that_is_declared_twice_neither_counts(tmp_path: Path) -> None:
    """Nobody can say which was meant."""
    webhooks, problems = read_webhooks(declare(tmp_path, ORDERS, PORTAL, ORDERS.replace("https", "http")))
    assert ([webhook.name for webhook in webhooks], problems) == (
        ["portal"],
        ["WEBHOOKS_FILE: orders is declared twice"],
    )


@pytest.mark.parametrize(
    "text", [None, b"\xff\xfe", b"webhooks: [", b"webhooks: 2026-99-99", b"- a", b"version: 2", b"webhook: []"]
)
def test_of_a_file_that_cannot_be_read_nothing_counts(tmp_path: Path, text: bytes | None) -> None:
    """What was removed would go on else."""
    file = declare(tmp_path, ORDERS)
    assert read_webhooks(file)[1] == []
    file.unlink()
    if text is not None:
        file.write_bytes(text)
    webhooks, problems = read_webhooks(file)
    assert (webhooks, len(problems), find_files(file)) == ((), 1, (file,))


def test_no_problem_shows_a_secret(tmp_path: Path) -> None:
    file = declare(
        tmp_path, ORDERS.replace("}", f", kinds: ['{SECRET}']}}"), ORDERS.replace("orders,", f"'{SECRET} ',")
    )
    (tmp_path / "a.secret").write_text(SECRET[:-3] + "!")
    assert SECRET not in str(read_webhooks(file)[1])


def test_a_breakage_is_told_when_it_lasts() -> None:
    """From its first sight on, whatever else breaks meanwhile; a file that was whole in between begins anew."""
    now = 0.0
    breakage = Breakage(lambda: now)
    breakage.note(["first"])
    now = BROKEN_SECONDS
    breakage.note(["second"])
    assert (breakage.is_there, breakage.find_lasting()) == (True, ["second"])
    breakage.note([])
    assert (breakage.is_there, breakage.find_lasting()) == (False, [])
    breakage.note(["third"])
    assert (breakage.is_there, breakage.find_lasting()) == (True, [])
