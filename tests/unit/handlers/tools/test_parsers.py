"""What command lines print becomes data: Everest's tables, JSON, and whatever else is a table."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.tools.parsers import parse_accounts, parse_namespaces, parse_table

# As everestctl prints them, blanks at the ends included.
THREE = (
    "USER             CAPABILITIES  ENABLED  \n"
    "alice            [login]       true     \n"
    "admin            [login]       true     \n"
    "bob_the_builder  [login]       true     \n"
)
EDITED = (
    "USER    CAPABILITIES    ENABLED  \n"
    "admin   [login apiKey]  true     \n"
    "ci_bot  [apiKey]        true     \n"
    "svc     []              false    \n"
)
NAMESPACES = (
    "NAMESPACE  MANAGED  OPERATORS                           \n"
    "bobby      true     psmdb(v1.21.1)                      \n"
    "alice      true     postgresql(v2.7.0), psmdb(v1.21.1)  \n"
    "default    false                                        \n"
)


def test_accounts_are_read_by_their_columns_and_sorted() -> None:
    """Everest's own order is random."""
    assert parse_accounts(THREE) == [
        {"user": user, "capabilities": ["login"], "enabled": True} for user in ("admin", "alice", "bob_the_builder")
    ]


def test_capabilities_are_a_list_and_enabled_is_a_boolean() -> None:
    assert parse_accounts(EDITED) == [
        {"user": "admin", "capabilities": ["login", "apiKey"], "enabled": True},
        {"user": "ci_bot", "capabilities": ["apiKey"], "enabled": True},
        {"user": "svc", "capabilities": [], "enabled": False},
    ]


def test_an_account_made_by_hand_may_have_any_name() -> None:
    text = "USER        CAPABILITIES  ENABLED  \nodd [name]  [login]       true     \n"
    assert parse_accounts(text) == [{"user": "odd [name]", "capabilities": ["login"], "enabled": True}]


@pytest.mark.parametrize("text", ["", "\n", "USER  CAPABILITIES  ENABLED  \n"])
def test_no_accounts_are_an_empty_list(text: str) -> None:
    assert parse_accounts(text) == []


@pytest.mark.parametrize("text", ['[{"user": "admin"}]', '{"users": []}', " [] "])
def test_json_is_passed_through(text: str) -> None:
    assert parse_accounts(text) == json.loads(text)


def test_namespaces_are_read_by_their_columns() -> None:
    assert parse_namespaces(NAMESPACES) == [
        {
            "namespace": "alice",
            "managed": True,
            "operators": [{"name": "postgresql", "version": "v2.7.0"}, {"name": "psmdb", "version": "v1.21.1"}],
        },
        {"namespace": "bobby", "managed": True, "operators": [{"name": "psmdb", "version": "v1.21.1"}]},
        {"namespace": "default", "managed": False, "operators": []},
    ]
    assert parse_namespaces("NAMESPACE  MANAGED  OPERATORS  \n") == []


@pytest.mark.parametrize(
    "text",
    [
        "USER | ROLE | ACTIVE\nalice | dev ops | yes\nbob | dba | no\n",
        "| USER | ROLE | ACTIVE |\n|------|:----:|-------:|\n| alice | dev ops | yes |\n| bob | dba | no |\n",
        " USER  | ROLE    | ACTIVE\n-------+---------+-------\n alice | dev ops | yes\n bob   | dba     | no\n",
        "USER   ROLE     ACTIVE\nalice  dev ops  yes\nbob    dba      no\n",
    ],
)
def test_other_tables_are_split_by_bars_or_blanks(text: str) -> None:
    rows = [{"user": "alice", "role": "dev ops", "active": "yes"}, {"user": "bob", "role": "dba", "active": "no"}]
    assert parse_table(text) == rows
    assert parse_accounts(text) == rows


def test_single_blanks_split_where_nothing_else_does() -> None:
    assert parse_table("USER ENABLED\nalice true\n") == [{"user": "alice", "enabled": "true"}]


def test_rows_keep_all_they_have() -> None:
    """More cells than names, or fewer, lose nothing and break nothing."""
    assert parse_table("A | B\n1 | 2 | 3\n4\n") == [{"a": "1", "b": "2 3"}, {"a": "4", "b": ""}]


_NAME = st.from_regex(r"[A-Za-z0-9_]{1,40}", fullmatch=True)
_ACCOUNT = st.tuples(_NAME, st.lists(st.sampled_from(["login", "apiKey"]), unique=True), st.booleans())


@given(st.lists(_ACCOUNT, unique_by=lambda account: account[0]), st.randoms(use_true_random=False))
def test_every_table_that_everest_prints_is_read(
    accounts: list[tuple[str, list[str], bool]], order: random.Random
) -> None:
    """Rendered as rodaine/table does: every cell is padded to its column, two blanks between."""
    cells = [(user, f"[{' '.join(able)}]", str(enabled).lower()) for user, able, enabled in accounts]
    order.shuffle(cells)
    rows = [("USER", "CAPABILITIES", "ENABLED"), *cells]
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(3)]
    text = "".join("".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) + "\n" for row in rows)
    assert parse_accounts(text) == sorted(
        ({"user": user, "capabilities": able, "enabled": enabled} for user, able, enabled in accounts),
        key=lambda account: str(account["user"]),
    )


@given(st.text(max_size=300))
def test_any_text_gives_an_answer(text: str) -> None:
    parse_accounts(text)
    parse_namespaces(text)
