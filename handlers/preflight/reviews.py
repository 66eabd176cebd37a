"""Access reviews: the cluster says which rights this handler lacks, also in namespaces that are not there yet."""

import json
from collections.abc import Mapping, Sequence

from handlers.preflight.rights import Right
from handlers.tools.kubectl import Kubectl

_ACCESS_REVIEW = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}


async def find_missing(kubectl: Kubectl, rights: Sequence[Right]) -> list[Right]:
    """Those that are not granted, by one command. Raises StepFailed."""
    reviews = [{**_ACCESS_REVIEW, "spec": {"resourceAttributes": right.attributes}} for right in rights]
    answers = await kubectl.ask_all(reviews)
    allowed = {_key(answer["spec"]["resourceAttributes"]) for answer in answers if answer["status"].get("allowed")}
    return [right for right in rights if _key(right.attributes) not in allowed]


def _key(attributes: Mapping[str, str]) -> str:
    return json.dumps({name: value for name, value in attributes.items() if value}, sort_keys=True)
