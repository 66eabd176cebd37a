"""RBAC authorization of the simulated API, from the roles and bindings that it stores."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from tests.simulator.apiserver.resources import Resource, resource
from tests.simulator.apiserver.store import Object, Store

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
    if user == ADMIN or access.resource.group in ("authorization.k8s.io", "authentication.k8s.io"):
        return True
    return any(_grants(rule, access) for rule in _rules_of(store, user, access.namespace))


def list_rules(store: Store, user: str, namespace: str) -> list[Object]:
    """As a SelfSubjectRulesReview lists them."""
    if user == ADMIN:
        return [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    return _rules_of(store, user, namespace)


def find_escalation(store: Store, user: str, kind: Resource, namespace: str, body: Object) -> str | None:
    """What is said to somebody who would grant more than they hold: by a role, or by a binding without `bind`."""
    match kind.plural:
        case "roles" | "clusterroles":
            rules = body.get("rules") or []
        case "rolebindings" | "clusterrolebindings":
            reference = body["roleRef"]
            plural = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
            bind = Access("bind", resource(plural, _RBAC), namespace, reference["name"])
            rules = [] if is_allowed(store, user, bind) else _rules_of_role(store, reference, namespace)
        case _:
            return None
    missing = [access for rule in rules for access in _accesses(rule, namespace) if not is_allowed(store, user, access)]
    if not missing:
        return None
    lines = [
        f'{{APIGroups:["{one.resource.group}"], Resources:["{one.resource.plural}"], Verbs:["{one.verb}"]}}'
        for one in missing
    ]
    why = f'user "{user}" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:'
    return "\n".join([why, *lines])


def _accesses(rule: Object, namespace: str) -> Iterator[Access]:
    for group, plural, verb in product(rule.get("apiGroups", []), rule.get("resources", []), rule.get("verbs", [])):
        for name in rule.get("resourceNames") or [""]:
            yield Access(verb, Resource(group, "v1", plural, plural), namespace, name)


def _rules_of(store: Store, user: str, namespace: str) -> list[Object]:
    found: list[Object] = []
    for binding in store.list(resource("clusterrolebindings", _RBAC)):
        found += _rules(store, binding, user, "")
    if namespace:
        for binding in store.list(resource("rolebindings", _RBAC), namespace):
            found += _rules(store, binding, user, namespace)
    return found


def _rules(store: Store, binding: Object, user: str, namespace: str) -> list[Object]:
    if user not in map(_user_of, binding.get("subjects") or []):
        return []
    return _rules_of_role(store, binding["roleRef"], namespace)


def _user_of(subject: Object) -> str | None:
    """A service account is a user with a long name."""
    if subject.get("kind") == "ServiceAccount":
        return f"system:serviceaccount:{subject.get('namespace')}:{subject.get('name')}"
    return subject.get("name") if subject.get("kind") == "User" else None


def _rules_of_role(store: Store, reference: Object, namespace: str) -> list[Object]:
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
