"""What the images and containers meet: a checkout, a home with a kubeconfig, a cluster, and a place with CLIs."""

import contextlib
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
import zipapp
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.laboratory.image.bases import PYTHON, without_digests
from tests.laboratory.image.engine import NoEngine, docker

ROOT = Path(__file__).resolve().parents[3]
LEFT_OUT = (".git", ".venv", ".data", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis")
# Of a container's default route: an address of this machine, and the one that containers reach it at.
READ_GATEWAY = """
import socket
for line in open("/proc/net/route").readlines()[1:]:
    words = line.split()
    if words[1] == "00000000":
        print(socket.inet_ntoa(bytes.fromhex(words[2])[::-1]))
"""
OWNER = 1000  # of the kubeconfig, as of the first person on most machines


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`downloads` is the address that kubectl and everestctl are had from; `control` the simulated cluster's."""

    checkout: Path
    home: Path
    downloads: str
    control: str

    @property
    def kubeconfig(self) -> Path:
        return self.home / ".kube" / "config"

    @property
    def variables(self) -> dict[str, str]:
        """For commands: the home, and build arguments as compose takes them."""
        return {
            "HOME": str(self.home),
            # Plugins and credentials stay where they are.
            "DOCKER_CONFIG": os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker"),
            "KUBECTL_URL": f"{self.downloads}/kubectl",
            "KUBECTL_SHA256": "any",  # what is served there is no release
            "EVERESTCTL_URL": f"{self.downloads}/everestctl",
            "EVERESTCTL_SHA256": "any",
            "COMPOSE_PROJECT_NAME": "everest-image-proof",
        }

    @property
    def build_arguments(self) -> list[str]:
        return [
            word
            for name in ("KUBECTL_URL", "KUBECTL_SHA256", "EVERESTCTL_URL", "EVERESTCTL_SHA256")
            for word in ("--build-arg", f"{name}={self.variables[name]}")
        ]

    def set_install_seconds(self, seconds: float) -> None:
        """How long the simulated cluster takes to install operators."""
        request = urllib.request.Request(f"{self.control}/faults", json.dumps({"job_seconds": seconds}).encode())
        urllib.request.urlopen(request, timeout=10).close()


@contextlib.contextmanager
def surroundings(folder: Path) -> Iterator[Surroundings]:
    """Raises NoEngine where containers cannot reach this machine."""
    bridge = docker("run", "--rm", PYTHON, "python", "-c", READ_GATEWAY)
    checkout = _copy_checkout(folder / "checkout")
    home = folder / "home"
    with _serve(_make_downloads(folder / "downloads"), bridge) as downloads, _cluster(home, bridge) as control:
        yield Surroundings(checkout, home, downloads, control)


def _copy_checkout(target: Path) -> Path:
    """As a person with umask 077 has it: nothing in it may be read by others; on the bases that are here."""
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
    dockerfile = target / "Dockerfile"
    dockerfile.write_text(without_digests(dockerfile.read_text()))
    for path in [target, *target.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o700)
    return target


def _make_downloads(folder: Path) -> Path:
    """The real kubectl, and an everestctl of one file that works on a simulated cluster."""
    folder.mkdir()
    shutil.copy((Path(sys.executable).parent / "kubectl").resolve(), folder / "kubectl")
    source = folder / "source"
    shutil.copytree(ROOT / "tests" / "everestctl", source / "tests" / "everestctl")
    interpreter, program = "/usr/bin/env -S python3 -I -S", "tests.everestctl.program:run"
    zipapp.create_archive(source, folder / "everestctl", interpreter, program)
    return folder


@contextlib.contextmanager
def _serve(folder: Path, host: str) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(folder))
    try:
        server = http.server.ThreadingHTTPServer((host, 0), handler)
    except OSError as error:
        raise NoEngine(f"containers are on another machine than this, as with Docker Desktop ({error}).") from None
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def _cluster(home: Path, host: str) -> Iterator[str]:
    """A simulated cluster, and an ordinary kubeconfig for it: mode 0600, somebody's. Gives the control address."""
    (home / ".kube").mkdir(parents=True)
    kubeconfig = home / ".kube" / "config"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.simulator", "--host", host, "--kubeconfig", str(kubeconfig)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        kubeconfig.chmod(0o600)
        os.chown(kubeconfig, OWNER, OWNER)
        yield facts["control"]
    finally:
        process.terminate()
        process.wait()
