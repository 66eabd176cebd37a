"""What a difference between everestctl and the Everest server means.

From 1.10 to 1.16 no message, exit code or stored form differs. What differs is where everestctl finds Everest's
charts: since 1.14 at openeverest.github.io, whose index begins at chart 1.13.1; before at percona.github.io, whose
index ends at 1.13.0. A chart has the server's version.
"""

import re
from typing import NamedTuple

from contracts.codes import Failure

_SUPPORTED_MAJOR = 1
_NEW_REPOSITORY_SINCE = (1, 14)  # of everestctl
_LAST_OLD_CHART = (1, 13, 0)
OLD_REPOSITORY = "https://percona.github.io/percona-helm-charts/"
NEW_REPOSITORY = "https://openeverest.github.io/helm-charts/"


class Versions(NamedTuple):
    """As `everestctl version` prints them; `server` is None where Everest is not installed."""

    client: str
    server: str | None

    @property
    def repository(self) -> str:
        """Where this everestctl finds Everest's charts."""
        return NEW_REPOSITORY if _looks_into_new_repository(self.client) else OLD_REPOSITORY


def find_unsupported(versions: Versions) -> Failure | None:
    """Why nothing can be done with these: no Everest, or another major version of either."""
    if versions.server is None:
        return Failure("everest_not_installed", "The cluster holds no Everest.")
    return refuse_major("everestctl", versions.client) or refuse_major("Everest", versions.server)


def refuse_major(name: str, version: str) -> Failure | None:
    read = _read(version)
    if read is None or read[0] == _SUPPORTED_MAJOR:
        return None
    return Failure("unsupported_version", f"{name} is {version}; 1.x is supported.")


def find_difference(versions: Versions) -> str | None:
    """A warning where the minor versions differ; all but the installation of operators works across 1.x."""
    if not _differ(versions):
        return None
    return f"everestctl is {versions.client} and Everest is {versions.server}: use the same minor version."


def find_missing_charts(versions: Versions) -> Failure | None:
    """Why this everestctl cannot install operators for this server, known before it is tried."""
    server = _read(versions.server or "")
    if server is None or not _differ(versions):
        return None
    is_new = server > _LAST_OLD_CHART
    if _looks_into_new_repository(versions.client) == is_new:
        return None
    needed = max(server, (*_NEW_REPOSITORY_SINCE, 0)) if is_new else server
    return Failure(
        "unsupported_version",
        f"everestctl {versions.client} cannot install operators for Everest {versions.server}: "
        f"{versions.repository} holds no charts of it.",
        f"Build the handlers' image with EVERESTCTL_VERSION={'.'.join(map(str, needed))}.",
    )


def _differ(versions: Versions) -> bool:
    """In the minor version, as far as both are known."""
    client, server = _read(versions.client), _read(versions.server or "")
    return client is not None and server is not None and client[:2] != server[:2]


def _looks_into_new_repository(client: str) -> bool:
    """A development build is of today."""
    return (_read(client) or _NEW_REPOSITORY_SINCE) >= _NEW_REPOSITORY_SINCE


def _read(version: str) -> tuple[int, int, int] | None:
    """None for a development build (0.0.0), whose version says nothing."""
    match = re.match(r"v?([1-9]\d*)\.(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None
