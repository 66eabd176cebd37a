"""A machine with nothing but Python 3.11."""

from tests.laboratory.image.bases import PYTHON
from tests.laboratory.image.engine import run
from tests.laboratory.image.surroundings import Surroundings

TEST_SECONDS = 3600  # five minutes on two idle cores


def the_tests_run_with_pip_alone(here: Surroundings) -> None:
    """pip install -r requirements.txt and pytest -q"""
    script = "cp -r /checkout /tests && cd /tests && pip install -q -r requirements.txt && pytest -q"
    mount = f"{here.checkout}:/checkout:ro"
    words = (
        "docker",
        "run",
        "--rm",
        "--init",
        "-v",
        mount,
        PYTHON,
        "timeout",
        str(TEST_SECONDS),
        "bash",
        "-euc",
        script,
    )
    said = run(*words, seconds=TEST_SECONDS + 60).strip()
    assert " passed" in said.splitlines()[-1], said[-3000:]
    print(f"      {said.splitlines()[-1]}")
