"""What can be said of a kubeconfig before a command runs."""

import json
import os
from pathlib import Path

import pytest
import yaml

from contracts.codes import Nature
from handlers.tools.kubeconfig import check_kubeconfig, is_simulated
from handlers.tools.kubeconfig_context import read_context
from tests.simulator.kubeconfigs import write_kubeconfig

USABLE = """\
apiVersion: v1
kind: Config
current-context: prod
clusters:
- name: kube
  cluster: {server: "https://kube.example:6443"}
users:
- name: me
  user: {token: abc}
contexts:
- name: prod
  context: {cluster: kube, user: me}
"""
JSON = json.dumps(yaml.safe_load(USABLE), indent=1)
PLUGIN = "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: aws}"
FLATTEN = "Where it works, this prints one that carries them: kubectl config view --flatten --minify --raw"
SET_USER = "kubectl config set-credentials me"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "kubeconfig_invalid"),
        (" \n\n", "kubeconfig_invalid"),
        ("apiVersion: v1\nkind: Config\n", "kubeconfig_invalid"),
        (USABLE.replace("prod", '""', 1), "kubeconfig_invalid"),
        (USABLE.replace("current-context", "# current-context"), "kubeconfig_invalid"),
        (USABLE.replace("current-context: prod", "current-context: [prod]"), "kubeconfig_invalid"),
        ("- current-context: prod\n", "kubeconfig_invalid"),
        (USABLE + "contexts: {", "kubeconfig_invalid"),
        ("\0" + USABLE, "kubeconfig_invalid"),
        ("\udcff" + USABLE, "kubeconfig_invalid"),
        (USABLE, None),
        (USABLE.replace("prod", "'prod'", 1).replace("\n", "\r\n"), None),
        (USABLE.replace("current-context: prod", "current-context:\n  prod"), None),
        (USABLE.replace("current-context: prod", "current-context: &it prod # mine"), None),
        (JSON, None),
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


# What is put where in a kubeconfig that works, why it is refused then, and the command that mends it.
BROKEN = [
    ("name: prod\n", "name: other\n", "it has no context prod", "Name it: kubectl config use-context other"),
    (
        "{cluster: kube, user: me}",
        "{cluster: kube}",
        "names no user",
        "Name it: kubectl config set-context prod --user=me",
    ),
    ("{cluster: kube, user: me}", "{user: me}", "names no cluster", "kubectl config set-context prod --cluster=kube"),
    ("user: me}", "user: you}", "names the user you, which it lacks", "kubectl config set-context prod --user=me"),
    ("{server: ", "{insecure: ", "its cluster kube has no server", "kubectl config set-cluster kube --server=https://"),
    (
        "token: abc",
        "auth-provider: {name: gcp}",
        "auth-provider gcp",
        "gcloud container clusters get-credentials CLUSTER",
    ),
    ("token: abc", "auth-provider: {name: azure}", "auth-provider azure", "Make it anew: kubelogin convert-kubeconfig"),
    (
        "token: abc",
        PLUGIN.replace("v1beta1", "v1alpha1"),
        "v1alpha1",
        f"{SET_USER} --exec-api-version=client.authentica",
    ),
    ("token: abc", PLUGIN.replace("v1beta1", "v1"), "unset", f"Set it: {SET_USER} --exec-interactive-mode=Never"),
    ("abc", "abc, client-key: /home/x/key", "its client-key is /home/x/key, which cannot be read here", FLATTEN),
    ("token: abc", "tokenFile: tokens/mine", "its tokenFile is tokens/mine, which cannot be read", FLATTEN),
    ("{server: ", "{certificate-authority: ../ca.crt, server: ", "../ca.crt, which cannot be read", FLATTEN),
]


@pytest.mark.parametrize(("there", "instead", "words", "hint"), BROKEN)
def test_a_kubeconfig_of_the_wild_comes_with_the_command_that_mends_it(
    tmp_path: Path, there: str, instead: str, words: str, hint: str
) -> None:
    path = tmp_path / "kubeconfig"
    assert there in USABLE
    path.write_text(USABLE.replace(there, instead))
    failure = check_kubeconfig(str(path))
    assert failure is not None
    assert (failure.code, failure.nature) == ("kubeconfig_invalid", Nature.INFRASTRUCTURE)
    assert words in failure.message
    assert hint in failure.hint


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("token: abc", PLUGIN),
        ("token: abc", "auth-provider: {name: oidc}"),
        ("token: abc", ""),
        ("abc", "abc, client-key: /home/x/key, client-key-data: a2V5"),
        ("token: abc", "tokenFile: token"),
        ("users:\n", "users:\n- name: broken\n  user: {auth-provider: {name: gcp}}\n"),
    ],
)
def test_what_the_current_context_can_use_is_left_alone(tmp_path: Path, there: str, instead: str) -> None:
    path = tmp_path / "kubeconfig"
    (tmp_path / "token").write_text("abc")  # paths are from the kubeconfig's folder
    path.write_text(USABLE.replace(there, instead))
    assert check_kubeconfig(str(path)) is None


def test_a_file_that_it_names_may_come_and_go(tmp_path: Path) -> None:
    """The kubeconfig is read once; what it names is looked at each time."""
    path, token = tmp_path / "kubeconfig", tmp_path / "token"
    path.write_text(USABLE.replace("token: abc", "tokenFile: token"))
    assert check_kubeconfig(str(path)) is not None
    token.write_text("abc")
    assert check_kubeconfig(str(path)) is None


def test_the_current_context_is_the_outermost_one() -> None:
    text = (
        USABLE.replace("current-context: prod\n", "") + "extensions:\n- current-context: inner\ncurrent-context: prod\n"
    )
    assert read_context(text).name == "prod"
