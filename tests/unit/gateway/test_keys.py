"""Admin keys and their file."""

from datetime import date
from pathlib import Path

import pytest

from contracts.settings import InvalidSettings
from gateway.keys import Keys, make_key, print_new_key

TODAY = date(2026, 1, 31)


def make_keys(file: Path | None = None) -> Keys:
    return Keys("plain", file, lambda: TODAY)


def test_the_plain_key_is_admins() -> None:
    keys = make_keys()
    assert keys.find_caller(b"plain") == "admin"
    assert [keys.find_caller(given) for given in (b"", b"Plain", b"plain ", b"\xff")] == [None] * 4


@pytest.mark.parametrize(("expiry", "caller"), [("", "svc"), (":2026-01-31", "svc"), (":2026-01-30", None)])
def test_a_key_is_good_up_to_its_last_day(tmp_path: Path, expiry: str, caller: str | None) -> None:
    key, line = make_key("svc")
    file = tmp_path / "keys"
    file.write_text(f"{line}{expiry}  # the portal\n")
    assert make_keys(file).find_caller(key.encode()) == caller


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "a:b",
        "name:" + "0" * 63,
        "admin:" + "0" * 64,
        "nats:" + "0" * 64,
        "na me:" + "0" * 64,
        "n:" + "0" * 64 + ":soon",
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    """Never by its text, which may be a key."""
    file = tmp_path / "keys"
    file.write_text(f"# fine\n{line}\n")
    with pytest.raises(InvalidSettings, match="line 2") as caught:
        make_keys(file)
    assert line not in str(caught.value)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """Also when it is replaced as a whole, as a mounted Secret is; a bad one changes nothing."""
    (first, first_line), (second, second_line) = make_key("first"), make_key("second")
    file, other = tmp_path / "keys", tmp_path / "other"
    file.write_text(first_line)
    keys = make_keys(file)
    other.write_text(second_line + "\n")
    other.replace(file)
    keys.reload()
    assert (keys.find_caller(first.encode()), keys.find_caller(second.encode())) == (None, "second")
    file.write_text("broken")
    keys.reload()
    assert keys.find_caller(second.encode()) == "second"


def test_a_new_key_is_printed_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_new_key("portal") == 0
    key, line = (text.rpartition(": ")[2] for text in capsys.readouterr().out.splitlines())
    file = tmp_path / "keys"
    file.write_text(line)
    assert make_keys(file).find_caller(key.encode()) == "portal"
    assert print_new_key("no name") == 2
