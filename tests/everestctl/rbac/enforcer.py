"""Who may do what by a policy, as casbin decides with Everest's model."""

from tests.everestctl.rbac import globs
from tests.everestctl.rbac.policy import ADMIN, SINCE, Policy

_MOST_LINKS = 10
_GLOBAL = ("namespaces", "pod-scheduling-policies", "load-balancer-configs", "data-importers")


def is_allowed(policy: Policy, version: tuple[int, int], subject: str, action: str, resource: str, name: str) -> bool:
    """Every rule of the subject is tried, also behind one that allows: Raises Failed at a malformed glob."""
    if name in ("*", "all"):
        name = "" if resource in _GLOBAL else "/"
    subjects = _with_roles(policy, subject)
    rules = [rule for rule in policy.rules if rule[0] in subjects]
    if ADMIN in subjects:
        rules += [
            (ADMIN, known, "*", "*" if known in _GLOBAL else "*/*")
            for known, since in SINCE.items()
            if since <= version
        ]
    return sum(_matches(rule, action, resource, name) for rule in rules) > 0


def _matches(rule: tuple[str, ...], action: str, resource: str, name: str) -> bool:
    _, resources, actions, names = rule
    return globs.matches(resources, resource) and globs.matches(actions, action) and globs.matches(names, name)


def _with_roles(policy: Policy, subject: str) -> set[str]:
    """The subject and all that it is linked to, however indirectly, up to the enforcer's limit."""
    found, reached = {subject}, {subject}
    for _ in range(_MOST_LINKS):
        reached = {role for member, role in policy.links if member in reached} - found
        if not reached:
            break
        found |= reached
    return found
