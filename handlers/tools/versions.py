"""What a handler learns about its cluster once and needs again: versions, and who it is there."""

import re

from contracts.codes import Failure
from handlers.results import StepFailed
from handlers.tools.everestctl import Everestctl, Versions
from handlers.tools.kubectl import Kubectl

_SUPPORTED_MAJOR = 1


class ClusterFacts:
    """Kept for the life of the process. What failed is asked again."""

    def __init__(self) -> None:
        self._version_warnings: tuple[str, ...] | None = None
        self._user: str | None = None

    async def check_versions(self, everestctl: Everestctl) -> tuple[str, ...]:
        """Warnings. Raises StepFailed for versions that cannot work together."""
        if self._version_warnings is None:
            self._version_warnings = judge_versions(await everestctl.read_versions())
        return self._version_warnings

    async def read_user(self, kubectl: Kubectl) -> str:
        """The user that the cluster takes the handler for. Raises StepFailed."""
        if self._user is None:
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            self._user = str((await kubectl.ask(review))["status"]["userInfo"]["username"])
        return self._user


def judge_versions(versions: Versions) -> tuple[str, ...]:
    """A warning where the minor versions differ. Raises StepFailed: no Everest, or another major version."""
    if versions.server is None:
        raise StepFailed(Failure("everest_not_installed", "The cluster holds no Everest."))
    client, server = _read(versions.client), _read(versions.server)
    for name, found, text in (("everestctl", client, versions.client), ("Everest", server, versions.server)):
        if found is not None and found[0] != _SUPPORTED_MAJOR:
            raise StepFailed(Failure("unsupported_version", f"{name} is {text}; 1.x is supported."))
    if client is not None and server is not None and client != server:
        return (f"everestctl is {versions.client} and Everest is {versions.server}: use the same minor version.",)
    return ()


def _read(version: str) -> tuple[int, int] | None:
    """Major and minor; None for a development build, whose version says nothing."""
    match = re.match(r"v?(\d+)\.(\d+)\.", version)
    return (int(match[1]), int(match[2])) if match and version.lstrip("v")[:2] != "0." else None
