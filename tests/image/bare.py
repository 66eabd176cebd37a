"""A machine with nothing but Python 3.11."""

from tests.image.bases import PYTHON
from tests.image.engine import docker
from tests.image.surroundings import Surroundings


def the_tests_run_with_pip_alone(here: Surroundings) -> None:
    """pip install -r requirements.txt and pytest -q"""
    script = "cp -r /checkout /tests && cd /tests && pip install -q -r requirements.txt && pytest -q"
    mount = f"{here.checkout}:/checkout:ro"
    said = docker("run", "--rm", "--init", "-v", mount, PYTHON, "timeout", "1200", "bash", "-euc", script)
    assert " passed" in said.splitlines()[-1], said[-3000:]
    print(f"      {said.splitlines()[-1]}")
