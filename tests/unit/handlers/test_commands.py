"""A command as it is shown, its environment, its secrets, and the leases that it may run under."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.commands.guard import Leases
from handlers.commands.processes import (
    ExecutableMissing,
    ExecutableUnusable,
    find_executable,
    sigterm_held_back,
    spawn_bound,
)
from handlers.commands.running import Command, child_environment
from handlers.commands.secret import MASK, Secret, mask

PASSWORD = "pa55 $word'"
OPEN_FILES = Path("/proc/self/fd")


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (("everestctl", "accounts", "list"), "everestctl accounts list"),
        (
            ("everestctl", "accounts", "create", "-u", "alice", "-p", Secret(PASSWORD)),
            "everestctl accounts create -u alice -p ********",
        ),
        (("everestctl", Secret(PASSWORD, prefix="-p=")), "everestctl -p=********"),
        (("everestctl", Secret(PASSWORD, prefix="a b=")), "everestctl 'a b='********"),
        (("kubectl", "apply", "-n", "alice", "-f", "-"), "kubectl apply -n alice -f -"),
        (("sh", "-c", "echo $HOME"), "sh -c 'echo $HOME'"),
        (("tool", ""), "tool ''"),
    ],
)
def test_a_command_is_shown_as_a_person_would_type_it(argv: tuple[str | Secret, ...], shown: str) -> None:
    assert Command(argv).shown == shown


def test_no_rendering_of_a_command_holds_a_secret() -> None:
    command = Command(("tool", Secret(PASSWORD)), stdin=PASSWORD.encode(), secrets=(Secret("other-secret"),))
    renderings = f"{command} {command!r} {command.argv} {command.shown} {json.dumps(command.argv, default=str)}"
    assert PASSWORD not in renderings
    assert "other-secret" not in renderings


def test_a_secret_renders_as_a_mask_everywhere_but_where_it_is_revealed() -> None:
    secret = Secret(PASSWORD)
    assert {str(secret), repr(secret), f"{secret}", "{}".format(secret), "%s" % secret, f"{secret:s}"} == {MASK}  # noqa: UP031, UP032
    assert f"{secret:>10}" == "  ********"
    assert secret.reveal() == PASSWORD
    assert Secret(PASSWORD, prefix="-p=").argument == f"-p={PASSWORD}"
    assert secret == Secret(PASSWORD)
    assert secret != Secret("another")


def test_a_secret_is_masked_anywhere_in_a_text_also_in_base64() -> None:
    """kubectl shows what a Secret holds in base64, and a tool may echo an argument."""
    text = f"password {PASSWORD}! data: {{password: cGE1NSAkd29yZCc=}} {PASSWORD}{PASSWORD}"
    assert mask(text, [Secret(PASSWORD)]) == (f"password {MASK}! data: {{password: {MASK}}} {MASK}{MASK}")
    assert mask("abcdef", [Secret("bcd"), Secret("abcde")]) == f"{MASK}f", "the longer one first"
    assert mask("text", [Secret("")]) == "text"


def test_a_child_gets_no_more_of_the_environment_than_it_needs() -> None:
    given = {
        "PATH": "/bin",
        "HOME": "/root",
        "KUBECONFIG": "/kube",
        "HTTPS_PROXY": "http://proxy",
        "no_proxy": "10.0.0.0/8",
        "ADMIN_API_KEY": "secret",
        "NATS_PASSWORD": "secret",
        "LD_PRELOAD": "x.so",
    }
    assert child_environment(given) == {
        "PATH": "/bin",
        "HOME": "/root",
        "KUBECONFIG": "/kube",
        "HTTPS_PROXY": "http://proxy",
        "no_proxy": "10.0.0.0/8",
        "NO_COLOR": "1",
    }


def test_a_program_is_looked_up_on_the_childs_own_path(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    for folder, mode in (("first", 0o644), ("second", 0o755)):
        program = tmp_path / folder / "tool"
        program.write_text("#!/bin/sh\n")
        program.chmod(mode)
    path = f"{tmp_path / 'nowhere'}:{tmp_path / 'first'}:{tmp_path / 'second'}"
    assert find_executable("tool", {"PATH": path}) == str(tmp_path / "second" / "tool")
    with pytest.raises(ExecutableUnusable, match="not executable"):
        find_executable("tool", {"PATH": str(tmp_path / "first")})
    with pytest.raises(ExecutableMissing) as missing:
        find_executable("tool", {"PATH": str(tmp_path / "nowhere")})
    assert missing.value.name == "tool"
    with pytest.raises(ExecutableMissing):
        find_executable(str(tmp_path), {"PATH": ""}), "a folder is no program"


class TestLeases:
    def test_a_lease_is_held_until_its_instant(self) -> None:
        leases = Leases()
        leases.renew("a", 10, now=0)
        assert leases.is_held("a", 9.9)
        assert not leases.is_held("a", 10)
        leases.renew("a", 20, now=9)
        assert leases.is_held("a", 19)
        assert leases.next_expiry == 20

    def test_an_unknown_lease_is_not_held(self) -> None:
        assert not Leases().is_held("a", 0)

    def test_a_lease_that_expired_never_comes_back(self) -> None:
        """A handler that was frozen may have sent a renewal before it noticed."""
        leases = Leases()
        leases.renew("a", 10, now=0)
        leases.renew("a", 99, now=10)
        assert not leases.is_held("a", 11)
        leases.renew("b", 20, now=10)
        assert leases.expire(20) == ["b"]
        leases.renew("b", 99, now=21)
        assert not leases.is_held("b", 22)
        assert leases.held(0) == {}

    def test_a_lease_that_was_ended_never_comes_back(self) -> None:
        leases = Leases()
        leases.end("a")
        leases.renew("a", 10, now=0)
        assert not leases.is_held("a", 1)

    def test_what_is_remembered_of_ended_leases_is_bounded(self) -> None:
        leases = Leases()
        for number in range(10_000):
            leases.renew(str(number), 10, now=0)
            leases.end(str(number))
        leases.renew("9999", 10, now=0)
        assert not leases.is_held("9999", 0)
        assert len(leases._over) < 5_000


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="what is open is read from /proc")
def test_a_start_that_the_kernel_refuses_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at a limit of processes, which root has none of."""

    def refuse() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refuse)
    before = os.listdir(OPEN_FILES)
    for _ in range(3):
        with pytest.raises(BlockingIOError):
            spawn_bound(sys.executable, [sys.executable], {}, None, 1, 2)
    assert os.listdir(OPEN_FILES) == before


@pytest.fixture
def ending_at_sigterm() -> Iterator[None]:
    """As everest-rbac-import ends: by an exception, wherever it is."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    yield
    signal.signal(signal.SIGTERM, before)


def start_while_being_stopped(known: list[str]) -> None:
    with sigterm_held_back():
        signal.raise_signal(signal.SIGTERM)
        known.append("a program")


@pytest.mark.usefixtures("ending_at_sigterm")
def test_a_script_that_is_stopped_during_a_start_ends_after_it() -> None:
    """An exception between the start of a program and its being known would leave it running."""
    known: list[str] = []
    with pytest.raises(SystemExit):
        start_while_being_stopped(known)
    assert known
