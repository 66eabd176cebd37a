"""What the project promises about itself: CI's actions are pinned, and every `make` that is told of is there."""

import json
import re

import pytest
import yaml

from tests.support.servers import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
CI = WORKFLOWS / "ci.yml"
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PACKAGES = ("contracts", "gateway", "handlers", "nats")
TELLING = ["README.md", "CONTRIBUTING.md", *(f"{name}/README.md" for name in PACKAGES)]


@pytest.mark.parametrize("name", ["ci", "release"])
def test_actions_are_pinned_by_commit(name: str) -> None:
    """A tag can be moved; the version stands beside for whoever reads and for who updates."""
    used = re.findall(r"uses: (?!\./)(.*)", (WORKFLOWS / f"{name}.yml").read_text())
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_a_tag_is_released_when_it_has_passed() -> None:
    """Tested, held to the version and scanned before; signed by an identity of its own, and nothing else may write."""
    jobs = yaml.safe_load(CI.read_text())["jobs"]
    assert (jobs["release"]["needs"], jobs["release"]["if"]) == ("deploy", "github.ref_type == 'tag'")
    assert jobs["release"]["uses"] == f"./{(WORKFLOWS / 'release.yml').relative_to(ROOT)}"
    release = yaml.safe_load((WORKFLOWS / "release.yml").read_text())
    assert release["permissions"] == yaml.safe_load(CI.read_text())["permissions"] == {"contents": "read"}
    asked = {name: level for job in release["jobs"].values() for name, level in job["permissions"].items()}
    assert {name for name, level in asked.items() if level == "write"} <= set(jobs["release"]["permissions"])


def test_ci_tests_the_oldest_and_the_newest_python_and_deploys_what_passed() -> None:
    jobs = yaml.safe_load(CI.read_text())["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.x"]
    assert set(jobs["deploy"]["needs"]) == {"lint", "test"}
    assert set(jobs["slow"]["strategy"]["matrix"]["suite"]) <= TARGETS


def test_what_is_pushed_is_of_the_default_branch_or_a_tag_and_is_scanned_before() -> None:
    """Any other branch is somebody's who proposes it; what the images are made of is audited beside."""
    jobs = yaml.safe_load(CI.read_text())["jobs"]
    allowed = "github.ref_name == github.event.repository.default_branch || github.ref_type == 'tag'"
    assert jobs["deploy"]["if"] == allowed
    runs = [step.get("run") or step.get("uses", "") for step in jobs["deploy"]["steps"]]
    scan, push = (next(at for at, run in enumerate(runs) if word in run) for word in ("trivy-action@", "docker push"))
    assert scan < push
    assert [name for name, job in jobs.items() if "docker push" in str(job)] == ["deploy"]
    assert "pip-audit" in str(jobs["lint"])


def test_ci_lints_the_scripts_of_the_page_too() -> None:
    """Of exactly these versions; a lock that names no address is met wherever packages come from."""
    assert "make check-pages" in [step.get("run") for step in yaml.safe_load(CI.read_text())["jobs"]["lint"]["steps"]]
    text = (ROOT / "tests" / "browser" / "lint" / "package-lock.json").read_text()
    assert "://" not in text
    lock = json.loads(text)["packages"]
    assert lock.pop("")["devDependencies"].keys() >= {"eslint", "@eslint/js"}
    assert [name for name, pinned in lock.items() if not pinned.get("integrity") or "resolved" in pinned] == []


@pytest.mark.parametrize("file", TELLING)
def test_every_make_that_is_told_of_is_there(file: str) -> None:
    """In code of the text: `make unit`, and lines of blocks that begin so."""
    text = (ROOT / file).read_text()
    told = set(re.findall(r"`make ([a-z][a-z-]*)", text)) | set(re.findall(r"^make ([a-z][a-z-]*)", text, re.MULTILINE))
    assert told - TARGETS == set()
