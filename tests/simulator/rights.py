"""RBAC authorization of the simulated API, from the roles and bindings that it stores."""

from dataclasses import dataclass

from tests.simulator.cluster import resource
from tests.simulator.resources import Resource
from tests.simulator.store import Object, Store

ADMIN = "admin"
_RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Access:
    """What somebody wants to do. `name` is empty for lists and creations."""

    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""

    def refusal(self, user: str) -> str:
        """In the words of the real one."""
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        what = f'{self.resource.qualified} "{self.name}"' if self.name else self.resource.qualified
        right = f'cannot {self.verb} resource "{self.resource.plural}" in API group "{self.resource.group}" {where}'
        return f'{what} is forbidden: User "{user}" {right}'


def is_allowed(store: Store, user: str, access: Access) -> bool:
    """`admin` may do everything; others what their bindings say."""
    if user == ADMIN or access.resource.plural in ("selfsubjectaccessreviews", "selfsubjectreviews"):
        return True
    return any(_grants(rule, access) for rule in _rules_of(store, user, access.namespace))


def _rules_of(store: Store, user: str, namespace: str) -> list[Object]:
    found: list[Object] = []
    for binding in store.list(resource("clusterrolebindings", _RBAC)):
        found += _rules(store, binding, user, "")
    if namespace:
        for binding in store.list(resource("rolebindings", _RBAC), namespace):
            found += _rules(store, binding, user, namespace)
    return found


def _rules(store: Store, binding: Object, user: str, namespace: str) -> list[Object]:
    if not any(
        subject.get("kind") == "User" and subject.get("name") == user for subject in binding.get("subjects") or []
    ):
        return []
    reference = binding["roleRef"]
    plural = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
    role = store.find(resource(plural, _RBAC), namespace if plural == "roles" else "", reference["name"])
    return list(role["rules"]) if role else []


def _grants(rule: Object, access: Access) -> bool:
    return (
        _covers(rule.get("apiGroups", []), access.resource.group)
        and _covers(rule.get("resources", []), access.resource.plural)
        and _covers(rule.get("verbs", []), access.verb)
        and (not rule.get("resourceNames") or access.name in rule["resourceNames"])
    )


def _covers(listed: list[str], value: str) -> bool:
    return "*" in listed or value in listed
