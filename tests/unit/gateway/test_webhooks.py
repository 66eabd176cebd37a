"""The file of webhooks: what can be used of it, and what is said of the rest."""

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from gateway.commands.webhooks import make_secret, print_new_webhook
from gateway.operator_files import BROKEN_SECONDS, Breakage
from gateway.webhooks.attempts import read_wait
from gateway.webhooks.declared import check_address, find_files, read_webhooks

SECRET = make_secret()
ORDERS = "{name: orders, url: 'https://orders.example.org/', secret_file: a.secret}"
PORTAL = "{name: portal, url: 'https://portal.example.org/', secret_file: b.secret}"


def declare(folder: Path, *rows: str) -> Path:
    for name in ("a.secret", "b.secret"):
        (folder / name).write_text(SECRET)
    file = folder / "webhooks.yaml"
    file.write_text("webhooks:\n" + "".join(f"- {row}\n" for row in rows))
    return file


def declare_text(folder: Path, text: str) -> Path:
    file = folder / "webhooks.yaml"
    file.write_text(text)
    return file


BROKEN_ROWS = {
    "no row": ("orders", "WEBHOOKS_FILE row 1: "),
    "nothing": ("", "WEBHOOKS_FILE row 1: "),
    "no address": ("{name: orders, secret_file: a.secret}", "WEBHOOKS_FILE row 1 url: is required"),
    "a wrong name": (ORDERS.replace("orders,", "or ders,"), "WEBHOOKS_FILE row 1 name: "),
    "a wrong kind": (ORDERS.replace("}", ", kinds: [all]}"), "WEBHOOKS_FILE row 1 kinds: "),
    "no list": (ORDERS.replace("}", ", statuses: failed}"), "WEBHOOKS_FILE row 1 statuses: must be a list"),
    "a name that is a number": (ORDERS.replace("orders,", "12,"), "WEBHOOKS_FILE row 1 name: must be text"),
    "no kind": (ORDERS.replace("}", ", kinds: []}"), "WEBHOOKS_FILE row 1 kinds: must not be empty"),
    "no status": (ORDERS.replace("}", ", statuses: []}"), "WEBHOOKS_FILE row 1 statuses: must not be empty"),
    "no caller": (ORDERS.replace("}", ", callers: []}"), "WEBHOOKS_FILE row 1 callers: must not be empty"),
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
    "text",
    [
        None,
        b"\xff\xfe",
        b"webhooks: [",
        b"webhooks: 2026-99-99",
        b"- a",
        b"version: 2",
        b"webhook: []",
        b"webhooks: " + 2000 * b"[",
    ],
    ids=["none", "no text", "no end", "no date", "a list", "a later version", "another member", "deeper than is read"],
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


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"webhooks:\n- {ORDERS}\nwebhooks:\n- {PORTAL}\n", "WEBHOOKS_FILE line 3 gives a member again"),
        (f"webhooks:\n- {ORDERS}\n- {PORTAL[:-1]}, url: 'http://b'}}\n", "WEBHOOKS_FILE line 3 gives a member again"),
        (f"webhooks:\n- {ORDERS}\n- {{name: '{SECRET}", "WEBHOOKS_FILE line 3 cannot be read: ScannerError"),
    ],
    ids=["two lists", "two addresses", "no end"],
)
def test_where_a_file_is_wrong_is_told(tmp_path: Path, text: str, problem: str) -> None:
    """Of two lists the first would be forgotten without a word."""
    assert read_webhooks(declare_text(tmp_path, text)) == ((), [problem])


@pytest.mark.parametrize("name", ["orders", "12", "no", "null", "1e3"])
@pytest.mark.parametrize("url", ["https://example.org/hook", "http://[::1]:90/?token=a: b #c", 'http://a/"\n- x: 1'])
def test_the_lines_of_new_webhook_can_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, url: str
) -> None:
    assert print_new_webhook(name, url) == 0
    printed = capsys.readouterr().out
    rows = printed.partition("webhooks:\n")[2].partition("\n\n")[0]
    (secret,) = (line.strip() for line in printed.splitlines() if line.strip().startswith("whsec_"))
    (tmp_path / f"{name}.secret").write_text(secret)
    (webhook,), problems = read_webhooks(declare_text(tmp_path, f"webhooks:\n{rows}\n"))
    assert (webhook.name, webhook.secrets, problems) == (name, (secret,), [])
    assert webhook.url == check_address(url)


@pytest.mark.parametrize("url", ["file:///a", "http://", "here", "http://a:99999/", "ftp://a", "http://a b/", ""])
def test_new_webhook_takes_what_the_file_takes(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert print_new_webhook("orders", url) == 2
    assert capsys.readouterr().out == ""


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


NOW = datetime(2026, 11, 27, 8, 0, tzinfo=UTC)
WAITS = {
    "seconds": ({"Retry-After": "120"}, 120),
    "a date": ({"Retry-After": "Fri, 27 Nov 2026 08:02:00 GMT"}, 120),
    "a date as RFC 850 had it": ({"Retry-After": "Friday, 27-Nov-26 08:02:00 GMT"}, 120),
    "a date as C has it": ({"Retry-After": "Fri Nov 27 08:02:00 2026"}, 120),
    "a date of its own clock": (
        {"Retry-After": "Mon, 01 Jan 2024 00:02:00 GMT", "Date": "Mon, 01 Jan 2024 00:00:00 GMT"},
        120,
    ),
    "a date beside one that is none": ({"Retry-After": "Fri, 27 Nov 2026 08:02:00 GMT", "Date": "today"}, 120),
    "a date that is past": ({"Retry-After": "Fri, 27 Nov 2026 07:59:59 GMT"}, 0),
    "a year that is none": ({"Retry-After": f"Fri, 27 Nov {'9' * 30} 08:02:00 GMT"}, 0),
    "a part of a second": ({"Retry-After": "1.5"}, 0),
    "less than nothing": ({"Retry-After": "-120"}, 0),
    "words": ({"Retry-After": "soon"}, 0),
    "nothing": ({}, 0),
}


@pytest.mark.parametrize(("headers", "seconds"), WAITS.values(), ids=WAITS)
def test_how_long_a_receiver_wants_to_be_left_alone(headers: dict[str, str], seconds: float) -> None:
    """RFC 9110, 10.2.3: in seconds, or until a date in any of the three forms of its 5.6.7."""
    assert read_wait(httpx.Headers(headers), NOW) == seconds
