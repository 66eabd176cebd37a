"""The base images: pulled, or, where no registry is reached, made of Debian's Python and the nats-server of a wheel.

A stand-in proves that our files work; not that the published image does. So it says what it is.
"""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.laboratory.image.engine import NoEngine, docker, install, run

_ROOT = Path(__file__).resolve().parents[3]


def _find_tag(file: str, name: str) -> str:
    found = re.search(rf"\b{name}:[^@\s]+", (_ROOT / file).read_text())
    assert found is not None, f"{file} names no {name}"
    return found[0]


PYTHON = _find_tag("Dockerfile", "python")
NATS = _find_tag("compose.yaml", "image: nats").removeprefix("image: ")
PULL_SECONDS = 300
MARK = "everest.stand-in"


def without_digests(dockerfile: str) -> str:
    """The same on the bases that are here: what is made here has no digest that could be asked for."""
    return re.sub("@sha256:[0-9a-f]{64}", "", dockerfile)


def provide_bases(folder: Path) -> list[str]:
    """Gives those that are stand-ins. Raises NoEngine where there is no way to have them."""
    stand_ins = []
    for tag, make in ((PYTHON, _make_python), (NATS, _make_nats)):
        if not docker("images", "-q", tag) and not _pull(tag):
            make(folder)
        if docker("inspect", "-f", f'{{{{index .Config.Labels "{MARK}"}}}}', tag) == "yes":
            stand_ins.append(tag)
    return stand_ins


def _pull(tag: str) -> bool:
    try:
        run("docker", "pull", "-q", tag, expect=0, seconds=PULL_SECONDS)
    except Exception:
        return False
    return True


def _make_python(folder: Path) -> None:
    """Debian 12 holds Python 3.11; it stands where the published image has it."""
    if shutil.which("debootstrap") is None:
        install("debootstrap")
    root = folder / "debian"
    packages = "python3,python3-pip,python3-venv,ca-certificates"
    run("debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(root), _mirror())
    # What this machine trusts and where it finds packages holds for the image, too.
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/")
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    for name in ("python", "python3", "pip", "pip3"):
        (root / "usr/local/bin" / name).symlink_to("/usr/bin/pip3" if "pip" in name else "/usr/bin/python3")
    _import(root, PYTHON, "CMD python3")
    shutil.rmtree(root)


def _make_nats(folder: Path) -> None:
    if shutil.which("busybox") is None:
        install("busybox-static")
    root = folder / "nats"
    for place in ("bin", "usr/local/bin", "tmp", "data"):
        (root / place).mkdir(parents=True)
    server = Path(sys.executable).parent / "nats-server"
    shutil.copy(server.resolve(), root / "usr/local/bin/nats-server")
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, root / "bin/busybox")
    for name in ("sh", "wget", "ls", "cat"):
        (root / "bin" / name).symlink_to("busybox")
    _import(root, NATS, 'ENTRYPOINT ["nats-server"]')


def _import(root: Path, tag: str, change: str) -> None:
    archive = root.with_suffix(".tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".")
    path = "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    docker("import", "-c", path, "-c", f"LABEL {MARK}=yes", "-c", change, str(archive), tag)
    archive.unlink()


def _mirror() -> str:
    """The Debian mirror that this machine uses."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Codename: bookworm"],
        capture_output=True,
        text=True,
        check=False,
    )
    for address in listed.stdout.split():
        if address.rstrip("/").endswith("/debian"):
            return address
    raise NoEngine(f"{PYTHON} cannot be pulled, and a stand-in for it can be made on Debian 12 only.")
