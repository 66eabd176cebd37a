"""What a handler learns about its cluster once and needs again: versions, and who it is there."""

from handlers.clock import monotonic
from handlers.results import StepFailed
from handlers.tools.compatibility import Versions, find_unsupported
from handlers.tools.everestctl import Everestctl
from handlers.tools.kubectl import Kubectl

_VERSIONS_KEPT_SECONDS = 300  # somebody may upgrade Everest while the handler lives


class ClusterFacts:
    """What failed is asked again."""

    def __init__(self) -> None:
        self._versions: Versions | None = None
        self._versions_read_at = 0.0
        self._user: str | None = None

    async def read_versions(self, everestctl: Everestctl) -> Versions:
        """Raises StepFailed: also for no Everest, and for versions that nothing can be done with."""
        if self._versions is None or monotonic() - self._versions_read_at > _VERSIONS_KEPT_SECONDS:
            versions = await everestctl.read_versions()
            if failure := find_unsupported(versions):
                raise StepFailed(failure)
            self._versions, self._versions_read_at = versions, monotonic()
        return self._versions

    async def read_user(self, kubectl: Kubectl) -> str:
        """The user that the cluster takes the handler for; kept for the life of the process. Raises StepFailed."""
        if self._user is None:
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            self._user = str((await kubectl.ask(review))["status"]["userInfo"]["username"])
        return self._user
