"""Admin keys and their file."""

from datetime import date
from pathlib import Path

import pytest

from contracts.process.settings import InvalidSettings
from gateway.keys import Keys, KeyScope, make_key, print_new_key
from gateway.operator_files import BROKEN_SECONDS

TODAY = date(2026, 1, 31)


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def make_keys(file: Path | None = None, clock: Clock | None = None) -> Keys:
    return Keys("plain", file, lambda: TODAY, clock or Clock())


def caller_of(keys: Keys, given: bytes) -> str | None:
    key = keys.find(given)
    return key.name if key else None


def test_the_plain_key_is_admins() -> None:
    keys = make_keys()
    assert caller_of(keys, b"plain") == "admin"
    assert [caller_of(keys, given) for given in (b"", b"Plain", b"plain ", b"\xff")] == [None] * 4


@pytest.mark.parametrize(("expiry", "caller"), [("", "svc"), (":2026-01-31", "svc"), (":2026-01-30", None)])
def test_a_key_is_good_up_to_its_last_day(tmp_path: Path, expiry: str, caller: str | None) -> None:
    key, line = make_key("svc")
    file = tmp_path / "keys"
    file.write_text(f"{line}{expiry}  # the portal\n")
    assert caller_of(make_keys(file), key.encode()) == caller


def test_two_lines_of_one_name_are_both_good(tmp_path: Path) -> None:
    """While a key is rotated: what belongs to the name stays the name's."""
    file = tmp_path / "keys"
    (first, line), (second, another) = make_key("portal", "bootstrap"), make_key("portal", "bootstrap")
    file.write_text(f"{line}\n{another}\n")
    keys = make_keys(file)
    assert [caller_of(keys, key.encode()) for key in (first, second)] == ["portal", "portal"]


ZEROS = "0" * 64


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "a:b",
        f"name:{ZEROS[1:]}",
        f"admin:{ZEROS}",
        f"nats:{ZEROS}",
        f"na me:{ZEROS}",
        f"n:{ZEROS}:soon",
        f"n:{ZEROS}::2026-01-31",
        f"n:{ZEROS}::read:x",
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
    """Also when it is replaced as a whole, as a mounted Secret is."""
    (first, first_line), (second, second_line) = make_key("first"), make_key("second")
    file, other = tmp_path / "keys", tmp_path / "other"
    file.write_text(first_line)
    keys = make_keys(file)
    other.write_text(second_line + "\n")
    other.replace(file)
    keys.reload()
    assert (caller_of(keys, first.encode()), caller_of(keys, second.encode())) == (None, "second")


@pytest.mark.parametrize("text", [None, b"", b"broken\n", b"\xff\xfe"], ids=["deleted", "empty", "broken", "no text"])
def test_a_key_that_was_removed_is_removed(tmp_path: Path, text: bytes | None) -> None:
    """Whatever else has become of the file."""
    key, line = make_key("gone")
    file = tmp_path / "keys"
    file.write_text(line)
    keys = make_keys(file)
    file.unlink()
    if text is not None:
        file.write_bytes(text)
    keys.reload()
    assert caller_of(keys, key.encode()) is None
    assert caller_of(keys, b"plain") == "admin"


def test_unbroken_lines_count_and_the_broken_one_is_told_after_a_while(tmp_path: Path) -> None:
    """A slip of an editor is no outage; a file that stays broken is."""
    (first, first_line), (second, second_line) = make_key("first"), make_key("second")
    file, clock = tmp_path / "keys", Clock()
    file.write_text(f"{first_line}\n{second_line}\n")
    keys = make_keys(file, clock)
    file.write_text(f"{first_line}\n{second_line[:-1]}\n")
    keys.reload()
    assert (caller_of(keys, first.encode()), caller_of(keys, second.encode())) == ("first", None)
    assert keys.is_broken
    assert keys.find_problems() == []
    clock.seconds = BROKEN_SECONDS
    assert [problem.partition(":")[0] for problem in keys.find_problems()] == ["ADMIN_API_KEYS_FILE line 2"]
    file.write_text(f"{first_line}\n")
    keys.reload()
    assert not keys.is_broken
    assert keys.find_problems() == []


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ("", {KeyScope.READ, KeyScope.BOOTSTRAP}),
        (":read", {KeyScope.READ}),
        ("::bootstrap", {KeyScope.READ, KeyScope.BOOTSTRAP}),
        (":2026-01-31:offboard", {KeyScope.READ, KeyScope.OFFBOARD}),
        (":bootstrap, offboard", {KeyScope.READ, KeyScope.BOOTSTRAP, KeyScope.OFFBOARD}),
        (":admin", set(KeyScope)),
    ],
)
def test_a_key_is_good_for_its_scopes(tmp_path: Path, scopes: str, allowed: set[KeyScope]) -> None:
    """Without any it has what it had before there were scopes, and nothing that destroys."""
    given, line = make_key("svc")
    file = tmp_path / "keys"
    file.write_text(line + scopes)
    key = make_keys(file).find(given.encode())
    assert key is not None
    assert {scope for scope in KeyScope if key.may(scope)} == allowed


def test_the_plain_key_is_good_for_everything() -> None:
    key = make_keys().find(b"plain")
    assert key is not None
    assert all(key.may(scope) for scope in KeyScope)


def test_a_new_key_is_printed_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_new_key("portal", "read,offboard") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    key, line = (text.rpartition(": ")[2] for text in printed.out.splitlines())
    file = tmp_path / "keys"
    file.write_text(line)
    assert caller_of(make_keys(file), key.encode()) == "portal"
    assert [print_new_key(name) for name in ("no name", "admin", "nats")] == [2, 2, 2]
    assert print_new_key("portal", "everything") == 2


def test_of_a_new_key_without_scopes_it_is_said_that_nothing_binds_it(capsys: pytest.CaptureFixture[str]) -> None:
    """It has what every key of 0.1.0 had: also the tenants of others are its own."""
    assert print_new_key("portal") == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2
    assert "--scopes bootstrap" in printed.err
