"""What Everest's policies are about: the resources by version. One that the server does not know ends it.

Everest takes the names from the API that its binary serves (swagger, extension x-everest-resource-name).
"""

import re
from collections.abc import Iterable

from handlers.rbac.policy import Rule

# Since the first version that this service works with, or since the minor version of 1 that is named.
_SINCE = {
    "namespaces": 0,
    "database-engines": 0,
    "database-clusters": 0,
    "database-cluster-backups": 0,
    "database-cluster-restores": 0,
    "database-cluster-credentials": 0,
    "backup-storages": 0,
    "monitoring-instances": 0,
    "pod-scheduling-policies": 7,
    "data-importers": 8,
    "data-import-jobs": 8,
    "load-balancer-configs": 9,
    "enginefeatures/split-horizon-dns-configs": 10,
}
KNOWN_RESOURCES = frozenset(_SINCE)
# Their objects are in no namespace: a right names them without one (pkg/rbac/rbac.go).
GLOBAL_RESOURCES = frozenset({"namespaces", "pod-scheduling-policies", "load-balancer-configs", "data-importers"})
# The minor versions at which the list changed.
MINOR_VERSIONS = tuple(sorted(set(_SINCE.values())))


def resources_of(*versions: str) -> frozenset[str]:
    """Those that each of these versions of Everest knows. A development build's version says nothing: it knows all."""
    minors = [minor for version in versions if (minor := _read_minor(version)) is not None]
    return frozenset(name for name, since in _SINCE.items() if all(since <= minor for minor in minors))


def _read_minor(version: str) -> int | None:
    match = re.match(r"v?1\.(\d+)\.", version)
    return int(match[1]) if match else None


def find_unknown(rules: Iterable[Rule], resources: frozenset[str]) -> tuple[Rule, ...]:
    """The rights to what is none of the resources. `*` alone is every one."""
    return tuple(rule for rule in rules if rule.kind == "p" and rule.fields[1] not in resources | {"*"})
