"""How the image's build downloads its programs, from a server that fails as servers do."""

import hashlib
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from handlers.image.download import Refused, choose_sum, download, find_known

PROGRAM = b"#!/bin/sh\n" * 1000
DOCKERFILE = Path(__file__).resolve().parents[3] / "Dockerfile"
SUM = hashlib.sha256(PROGRAM).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Answers as the words in `script` say, one after the other, and then as it should."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[str] = []
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/program"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        answer = self.server.script.pop(0) if self.server.script else "whole"
        if answer.isdigit():
            self.send_error(int(answer))
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(PROGRAM)))
        self.end_headers()
        self.wfile.write(PROGRAM if answer == "whole" else PROGRAM[:500])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_is_asked_again_until_it_comes_whole(server: Server, tmp_path: Path) -> None:
    server.script = ["503", "cut", "429"]
    target = tmp_path / "program"
    assert download(server.url, target, SUM, (0, 0, 0)) == SUM
    assert target.read_bytes() == PROGRAM
    assert target.stat().st_mode & 0o777 == 0o755
    assert server.asked == 4


def test_is_given_up_after_the_last_pause_and_leaves_no_program(server: Server, tmp_path: Path) -> None:
    server.script = ["cut"] * 9
    with pytest.raises(Refused, match="ended after 500 of 10000 bytes; give another address or version"):
        download(server.url, tmp_path / "program", None, (0, 0))
    assert server.asked == 3
    assert not (tmp_path / "program").exists()


def test_a_version_that_is_not_there_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    server.script = ["404"] * 9
    with pytest.raises(Refused, match="answers 404"):
        download(server.url, tmp_path / "program", None, (0, 0))
    assert server.asked == 1


def test_another_sum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=f"is {SUM}, and {'0' * 64} was asked for"):
        download(server.url, tmp_path / "program", "0" * 64, ())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sums", "chosen"),
    [("", None), ("any", None), (SUM, SUM), (SUM.upper(), SUM), (f"arm64:{'1' * 64},amd64:{SUM}", SUM)],
)
def test_the_sum_of_the_architecture_counts(sums: str, chosen: str | None) -> None:
    assert choose_sum(sums, "amd64") == chosen


def test_sums_for_other_architectures_only_are_refused() -> None:
    with pytest.raises(Refused, match="no SHA-256 is given for amd64"):
        choose_sum(f"arm64:{SUM}", "amd64")


def test_a_known_version_is_checked_without_being_asked(tmp_path: Path) -> None:
    """Each program's sums stand in the Dockerfile, by version and architecture; the default kubectl's are there."""
    known = f"1.15.2:amd64:{SUM} 1.15.2:arm64:{'1' * 64} 1.15.1:amd64:{'2' * 64}"
    assert find_known(known, "1.15.2") == f"amd64:{SUM} arm64:{'1' * 64}"
    assert find_known(known, "1.16.2") == ""
    assert choose_sum(find_known(known, "1.15.2"), "amd64") == SUM
    dockerfile = DOCKERFILE.read_text()
    for program in ("KUBECTL", "EVERESTCTL"):
        held = re.search(rf'^ARG {program}_KNOWN="([^"]+)"', dockerfile, re.MULTILINE)
        assert held is not None
        words = held[1].replace("\\\n", " ").split()
        assert all(re.fullmatch(r"1\.\d+\.\d+:(amd64|arm64):[0-9a-f]{64}", word) for word in words)
        assert len({word.rpartition(":")[2] for word in words}) == len(words)
    default = re.search(r"KUBECTL_VERSION:-([0-9.]+)", dockerfile)
    assert default is not None
    assert f"\n{default[1]}:amd64:" in dockerfile
    assert f"\n{default[1]}:arm64:" in dockerfile


