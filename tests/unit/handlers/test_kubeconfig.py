"""What can be said of a kubeconfig before a command runs."""

import os
from pathlib import Path

import pytest

from handlers.tools.kubeconfig import check_kubeconfig, current_context, is_simulated
from tests.simulator.kubeconfigs import write_kubeconfig

USABLE = "apiVersion: v1\nkind: Config\ncurrent-context: prod\ncontexts:\n- name: prod\n"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "kubeconfig_invalid"),
        (" \n\n", "kubeconfig_invalid"),
        ("apiVersion: v1\nkind: Config\n", "kubeconfig_invalid"),
        (USABLE.replace("prod", '""', 1), "kubeconfig_invalid"),
        (USABLE.replace("current-context", "# current-context"), "kubeconfig_invalid"),
        ("\0" + USABLE, "kubeconfig_invalid"),
        ("\udcff" + USABLE, "kubeconfig_invalid"),
        (USABLE, None),
        (USABLE.replace("prod", "'prod'", 1).replace("\n", "\r\n"), None),
        ('{"apiVersion":"v1", "contexts":[],\n "current-context": "prod"}', None),
    ],
)
def test_a_kubeconfig_without_a_current_context_is_refused(tmp_path: Path, text: str, code: str | None) -> None:
    """kubectl would ask localhost:8080 instead, whoever listens there."""
    path = tmp_path / "kubeconfig"
    path.write_bytes(text.encode(errors="surrogateescape"))
    failure = check_kubeconfig(str(path))
    assert (failure and failure.code) == code


def test_what_is_no_file_is_told_from_what_cannot_be_read(tmp_path: Path) -> None:
    missing = check_kubeconfig(str(tmp_path / "nowhere"))
    assert missing is not None
    assert (missing.code, str(tmp_path / "nowhere") in missing.message) == ("kubeconfig_missing", True)
    folder = check_kubeconfig(str(tmp_path))
    assert folder is not None
    assert (folder.code, "Docker" in folder.hint) == ("kubeconfig_missing", True)
    several = check_kubeconfig(f"{tmp_path}/a:{tmp_path}/b")
    assert several is not None
    assert (several.code, "everestctl reads one file" in several.hint) == ("kubeconfig_invalid", True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(USABLE)
    path.chmod(0)
    failure = check_kubeconfig(str(path))
    assert failure is not None
    assert failure.code == "kubeconfig_unreadable"


def test_only_the_simulators_own_kubeconfig_is_simulated(tmp_path: Path) -> None:
    """A result that says `simulated` must be one, and one that does not must not be."""
    path = write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1")
    assert is_simulated(str(path))
    path.write_text(path.read_text().replace("current-context: simulated-everest", "current-context: other"))
    assert not is_simulated(str(path))
    path.write_text("current-context: simulated-everest\n")
    assert not is_simulated(str(path))
    assert not is_simulated(str(tmp_path / "nowhere"))


def test_the_current_context_is_the_outermost_one() -> None:
    assert current_context("users:\n- name: x\n  current-context: inner\ncurrent-context: outer # mine\n") == "outer"
