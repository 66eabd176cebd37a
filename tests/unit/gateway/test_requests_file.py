"""A file for `apply`: all of it is judged before anything is sent, and each problem has its place."""

from pathlib import Path

import pytest

from contracts.requests import BootstrapRequest, InvalidRequest, validate_request
from gateway.client.requests_file import InvalidRequestsFile, read_batches

_PLACED = (
    (
        "- username: alice\n- {}\n- nobody\n",
        ("requests[1].username: is required", "requests[2]: must be a JSON object"),
    ),
    ("- username: 2026-01-01\n", ("requests[0].username: must be",)),
    ("- username: 2026-13-45\n", ("requests[0].username: must be",)),
    ("- username: 2026\n", ("requests[0].username: must be a string",)),
    ("- username: alice\n  resources: {ram_mb: 1:30}\n", ("requests[0].resources.ram_mb: must be",)),
    ("- username: alice\n  resources: {cpu_cores: 1:30.5}\n", ("requests[0].resources.cpu_cores: must be",)),
    ("- username: alice\n  resources: {cpu_cores: .nan}\n", ("requests[0].resources.cpu_cores: must be",)),
    ("- username: !!binary YWxpY2U=\n", ("could not determine a constructor", "line 2")),
    ('- username: alice\n  correlation: "\\ud800"\n', ("requests[0].correlation: ",)),
    ('- username: alice\n  subjects: ["\\ud800"]\n', ("requests[0].subjects",)),
    ("- username: alice\n  subjects: !!set {a, b}\n", ("could not determine a constructor", "line 3")),
    ("- username: !!bool nobody\n", ("cannot be read",)),
    (f"- username: {'[' * 5000}\n", ("cannot be read",)),
    ("- username: alice\n  1: one\n", ("requests[0].1: is not valid",)),
    ("- username: alice\n  username: bob\n", ("a member is given again", "line 3")),
    ("- username: alice\nrequests:\n- username: bob\n", ("a member is given again", "line 3")),
)


def _write(folder: Path, rows: str) -> Path:
    file = folder / "tenants.yaml"
    file.write_text(f"requests:\n{rows}")
    return file


@pytest.mark.parametrize(("rows", "said"), _PLACED)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, rows: str, said: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequestsFile) as refused:
        read_batches(_write(tmp_path, rows))
    assert [part for part in said if part not in str(refused.value)] == [], refused.value


def test_it_is_said_in_the_words_of_the_gateway(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as expected:
        validate_request(BootstrapRequest, {"username": "x", "colour": "red"})
    with pytest.raises(InvalidRequestsFile) as refused:
        read_batches(_write(tmp_path, "- {username: x, colour: red}\n"))
    listed = [f"  requests[0].{field}: {message}" for field, message in expected.value.problems]
    assert str(refused.value).splitlines()[1:] == listed


def test_one_that_is_not_valid_beyond_a_thousand_keeps_all_back(tmp_path: Path) -> None:
    valid = "".join(f"- username: user{number}\n" for number in range(1000))
    with pytest.raises(InvalidRequestsFile, match=r"requests\[1000\]\.username: must be"):
        read_batches(_write(tmp_path, f"{valid}- username: x\n"))


def test_a_long_list_of_problems_is_cut_and_counted(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestsFile) as refused:
        read_batches(_write(tmp_path, "- {}\n" * 120))
    lines = str(refused.value).splitlines()
    assert (lines[100], lines[101:]) == ("  requests[99].username: is required", ["  and 20 more"])


def test_batches_hold_a_thousand_and_know_their_place_and_key(tmp_path: Path) -> None:
    rows = "".join(f"- username: user{number}\n" for number in range(1002))
    batches = read_batches(_write(tmp_path, rows))
    assert [str(batch) for batch in batches] == ["requests[0] to requests[999]", "requests[1000] to requests[1001]"]
    assert [batch.key for batch in batches] == [batch.key for batch in read_batches(_write(tmp_path, rows))]
    assert batches[0].key != batches[1].key