def test_the_readme_tells_what_is_known_of_the_default_everestctl() -> None:
    """Its makers publish no sums: until the Dockerfile has those of the default, nobody is told that it is checked."""
    dockerfile = DOCKERFILE.read_text()
    default = re.search(r"EVERESTCTL_VERSION:-([0-9.]+)", dockerfile)
    assert default is not None
    known = [f"\n{default[1]}:{architecture}:" in dockerfile for architecture in ("amd64", "arm64")]
    told = f"everestctl {default[1]} is not checked" in " ".join((DOCKERFILE.parent / "README.md").read_text().split())
    assert known == [not told, not told]


def test_what_must_be_verified_is_not_even_asked_for_without_a_sum(server: Server, tmp_path: Path) -> None:
    """As for an image that is signed: `any` is no sum either."""
    target = tmp_path / "everestctl"
    for sums in ("", "any"):
        done = run_main(
            target, server.url, "--sha256", sums, "--known", f"1.15.2:amd64:{SUM}", "--verified-only", "true"
        )
        assert (done.returncode, server.asked, target.exists()) == (1, 0, False)
        assert "EVERESTCTL_SHA256" in done.stderr
    done = run_main(target, server.url, "--sha256", SUM, "--verified-only", "true")
    assert (done.returncode, server.asked, target.read_bytes()) == (0, 1, PROGRAM), done.stderr


def run_main(target: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = DOCKERFILE.parent / "handlers" / "image" / "download.py"
    command = [sys.executable, "-S", str(program), str(target), "--url", url, "--version", "1.16.2", "--arch", "amd64"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_what_is_signed_holds_programs_that_were_verified() -> None:
    """Every image of a release is built so; the handler's first, so that nothing is pushed where they cannot be."""
    workflow = yaml.safe_load((DOCKERFILE.parent / ".github" / "workflows" / "release.yml").read_text())
    images = workflow["jobs"]["images"]
    (script,) = (step["run"] for step in images["steps"] if step.get("name") == "Images")
    assert script.index(" handler:") < script.index(" gateway:")
    assert script.count("docker buildx build") == script.count("--build-arg VERIFIED_ONLY=true") == 1
    assert images["env"]["EVERESTCTL_SHA256"] == "${{ vars.EVERESTCTL_SHA256 }}"
    assert "--build-arg EVERESTCTL_SHA256" in script
    stages = DOCKERFILE.read_text().split("\nFROM ")
    for program in ("kubectl", "everestctl"):
        (stage,) = (text for text in stages if text.startswith(f"python AS {program}\n"))
        assert "\nARG VERIFIED_ONLY\n" in stage
        assert '--verified-only "$VERIFIED_ONLY"' in stage


def test_everestctl_is_had_from_its_new_home() -> None:
    """The one of before ends at 1.13, whose charts a server of today does not take."""
    dockerfile = DOCKERFILE.read_text()
    assert "${EVERESTCTL_VERSION:-1.16.2}" in dockerfile
    assert (
        "https://github.com/openeverest/openeverest/releases/download/v@VERSION@/everestctl-linux-@ARCH@" in dockerfile
    )


def test_base_images_are_named_by_their_digests() -> None:
    """All of them. Dependabot keeps them."""
    stages = re.findall(r"^FROM (\S+) AS (\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    named = {image for image, _ in stages} - {stage for _, stage in stages}
    assert {image.partition(":")[0] for image in named} == {"python"}
    assert [image for image in named if not re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image)] == []


def test_the_images_nats_server_is_the_locked_one() -> None:
    """By hashes, of the version that tests, the embedded mode and compose run."""
    root = DOCKERFILE.parent
    version, *hashes = (root / "requirements-nats-server.txt").read_text().replace(" \\", "").split()
    assert f"\n{version} \\\n" in (root / "requirements.txt").read_text()
    assert f'"{version}"' in (root / "pyproject.toml").read_text()
    assert f"image: nats:{version.rpartition('=')[2]}-alpine" in (root / "compose.yaml").read_text()
    assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", word) for word in hashes)
    assert len(hashes) > 1
