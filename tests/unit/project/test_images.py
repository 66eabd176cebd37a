"""What the engine is sent to build images from is enough to start what is in them."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.servers import ROOT

STARTED = (
    "gateway.__main__",
    "handlers.__main__",
    "tests.demo",
    "tests.simulator.__main__",
    "tests.everestctl.program",
    "tests.everestctl.accounts",  # the commands', which it imports as they are asked for
    "tests.everestctl.namespaces.listing",
    "tests.everestctl.namespaces.provisioning",
    "tests.everestctl.namespaces.removal",
    "tests.everestctl.rbac.commands",
    "tests.everestctl.status",
)


def test_what_is_sent_can_be_imported(tmp_path: Path) -> None:
    """The demo holds the simulated Everest, and little else of the tests."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    for name in (line.removeprefix("!") for line in lines if line.startswith("!")):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    path = [str(tmp_path), *(place for place in sys.path if place and Path(place).resolve() != ROOT)]
    script = f"import sys; sys.path[:] = {path!r}; import {', '.join(STARTED)}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
