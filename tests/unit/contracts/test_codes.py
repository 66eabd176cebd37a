"""The table of codes, and that the program uses no other."""

import ast
from pathlib import Path

from contracts.codes import CODES, Failure, Nature, find_code

ROOT = Path(__file__).parents[3]


def test_every_failure_that_we_name_is_in_the_table() -> None:
    """An unknown code is read as one of a later version, so a slip of the pen would go unseen."""
    named = {
        (path.name, node.args[0].value)
        for package in ("contracts", "gateway", "handlers")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", None) in ("Failure", "Problem", "Meaning")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert len(named) > 20
    assert {(module, code) for module, code in named if code not in CODES} == set()


def test_a_code_of_a_later_version_stands_for_itself() -> None:
    """It is shown, and never tried again by who does not know it."""
    failure = Failure("from_tomorrow", "m")
    assert find_code("from_tomorrow").name == "from_tomorrow"
    assert (failure.nature, failure.retryable, bool(failure.hint)) == (Nature.PERMANENT, False, True)
