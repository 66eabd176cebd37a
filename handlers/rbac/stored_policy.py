"""The policy that a cluster holds: the ConfigMap everest-rbac, read in one way by everything that looks at it."""

from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from handlers.rbac.policy import InvalidPolicy, Rule, check_rules, read_rules

NAME, NAMESPACE, KEY = "everest-rbac", "everest-system", "policy.csv"


class NoPolicy(ValueError):
    """There is no policy in it. That is never the same as an empty one."""


class StoredPolicy(NamedTuple):
    """`fault` is the first line that cannot be read, or that Everest would refuse as far as we can tell.

    Whether a policy is valid is the found everestctl's to say: the fault only explains.
    """

    text: str
    rules: tuple[Rule, ...]
    is_enforced: bool
    fault: InvalidPolicy | None

    @classmethod
    def of(cls, configmap: Mapping[str, Any] | None) -> "StoredPolicy":
        """Raises NoPolicy."""
        stored = (configmap or {}).get("data") or {}
        text = stored.get(KEY)
        if not isinstance(text, str):
            what = f"There is no ConfigMap {NAME}." if configmap is None else f"ConfigMap {NAME} has no key {KEY}."
            raise NoPolicy(what)
        read = read_rules(text)
        return cls(text, read.rules, stored.get("enabled") == "true", read.fault or _find_fault(read.rules))

    def find_rules(self, names: Container[str]) -> tuple[Rule, ...]:
        """The rights of these subjects and roles, what they are members of, and their members."""
        return tuple(rule for rule in self.rules if rule.subject in names or (rule.kind == "g" and rule.role in names))


def _find_fault(rules: tuple[Rule, ...]) -> InvalidPolicy | None:
    try:
        check_rules(rules)
    except InvalidPolicy as fault:
        return fault
    return None
