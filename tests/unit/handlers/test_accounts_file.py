"""Everest's account store is read in every form in which Everest, or a person, may have written it."""

import base64
import hashlib
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from handlers.tenants.accounts_file import (
    UnreadableAccounts,
    cut_account,
    proves,
    read_enabled,
    read_hash,
    set_enabled,
)
from tests.everestctl.accounts_file import Account, render_users

SALT = "0b1a2c3d-uid-of-everest-system"
HASH = bytes(range(200, 232))
ENCODED = base64.b64encode(HASH).decode()
ALICE = """\
admin:
  enabled: true
  capabilities:
  - login
  passwordMtime: "2025-11-21T20:49:00Z"
  passwordHash: initialadminpassword
alice:
  passwordHash: {}
  enabled: true
"""


def hash_of(password: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), SALT.encode(), 4096, 32)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        (f"!!binary {ENCODED}", HASH),
        (f"!!binary |\n    {ENCODED[:20]}\n    {ENCODED[20:]}", HASH),
        (f'!!binary "{ENCODED}"', HASH),
        ("plain text", b"plain text"),
        ("'it''s # here: quoted'", b"it's # here: quoted"),
        ('"tab\\t\\x07 \\u00e9 \\\\"', "tab\t\x07 é \\".encode()),
        ("12345678", b"12345678"),
    ],
)
def test_a_hash_is_read_however_it_is_written(written: str, stored: bytes) -> None:
    assert read_hash(ALICE.format(written), "alice") == stored
    assert read_hash(ALICE.format(written), "admin") == b"initialadminpassword"


def test_a_password_is_proved_by_its_hash_alone() -> None:
    users = ALICE.format(f"!!binary {base64.b64encode(hash_of('Secret_pw123')).decode()}")
    assert proves(users, SALT, "alice", "Secret_pw123")
    assert not proves(users, SALT, "alice", "Secret_pw124")
    assert not proves(users, "another", "alice", "Secret_pw123")
    assert not proves(users, SALT, "bob", "Secret_pw123")


@pytest.mark.parametrize("users", ["", "{}", "# nothing\n"])
def test_an_empty_store_holds_nobody(users: str) -> None:
    assert read_hash(users, "alice") is None


@pytest.mark.parametrize(
    ("users", "words"),
    [
        ("- alice\n", "the store is no mapping"),
        ("alice: yes\n", "the account is no mapping"),
        ("alice: {enabled: true}\n", "it has no passwordHash"),
        ("alice: {passwordHash: [1]}\n", "it has no passwordHash"),
        ("alice: {passwordHash: !!binary 'no*base64'}\n", "its passwordHash is broken"),
        ("alice: {", "the store is no YAML"),
        ("a: &a [*a]\nb: \0\n", "the store is no YAML"),
    ],
)
def test_not_knowing_is_not_the_same_as_no(users: str, words: str) -> None:
    with pytest.raises(UnreadableAccounts, match=words):
        proves(users, SALT, "alice", "Secret_pw123")


@pytest.mark.parametrize("name", ["null", "true", "123", "0x1F", "yes", "1e3"])
def test_a_name_that_looks_like_another_type_is_a_name(name: str) -> None:
    """Quoted, as Everest writes it, and as it would be without."""
    for key in (name, json.dumps(name)):
        assert read_hash(f"{key}:\n  passwordHash: abc\n", name) == b"abc"


@pytest.mark.thorough
@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9_]{3,20}", fullmatch=True), st.binary(min_size=32, max_size=32)))
def test_every_store_that_a_yaml_library_writes_is_read(accounts: dict[str, bytes]) -> None:
    users = yaml.safe_dump({name: {"enabled": True, "passwordHash": stored} for name, stored in accounts.items()})
    for name, stored in accounts.items():
        assert read_hash(users, name) == stored
    assert read_hash(users, "nobody-here") is None


