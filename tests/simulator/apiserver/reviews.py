"""What reviews answer: who somebody is and what they may do."""

from collections.abc import Callable

from tests.simulator.apiserver.resources import RESOURCES, Resource
from tests.simulator.apiserver.rights import Access, is_allowed, list_rules
from tests.simulator.apiserver.store import Object, Store


def _review_access(store: Store, user: str, spec: Object) -> Object:
    asked = spec.get("resourceAttributes", {})
    group, plural = asked.get("group", ""), asked.get("resource", "")
    kind = next((item for item in RESOURCES if (item.group, item.plural) == (group, plural)), None)
    kind = kind or Resource(group, "v1", plural, plural)
    access = Access(asked.get("verb", ""), kind, asked.get("namespace", ""), asked.get("name", ""))
    return {"allowed": is_allowed(store, user, access)}


def _review_rules(store: Store, user: str, spec: Object) -> Object:
    rules = list_rules(store, user, spec.get("namespace", ""))
    return {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}


def _review_self(_: Store, user: str, __: Object) -> Object:
    return {"userInfo": {"username": user, "groups": ["system:authenticated"]}}


REVIEWS: dict[str, Callable[[Store, str, Object], Object]] = {
    "SelfSubjectAccessReview": _review_access,
    "SelfSubjectRulesReview": _review_rules,
    "SelfSubjectReview": _review_self,
}
"""The status of a review, by its kind."""
