"""What an installation of operators waits for, as the cluster shows it while everestctl says nothing."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from contracts.records import Awaited
from handlers.commands.running import RunCommand
from handlers.tools.kubectl import Kubectl

# Operators by the name of their OLM package, which is the subscription's name (chart everest-db-namespace).
PACKAGES = {
    "percona-server-mongodb-operator": "mongodb",
    "percona-postgresql-operator": "postgresql",
    "percona-xtradb-cluster-operator": "xtradb_cluster",
}
SUBSCRIPTIONS = "subscriptions.operators.coreos.com"

_INSTALLER = "everest-operators-installer"
_KINDS = ("jobs.batch", SUBSCRIPTIONS, "clusterserviceversions.operators.coreos.com")
_LIMIT_SECONDS = 30  # it only tells
_FIELDS = (
    ".kind",
    ".metadata.name",
    ".status.currentCSV",
    ".status.phase",
    ".status.active",
    ".status.succeeded",
    '.status.conditions[?(@.type=="Failed")].status',
)


class _Seen(NamedTuple):
    """One object, as far as it is of interest; an empty text is what is not there."""

    kind: str
    name: str
    service: str
    phase: str
    active: str
    succeeded: str
    failed: str


async def see_installation(namespace: str, wanted: frozenset[str], run: RunCommand) -> tuple[Awaited, ...]:
    """The installer's Job and each wanted operator; nothing where nothing can be seen.

    One kubectl that prints little, with rights that the installation itself needs.
    """
    printed = await Kubectl(run, _LIMIT_SECONDS).pick(_KINDS, namespace, _FIELDS)
    if printed is None:
        return ()
    seen = [_Seen(*row) for row in printed]
    services = {one.name: one.phase for one in seen if one.kind == "ClusterServiceVersion"}
    subscribed = {PACKAGES.get(one.name): one.service for one in seen if one.kind == "Subscription"}
    operators = (Awaited("operator", name, _judge_operator(name, subscribed, services)) for name in sorted(wanted))
    return (Awaited("installer", _INSTALLER, _judge_installer(seen)), *operators)


def _judge_installer(seen: Iterable[_Seen]) -> str:
    """A pod that cannot start is active, too."""
    job = next((one for one in seen if one.kind == "Job" and one.name == _INSTALLER), None)
    if job is None:
        return "absent"
    if job.failed == "True":
        return "failed"
    return "succeeded" if job.succeeded else "running" if job.active else "waiting"


def _judge_operator(name: str, subscribed: Mapping[str | None, str], services: Mapping[str, str]) -> str:
    if name not in subscribed:
        return "absent"
    return services.get(subscribed[name]) or "subscribed"
