"""The accounts file is read and written as the real everestctl 1.10.0 did: by hand, and under names that mean more."""

import base64
import json
from typing import Any

import pytest

from tests.everestctl.accounts_file import Account, read_users, render_users
from tests.everestctl.errors import Failed
from tests.transcripts import FOLDER

RECORDED = [json.loads(line) for line in (FOLDER / "accounts-by-hand.jsonl").read_text().splitlines()]
# What is not read here: anchors, and tags of keys.
LEFT_OUT = {"by-hand-binary-name", "by-hand-anchor", "by-hand-merge"}
NEW = Account(True, ("login",), "<TIME>", "<HASH>")


@pytest.mark.parametrize("one", [one for one in RECORDED if one["case"] not in LEFT_OUT], ids=lambda one: one["case"])
def test_a_file_is_read_and_written_as_recorded(one: dict[str, Any]) -> None:
    if one["rc"] == 1:
        with pytest.raises(Failed) as failed:
            read_users(one["users"])
        said = [line.rstrip() for line in one["stderr"].removeprefix("❌ ").strip().split("\n")]
        assert str(failed.value).split("\n") == [said[0], *said[1:]]
        return
    users = read_users(one["users"])
    if one["stored"] is not None:
        assert render_users({**users, "newone": NEW}) == one["stored"]
    names = [line.split()[0] for line in one["stdout"].splitlines() if line.split()[:1] not in (["USER"], [])]
    if one["rc"] == 0:
        assert sorted(name for name in users if name) == sorted(name for name in names if not name.startswith("["))


NAMES = [one for one in RECORDED if one["case"].startswith("name-")]


@pytest.mark.parametrize("one", NAMES, ids=lambda one: one["case"])
def test_a_name_is_quoted_where_the_real_one_quotes_it(one: dict[str, Any]) -> None:
    name = one["case"].removeprefix("name-")
    assert render_users({name: NEW}).split("\n")[0] == one["users"].split("\n")[0]


def test_a_hash_is_base64_but_where_it_happens_to_be_text() -> None:
    for value in (bytes(range(200, 232)), b"plain", b"two\nlines\n", b"no end\nhere", b"many\n\n\n"):
        rendered = render_users({"alice": Account(password_hash=value)})
        found = read_users(rendered)["alice"]
        assert found is not None
        hash_ = found.password_hash
        assert (hash_ if isinstance(hash_, bytes) else hash_.encode()) == value
        assert (f"!!binary {base64.b64encode(value).decode()}" in rendered) is (value[0] >= 128)
