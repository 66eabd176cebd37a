"""What is kept of an output: what a person would have seen at the end, legal in JSON, short enough, without secrets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.commands.outputs import clean, shorten, show, show_end, tail
from handlers.commands.secret import MASK, Secret

# What everestctl v1.10 writes without a terminal: spinner frames of three rows, the cursor moved up before each.
HIDE = "\x1b[?25l\x1b[?2004h"
SHOW = "\x1b[D\x1b[2K\r\x1b[?2004l\x1b[?25h\x1b[?1002l\x1b[?1003l\x1b[?1006l"
SPINNER = ("●∙∙", "∙●∙", "∙∙●", "∙∙∙")


def spinner(title: str, frames: int, last: str | None) -> str:
    first, *others = (SPINNER[number % 4] for number in range(frames))
    written = f"\r{first} {title}\r\n\r\nEsc/Ctrl+c quit\r\n"
    written += "".join(f"\x1b[D\x1b[3A{frame} {title}\r\n\n\n" for frame in others)
    return written + (f"\x1b[D\x1b[3A{last}  {title}\r\n\r \x1b[J" if last else "")


ADD = "Provisioning database namespace 'alice'"
REMOVE = (
    HIDE + "\r●∙∙ Deleting database clusters in namespace 'bobby'\r\n\r\nEsc/Ctrl+c quit\r\n"
    "\x1b[D\x1b[3A∙●∙ Deleting database clusters in namespace 'bobby'\r\n\n\n"
    "\x1b[D\x1b[3A✅  Deleting database clusters in namespace 'bobby'\r\n"
    "\r∙●∙ Deleting backup storages in namespace 'bobby'\r\n\r\nEsc/Ctrl+c quit\r\n"
    "\x1b[D\x1b[3A∙∙● Deleting backup storages in namespace 'bobby'\r\n\n\n"
    "\x1b[D\x1b[3A✅  Deleting backup storages in namespace 'bobby'\r\n"
    "\r∙∙● Deleting monitoring instances in namespace 'bobby'\r\n\r\nEsc/Ctrl+c quit\r\n"
    "\x1b[D\x1b[3A∙∙∙ Deleting monitoring instances in namespace 'bobby'\r\n\n\n"
    "\x1b[D\x1b[3A✅  Deleting monitoring instances in namespace 'bobby'\r\n"
    "\r∙∙∙ Deleting database namespace 'bobby'\r\n\r\nEsc/Ctrl+c quit\r\n"
    "\x1b[D\x1b[3A●∙∙ Deleting database namespace 'bobby'\r\n\n\n"
    "\x1b[D\x1b[3A✅  Deleting database namespace 'bobby'\r\n\r \x1b[J" + SHOW
)


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        pytest.param(HIDE + spinner(ADD, 18, "✅") + SHOW, f"✅  {ADD}\n", id="added"),
        pytest.param(HIDE + spinner(ADD, 2, "❌") + SHOW, f"❌  {ADD}\n", id="failed"),
        pytest.param(
            "⚠️  Removal of an installed operator is not supported. Proceeding without removal.\n"
            + HIDE
            + spinner(ADD, 5, "✅")
            + SHOW,
            f"⚠️  Removal of an installed operator is not supported. Proceeding without removal.\n✅  {ADD}\n",
            id="warning first",
        ),
        pytest.param(
            HIDE + spinner(ADD, 21, None) + SHOW, f"●∙∙ {ADD}\n\nEsc/Ctrl+c quit\n", id="SIGTERM, exit code 0"
        ),
        pytest.param(HIDE + spinner(ADD, 21, None) + "\x1b[D", f"●∙∙ {ADD}\n\nEsc/Ctrl+c quit\n", id="SIGKILL"),
        pytest.param(
            REMOVE,
            "✅  Deleting database clusters in namespace 'bobby'\n✅  Deleting backup storages in namespace 'bobby'\n"
            "✅  Deleting monitoring instances in namespace 'bobby'\n✅  Deleting database namespace 'bobby'\n",
            id="several titles",
        ),
    ],
)
def test_of_everestctl_remains_what_its_terminal_would_show(written: str, seen: str) -> None:
    assert clean(written.encode()) == seen


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        (b"plain\n\ttext\n", "plain\n\ttext\n"),
        (b"", ""),
        (b"dos\r\nlines\r\n", "dos\nlines\n"),
        (b"\x1b[1;31mError\x1b[0m: no\n", "Error: no\n"),
        (b"10%\r50%\r100%\ndone", "100%\ndone"),
        (b"longer\rshort", "shortr"),
        (b"longer\r\x1b[Kshort", "short"),
        (b"ab\b\bc", "cb"),
        ("⏳ wait\r✅ ".encode(), "✅ wait"),
        ("e\u0301x\rab".encode(), "ab"),
        (b"one\ntwo\n\x1b[2AONE\n", "ONE\ntwo\n"),
        (b"\x1b]0;title\x07text\x1b]8;;http://x\x1b\\link", "textlink"),
        (b"nul\x00 bell\x07 del\x7f c1\xc2\x85", "nul bell del c1"),
        (b"\xff\xfe latin \xe9", "\ufffd\ufffd latin \ufffd"),
        (b"\x1b[", "["),
        (b"\x1b", ""),
        (b"up\x1b[99999999999999999999A\x1b[99999999999999999999Cx", "upx"),
    ],
)
def test_control_sequences_do_what_they_do_in_a_terminal(written: bytes, seen: str) -> None:
    assert clean(written) == seen


@given(
    st.binary(max_size=300)
    | st.text(alphabet="ab\r\n\b\x1b[]0123;ABCDGJKmh✅é\u0301\x00", max_size=300).map(str.encode)
)
def test_any_bytes_become_a_text_that_json_and_every_reader_can_hold(raw: bytes) -> None:
    text = clean(raw)
    assert json.loads(json.dumps(text)) == text
    text.encode()
    assert all(character.isprintable() or character in "\n\t" or ord(character) > 0x9F for character in text)


@given(st.text(alphabet="ab \t\né✅", max_size=200))
def test_a_text_without_control_characters_stays_as_it_is(text: str) -> None:
    assert clean(text.encode()) == text


HOSTILE = {
    "carriage returns": b"\ra",
    "backspaces": b"a\b",
    "escapes": b"\x1b[",
    "unended command strings": b"\x1b]",
    "cursor up": b"x\x1b[999A\n",
    "erased lines": b"xxxx\x1b[2D\x1b[K",
    "combining characters": "a\u0301\r".encode(),
    "invalid UTF-8": b"\xff\r",
    "NUL": b"\0",
}
QUICK = ("carriage returns", "escapes", "invalid UTF-8")  # a second each


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in HOSTILE]
)
def test_10_mb_of_hostile_output_are_shown_within_the_limit(name: str) -> None:
    """Linear time: one pass over an input of this size must not be noticed; a quadratic one would take hours."""
    raw = b"y" * 1_000_000 + HOSTILE[name] * (9_000_000 // len(HOSTILE[name]))
    assert len(show(raw, 20_000)) <= 20_000


def test_cleaning_takes_time_in_proportion_to_a_long_row_that_is_rewritten() -> None:
    """A row of 1 MB with 300,000 rewrites of its first character: quadratic work would be 3 × 10^11 steps."""
    assert clean(b"y" * 1_000_000 + b"\rx" * 300_000) == "x" + "y" * 999_999


def test_a_long_text_keeps_head_and_tail_and_names_the_cut() -> None:
    text = "".join(f"line {number}\n" for number in range(10_000))
    shortened = shorten(text, 1_000)
    assert len(shortened) <= 1_000
    head, note, end = shortened.partition("… 9")[0], *shortened.partition("… 9")[1:]
    assert note
    assert text.startswith(head.removesuffix("\n"))
    assert text.endswith(end.split("…\n", 1)[1])
    assert "characters cut" in shortened
    assert shorten("short", 1_000) == "short"


@given(st.text(alphabet="ab✅\n", max_size=400), st.integers(min_value=0, max_value=300))
def test_a_shortened_text_is_never_longer_than_its_limit(text: str, limit: int) -> None:
    shortened = shorten(text, limit)
    assert len(shortened) <= max(0, limit)
    assert len(text) > limit or shortened == text


@given(st.integers(min_value=1_000, max_value=99_999), st.integers(min_value=100, max_value=900))
def test_the_named_cut_is_what_is_missing(length: int, limit: int) -> None:
    head, note, end = shorten("x" * length, limit).split("\n")
    assert len(head) + len(end) + int(note.split()[1].replace(",", "")) == length


def test_the_tail_is_where_the_reason_stands() -> None:
    assert tail("a long story: the reason", 10) == "the reason"
    assert tail("short", 10) == "short"
    assert tail("short", 0) == ""


def test_what_is_shown_holds_no_secret_also_where_control_characters_divide_it() -> None:
    secret = Secret("hunter2-hunter2")
    raw = b"password hunter2-hunter2, hunter2\x00-hunter2, \x1b[1mhunter2-\x1b[0mhunter2, aHVudGVyMi1odW50ZXIy\n"
    assert show(raw, 1_000, [secret]) == f"password {MASK}, {MASK}, {MASK}, {MASK}\n"


def test_a_cut_leaves_no_half_of_a_secret() -> None:
    secret = Secret("hunter2-hunter2")
    for limit in range(200, 260):
        assert "hunter" not in show(b"hunter2-hunter2 " * 1_000, limit, [secret])
    assert "hunter" not in show(b"hunter2-hunter2 " * 300_000, 300, [secret])


def test_the_end_of_an_output_is_cleaned_masked_and_short() -> None:
    raw = b"first\r\n\x1b[31mred\x1b[0m\n" + b"x" * 5000 + b"\nthe password is s3cret-s3cret-s3cret\n"
    shown = show_end(raw, 100, (Secret("s3cret-s3cret-s3cret"),))
    assert len(shown.encode()) <= 100
    assert shown.endswith(f"the password is {MASK}")
    assert show_end(b"\x1b[31mred\x1b[0m\n", 100) == "red"
    assert len(show_end("ü".encode() * 200, 101).encode()) == 100


def test_of_a_command_at_work_neither_spinner_nor_keys_are_shown() -> None:
    """As everestctl 1.10 draws them, twice."""
    begun = "\x1b[?25l\r●∙∙ Deleting backup storages\r\n\r\nEsc/Ctrl+c quit\r\n\x1b[D\x1b[3A"
    went_on = "✅  Deleting backup storages\r\n\r∙●∙ Deleting the namespace\r\n\r\nEsc/Ctrl+c quit\r\n\x1b[D"
    assert show_end(begun.encode(), 100) == "Deleting backup storages"
    assert show_end((begun + went_on).encode(), 100) == "✅  Deleting backup storages\nDeleting the namespace"
