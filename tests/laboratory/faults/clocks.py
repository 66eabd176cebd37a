"""Clocks that are wrong, and jump: Debian's libfaketime in front of single processes. Monotonic clocks stay true."""

import subprocess
from pathlib import Path

from tests.laboratory.faults.runs import PassedOver
from tests.laboratory.kubernetes import CACHE

_LIBRARY = "faketime/libfaketime.so.1"


class Clock:
    """One process' clock, by what its file says; read anew every second."""

    def __init__(self, file: Path, library: Path) -> None:
        self._file = file
        self._library = library

    def set(self, offset: str) -> None:
        """As faketime words it: `-1d`, `+3600s`."""
        self._file.write_text(f"{offset}\n")

    @property
    def variables(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


def find_library() -> Path:
    """Installed, or unpacked into the cache. Raises PassedOver."""
    folder = CACHE / "libfaketime"
    for place in (Path("/"), folder):
        if found := next(place.glob(f"usr/lib/*/{_LIBRARY}"), None):
            return found
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", "libfaketime"], cwd=CACHE, check=True, capture_output=True)
        package = max(CACHE.glob("libfaketime_*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True, capture_output=True)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise PassedOver(f"libfaketime cannot be had from Debian: {error}") from None
    return next(folder.glob(f"usr/lib/*/{_LIBRARY}"))
