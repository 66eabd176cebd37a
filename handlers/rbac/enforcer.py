"""Who may do what by a policy, as Everest's server decides it (casbin with data/rbac/model.conf).

A right counts for its subject and for whoever holds that as a role, over at most ten links. Every rule is asked, also
after one that grants: a malformed pattern fails each question that gets as far as it.
"""

from collections import defaultdict
from collections.abc import Iterable

from handlers.rbac.globs import MalformedGlob, check_glob, matches, spell_ends
from handlers.rbac.policy import ACTIONS, ADMIN_ROLE, Rule
from handlers.rbac.resources import GLOBAL_RESOURCES, KNOWN_RESOURCES

_MOST_LINKS = 10  # casbin's default


class Enforcer:
    """Answers for one policy. `resources` are those that Everest's version knows: the administrator's rights."""

    def __init__(self, rules: Iterable[Rule], resources: frozenset[str] = KNOWN_RESOURCES) -> None:
        rules = tuple(rules)
        self._rights = list(dict.fromkeys(rule.fields for rule in rules if rule.kind == "p"))
        self._rights += [(ADMIN_ROLE, name, "*", "*" if name in GLOBAL_RESOURCES else "*/*") for name in resources]
        self._links: dict[str, set[str]] = defaultdict(set)
        for rule in rules:
            if rule.kind == "g":
                self._links[rule.fields[0]].add(rule.fields[1])

    def may(self, subject: str, action: str, resource: str, name: str) -> bool:
        """Raises MalformedGlob where the server would answer with an error.

        `name` is the object's, with its namespace in front where the resource is in one. As everestctl has it, `*` and
        `all` ask for the object without a name.
        """
        if name in ("*", "all"):
            name = "" if resource in GLOBAL_RESOURCES else "/"
        held = self.roles_of(subject)
        is_granted = False
        for holder, *patterns in self._rights:
            if holder in held and all(map(matches, patterns, (resource, action, name))):
                is_granted = True
        return is_granted

    def roles_of(self, subject: str) -> frozenset[str]:
        """The subject itself, and what it holds, directly or by way of other roles."""
        found = {subject}
        latest = found
        for _ in range(_MOST_LINKS):
            latest = {role for name in latest for role in self._links.get(name, ())} - found
            found = found | latest
        return frozenset(found)

    def find_subjects(self, namespace: str) -> frozenset[str]:
        """Whoever may do anything to the namespace or in it, the administrator left out."""
        holders = {right[0] for right in self._rights if _reaches(right, namespace)} - {ADMIN_ROLE}
        named = {subject for subject in self._links if not holders.isdisjoint(self.roles_of(subject))}
        return frozenset(holders | named)


def find_malformed(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Rights with a pattern that Everest takes for valid and cannot match: it answers their members with errors."""
    return tuple(rule for rule in rules if rule.kind == "p" and not _is_well_formed(rule))


def _is_well_formed(rule: Rule) -> bool:
    try:
        for pattern in rule.fields[1:]:
            check_glob(pattern)
    except MalformedGlob:
        return False
    return True


def _reaches(right: tuple[str, ...], namespace: str) -> bool:
    """Whether some object of the namespace, or the namespace itself, is among those of the right."""
    _, resource, action, pattern = right
    try:
        if not any(matches(action, known) for known in ACTIONS[:-1]):
            return False
        if resource in ("*", "namespaces") and matches(pattern, namespace):
            return True
        return resource not in GLOBAL_RESOURCES and _reaches_into(pattern, namespace)
    except MalformedGlob:
        return False


def _reaches_into(pattern: str, namespace: str) -> bool:
    """Whether it matches `<namespace>/<name>` for any name: one that the end of the pattern spells would do."""
    first, slash, _ = pattern.partition("/")
    if "[" not in first and "**" not in first and not (slash and matches(first, namespace)):
        return False
    return any(matches(pattern, f"{namespace}/{name}") for name in spell_ends(pattern) if "/" not in name)
