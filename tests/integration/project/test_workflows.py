"""CI's workflows, which run elsewhere: linted by actionlint, which knows their grammar, contexts and permissions."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.laboratory.kubernetes import CACHE, Unavailable, go_install
from tests.support.servers import ROOT

pytestmark = pytest.mark.slow

VERSION = "v1.7.12"


def find_actionlint() -> Path:
    """The one on PATH, or built from its Go module into the cache, once."""
    program = Path(shutil.which("actionlint") or CACHE / f"actionlint-{VERSION}" / "actionlint")
    if not program.exists():
        try:
            go_install(f"github.com/rhysd/actionlint/cmd/actionlint@{VERSION}", program.parent)
        except Unavailable as reason:
            pytest.skip(str(reason))
    return program


def lint(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [str(find_actionlint()), *map(str, files)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_the_workflows_are_sound() -> None:
    done = lint(*sorted((ROOT / ".github" / "workflows").glob("*.yml")))
    assert done.returncode == 0, done.stdout


def test_a_workflow_that_is_not_is_found(tmp_path: Path) -> None:
    """The check can fail."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(text.replace("needs: [lint, test]", "needs: [lint, tset]"))
    done = lint(wrong)
    assert (done.returncode, "tset" in done.stdout) == (1, True), done.stdout
