"""The database operators: their packages, and how Everest names them."""

from __future__ import annotations

from tests.everestctl.errors import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.everestctl.kube.api import Api, Object

OLM = "operators.coreos.com"


class Operator:
    """`engine` is Everest's word for it; `version` the one that the chart's catalog offers."""

    def __init__(self, package: str, engine: str, channel: str, version: str) -> None:
        self.package = package
        self.engine = engine
        self.channel = channel
        self.version = version


OPERATORS = {
    "mongodb": Operator("percona-server-mongodb-operator", "psmdb", "stable-v1", "v1.21.1"),
    "postgresql": Operator("percona-postgresql-operator", "postgresql", "stable-v2", "v2.7.0"),
    "xtradb-cluster": Operator("percona-xtradb-cluster-operator", "pxc", "stable-v1", "v1.18.0"),
}
"""By the flag that asks for it."""


def list_subscriptions(api: Api, namespace: str) -> list[Object]:
    return api.list(f"/apis/{OLM}/v1alpha1/namespaces/{namespace}/subscriptions")


def describe_installed(api: Api, namespace: str) -> str:
    """As `namespaces list` shows them. Raises Failed while one is not installed."""
    engines = {operator.package: operator.engine for operator in OPERATORS.values()}
    shown = []
    for subscription in list_subscriptions(api, namespace):
        name = (subscription.get("status") or {}).get("installedCSV")
        if not name:
            raise Failed(f"cannot list installed operators in namespace='{namespace}': resource name may not be empty")
        api.get(f"/apis/{OLM}/v1alpha1/namespaces/{namespace}/clusterserviceversions/{name}")
        package = subscription["metadata"]["name"]
        if package in engines:
            shown.append(f"{engines[package]}({name.partition('.')[2]})")
    return ", ".join(sorted(shown))
