"""The simulated `settings rbac` answers every recorded question about every recorded policy as the real one did."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.everestctl.arguments import Flags
from tests.everestctl.commands import COMMANDS
from tests.everestctl.context import Context
from tests.everestctl.errors import ApiError, Failed, Usage
from tests.everestctl.output import Console
from tests.everestctl.rbac.policy import check_policy, read_policy

GOLDEN = Path(__file__).resolve().parents[2] / "data" / "transcripts" / "policy-golden.jsonl"
PAIRS = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
VERSIONS = ("1.10.0", "1.16.1")
CASES = {
    case: list(pairs)
    for case, pairs in groupby(sorted(PAIRS, key=lambda pair: str(pair["case"])), lambda pair: pair["case"])
}


def ask(capsys: pytest.CaptureFixture[str], word: str, path: Path, *question: str) -> dict[str, Any]:
    """What `settings rbac <word>` of a policy file exits with and prints, without usage texts."""
    context = Context(Console(is_pretty=True, is_json=False), "", [])
    command = COMMANDS["settings", "rbac", word]
    try:
        if len(question) != (command.arguments or 0):
            raise Usage(f"accepts {command.arguments} arg(s), received {len(question)}")
        code = command.run(context, Flags({"policy-file": str(path)}), *question) or 0
    except (Failed, ApiError) as error:
        context.console.fail(str(error))
        code = 1
    except Usage as error:
        return {"rc": 1, "out": "", "err": f"Error: {error}"}
    printed = capsys.readouterr()
    return {"rc": code, "out": printed.out, "err": printed.err}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_answers_as_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, case: str, version: str
) -> None:
    monkeypatch.setenv("EVERESTCTL_VERSION", version)
    for pair in CASES[case]:
        assert version in pair["version"]
        policy = tmp_path / "policy.csv"
        policy.write_bytes(pair["policy"].encode())
        validated, answered = ask(capsys, "validate", policy), ask(capsys, "can", policy, *pair["question"])
        assert validated == {"err": "", **pair["validate"]}, pair["policy"]
        assert answered == {"out": "", "err": "", **pair["can"]}, (pair["policy"], pair["question"])


def test_a_role_of_administrators_needs_no_member() -> None:
    check_policy(read_policy("p, role:admin, namespaces, read, x\n"), (1, 10))


@pytest.mark.parametrize(("version", "is_known"), [((1, 9), False), ((1, 10), True), ((1, 16), True)])
def test_a_resource_is_known_from_the_version_that_brought_it(version: tuple[int, int], is_known: bool) -> None:
    policy = read_policy("p, alice, enginefeatures/split-horizon-dns-configs, read, ns1/*\n")
    if is_known:
        check_policy(policy, version)
    else:
        with pytest.raises(Failed, match="unknown resource name"):
            check_policy(policy, version)


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("p, role:x, nonsense, read, a\np, alice, namespaces, re ad, b\n", "invalid policy term 're ad'"),
        ("p, alice, nonsense, read, a\np, role:x, namespaces, read, b\n", "role 'role:x' does not exist"),
        ("p, alice, nonsense, read, a\np, alice, rubbish, read, b\n", "unknown resource name 'nonsense'"),
    ],
)
def test_terms_are_looked_at_before_roles_and_roles_before_resources(policy: str, why: str) -> None:
    with pytest.raises(Failed, match=why):
        check_policy(read_policy(policy), (1, 10))


def test_a_line_of_one_field_is_none() -> None:
    for line in ("p", "g"):
        with pytest.raises(Failed, match=f"invalid policy line '{line}'"):
            read_policy(f"{line}\n")
