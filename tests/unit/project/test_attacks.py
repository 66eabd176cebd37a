"""The table of `make attack` names tests that are there: one that was renamed would repel nothing."""

import ast

import pytest

from tests.laboratory.attacks import ATTACKS, ROOT, judge

CASES = sorted({case for row in ATTACKS.values() for case in row})


@pytest.mark.parametrize(("file", "name"), CASES)
def test_each_attack_is_a_test(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in functions


def test_only_what_ran_and_passed_is_repelled() -> None:
    row = (("tests/unit/test_a.py", "test_b"),)
    assert judge({"tests.unit.test_a.test_b": {"passed"}}, row) == "repelled"
    assert judge({"tests.unit.test_a.test_b": {"passed", "failure"}}, row) == "NOT REPELLED"
    assert judge({"tests.unit.test_a.test_b": {"skipped"}}, row) == "passed over"
    assert judge({}, row) == "NOT REPELLED"
