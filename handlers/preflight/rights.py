"""The rights that the workflow needs in the cluster: each was found by taking it away. The chart grants them."""

from collections.abc import Container
from typing import NamedTuple

_SYSTEM = "everest-system"
_INSTALLER = "The Role of Everest's installer grants it, so whoever makes that Role must hold it."


class Right(NamedTuple):
    """One verb on one resource; in every namespace, unless one is named. Without an optional one jobs succeed too."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""
    why: str = ""
    is_optional: bool = False

    @property
    def attributes(self) -> dict[str, str]:
        """The resourceAttributes of an access review."""
        named = {"namespace": self.namespace, "name": self.name, "group": self.group}
        return {"verb": self.verb, "resource": self.resource} | {key: value for key, value in named.items() if value}

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        named = f" {self.name}" if self.name else ""
        return f"{self.verb} {resource}{named}" + (f" in {self.namespace}" if self.namespace else "")


def needed_rights(credentials_namespace: str, tenant_role: str | None) -> tuple[Right, ...]:
    """With a tenant role the handler holds the tenants' rights only where it has bound itself, so none of them now."""
    everywhere = _EVERYWHERE + (_binding(tenant_role) if tenant_role else _OF_TENANTS)
    return (*everywhere, *_IN_SYSTEM, *_rights("get create delete", "secrets", namespace=credentials_namespace))


def claim_rights(verb: str) -> tuple[Right, ...]:
    return _rights(verb, "namespaces")


def account_rights(credentials_namespace: str) -> tuple[Right, ...]:
    """To make an account, and to keep its password."""
    return (*_rights("create", "secrets", namespace=credentials_namespace), *_IN_SYSTEM[:2])


def policy_rights() -> tuple[Right, ...]:
    """Of everest-rbac-import."""
    return _rights("get update", "configmaps", namespace=_SYSTEM, name="everest-rbac")


def database_rights(namespace: str) -> tuple[Right, ...]:
    """To pause and to start the databases of a namespace."""
    return tuple(right._replace(namespace=namespace) for right in _PAUSING)


def tenant_rights(namespace: str, resources: Container[str] | None = None) -> tuple[Right, ...]:
    """Those in a tenant's namespace without which nothing is installed there: all, or those on some resources."""
    return tuple(
        right._replace(namespace=namespace)
        for right in _OF_TENANTS
        if not right.is_optional and (resources is None or right.resource in resources)
    )


def removal_rights(namespace: str, *, keeps: bool, forces: bool) -> tuple[Right, ...]:
    """What taking this namespace away needs, besides what its making needed."""
    needed = (*_LOOKS, *_REMOVAL, *(() if keeps else _DELETION), *(_FORCED if forces else ()))
    return tuple(
        right._replace(namespace=namespace, name=namespace if right.resource == "namespaces" else "")
        for right in needed
    )


def _rights(
    verbs: str,
    resource: str,
    group: str = "",
    namespace: str = "",
    name: str = "",
    why: str = "",
    is_optional: bool = False,
) -> tuple[Right, ...]:
    return tuple(Right(verb, resource, group, namespace, name, why, is_optional) for verb in verbs.split())


def _binding(tenant_role: str) -> tuple[Right, ...]:
    rbac = "rbac.authorization.k8s.io"
    return (*_rights("get create", "rolebindings", rbac), *_rights("bind", "clusterroles", rbac, name=tenant_role))


_OPERATORS = "operators.coreos.com"
_PROOF = "Without it verify_tenant cannot tell whether the tenant can create a database."

_EVERYWHERE = (
    *_rights("get create patch", "namespaces"),
    *_rights("list", "namespaces", why="A tenant's namespaces are found by their claims, and by nothing else."),
    *_rights("update", "namespaces", why=_INSTALLER),
    *_rights("list", "storageclasses", "storage.k8s.io"),
)

_EVEREST = "everest.percona.com"
_OFFBOARD = "Without it jobs of the kind offboard are refused; onboarding goes on."
_FORCE = "Without it no offboarding deletes databases."
_PAUSE = "Without it no suspension pauses databases; onboarding goes on."

# What a tenant's end needs beyond its beginning: everestctl's own calls, and the look before it.
_LOOKS = (
    *_rights("list", "databaseclusters", _EVEREST),
    *_rights("list", "databaseclusterbackups", _EVEREST),
    *_rights("list", "persistentvolumeclaims"),
    *_rights("list", "deployments", "apps"),
    *_rights("list", "replicasets", "apps"),
    *_rights("list", "statefulsets", "apps"),
    *_rights("list", "daemonsets", "apps"),
    *_rights("list", "cronjobs", "batch"),
    *_rights("list", "pods"),
)
_REMOVAL = (
    *_rights("list deletecollection", "backupstorages", _EVEREST),
    *_rights("list deletecollection", "monitoringconfigs", _EVEREST),
    *_rights("delete", "operatorgroups", _OPERATORS),
    *_rights("delete", "subscriptions", _OPERATORS, why=_INSTALLER),
    *_rights("delete", "clusterserviceversions", _OPERATORS, why=_INSTALLER),
    *_rights("delete", "resourcequotas"),
    *_rights("delete", "limitranges"),
)
_DELETION = _rights("delete", "namespaces")
_FORCED = _rights("deletecollection", "databaseclusters", _EVEREST)
_PAUSING = _rights("get list patch", "databaseclusters", _EVEREST, why=_PAUSE, is_optional=True)

_OF_TENANTS = (
    *_rights("get list create update delete", "secrets", why="Helm keeps its releases in Secrets."),
    *_rights("get create delete", "serviceaccounts"),
    *_rights("get create patch", "resourcequotas"),
    *_rights("get create patch", "limitranges"),
    *_rights("get create delete", "roles", "rbac.authorization.k8s.io"),
    *_rights("get create delete", "rolebindings", "rbac.authorization.k8s.io"),
    *_rights("get list watch create delete", "jobs", "batch", why="Without list everestctl hangs."),
    *_rights("get create patch", "operatorgroups", _OPERATORS),
    *_rights("get list create patch", "subscriptions", _OPERATORS),
    *_rights("watch", "subscriptions", _OPERATORS, why=_INSTALLER),
    *_rights("get list patch update watch", "installplans", _OPERATORS, why=_INSTALLER),
    *_rights("get list watch", "clusterserviceversions", _OPERATORS, why=_INSTALLER),
    *_rights("get list", "databaseengines", _EVEREST, why=_PROOF, is_optional=True),
    *(right._replace(why=_OFFBOARD, is_optional=True) for right in (*_LOOKS, *_REMOVAL, *_DELETION)),
    *(right._replace(why=_FORCE, is_optional=True) for right in _FORCED),
    *(right for right in _PAUSING if right.verb != "list"),  # which is among the looks
)

_IN_SYSTEM = (
    *_rights("get update", "secrets", namespace=_SYSTEM, name="everest-accounts"),
    *_rights("get update", "configmaps", namespace=_SYSTEM, name="everest-rbac"),
    *_rights("get", "deployments", "apps", _SYSTEM, "everest-server"),
)