@pytest.mark.parametrize("hash_", [b"\xff" * 32, "*text: with 'all' \"that\" # breaks", "two\nlines", "&anchor"])
def test_an_account_among_many_is_read_as_it_is_alone(hash_: bytes | str) -> None:
    """What its neighbours look like changes nothing."""
    names = ("bob", "123", "a-b.c", "null", "bob_", "x bob", "é")
    stored = hash_ if isinstance(hash_, bytes) else hash_.encode()
    for kept in (names, names[:5], names[:1]):
        users = render_users({name: Account(name != "bob", ("login",), "then", hash_) for name in kept})
        for name in kept:
            assert read_hash(users, name) == stored
            assert read_enabled(users, name) is (name != "bob")
        assert read_hash(users, "ob") is None
        assert read_hash(users, "enabled") is None


def test_the_last_of_two_accounts_of_a_name_counts_as_everywhere() -> None:
    for between in ("", "# by hand\n"):
        users = f"bob:\n  passwordHash: old\n{between}bob:\n  passwordHash: new\n"
        assert read_hash(users, "bob") == b"new"


def test_an_alias_is_followed_to_where_it_stands() -> None:
    assert read_hash("eve:\n  passwordHash: &same abc\nbob:\n  passwordHash: *same\n", "bob") == b"abc"


STORE = """\
admin:
  passwordHash: plain
  enabled: true
"alice":
  passwordHash: !!binary |
    AAAA
  capabilities:
  - login
null:
  passwordHash: x
"""


@pytest.mark.parametrize(
    ("username", "gone"),
    [("admin", slice(0, 3)), ("alice", slice(3, 8)), ("null", slice(8, 10))],
)
def test_an_account_is_cut_out_and_every_other_byte_stays(username: str, gone: slice) -> None:
    lines = STORE.splitlines(keepends=True)
    del lines[gone]
    assert cut_account(STORE, username) == "".join(lines)


@pytest.mark.parametrize("store", ["{alice: {passwordHash: x}, bob: {}}", "", "bob: {}", "- alice", "alice: ["])
def test_a_store_in_which_it_cannot_be_told_apart_is_left_alone(store: str) -> None:
    with pytest.raises(UnreadableAccounts):
        cut_account(store, "alice")


@pytest.mark.parametrize("enabled", ["true", '"true"'])
def test_an_account_is_disabled_and_enabled_in_its_place(enabled: str) -> None:
    """Every other byte stays; the moment of its password is new, which ends its sessions."""
    users = ALICE.format("text").replace("enabled: true", f"enabled: {enabled}") + "bob:\n  enabled: true\n"
    moment = "2026-01-01T00:00:00Z"
    disabled = set_enabled(users, "admin", moment, enabled=False)
    assert disabled == users.replace(f"enabled: {enabled}", "enabled: false", 1).replace("2025-11-21T20:49:00Z", moment)
    assert [read_enabled(disabled, name) for name in ("admin", "alice", "bob", "eve")] == [False, True, True, None]
    assert read_enabled(set_enabled(disabled, "admin", moment, enabled=True), "admin") is True
    assert set_enabled(users, "bob", moment, enabled=False) == users.removesuffix("true\n") + "false\n"


def test_an_account_in_one_line_is_disabled_too() -> None:
    users = 'é: {enabled: true}\nalice: {enabled: true, passwordHash: é, passwordMtime: "then", capabilities: []}\n'
    disabled = set_enabled(users, "alice", "now", enabled=False)
    assert disabled == users.replace("enabled: true, p", "enabled: false, p").replace("then", "now")


def test_an_account_that_says_nothing_is_not_enabled_and_cannot_be() -> None:
    """Everest takes what is missing for false."""
    assert read_enabled("alice: {passwordHash: x}\n", "alice") is False
    with pytest.raises(UnreadableAccounts):
        set_enabled("alice: {passwordHash: x}\n", "alice", "now", enabled=True)
