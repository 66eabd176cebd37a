"""`make setup` in any folder: the line by which an environment finds the checkout."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.servers import ROOT


def test_python_starts_in_a_folder_with_an_umlaut_whatever_the_locale(tmp_path: Path) -> None:
    recipe = subprocess.check_output(["make", "--dry-run", "--always-make", "setup"], cwd=ROOT, text=True)
    (relate,) = [line for line in recipe.splitlines() if "__editable__" in line]
    checkout = tmp_path / "übung"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    (packages,) = checkout.glob(".venv/lib/python*/site-packages")
    (packages / "__editable__.own-1.0.pth").write_text(f"{checkout}\n", encoding="utf-8")
    (checkout / "own.py").write_text("")

    def start() -> int:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        argv = [str(checkout / ".venv" / "bin" / "python"), "-c", "import own"]
        return subprocess.run(
            argv, cwd=tmp_path, env=variables | {"LC_ALL": "en_US.ISO-8859-1"}, check=False
        ).returncode

    subprocess.run(relate, shell=True, cwd=checkout, check=True)
    assert start() == 0
