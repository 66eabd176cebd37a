"""Version 0.1.0, out of this repository's history: its handlers work beside today's."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.laboratory.faults.runs import PassedOver
from tests.support.servers import ROOT

FIRST_VERSION = "0bc5641e13fd425c67d62a5d72dbae16ed11a056"


def unpack_first_version(folder: Path) -> Path:
    """Its tree. Raises PassedOver where the history is not here, as in a shallow clone."""
    argv = ["git", "archive", FIRST_VERSION, "contracts", "handlers"]
    try:
        packed = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise PassedOver(f"the history here does not hold version 0.1.0 ({FIRST_VERSION[:7]})") from None
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def write_import_command(folder: Path, root: Path) -> Path:
    """The everest-rbac-import of that version, whatever is installed here."""
    path = folder / "import-of-0.1.0"
    path.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m handlers.rbac_import "$@"\n')
    path.chmod(0o755)
    return path
