"""A request as a message body, and the hash by which a repeat of it is known."""

import hashlib
from functools import cache
from typing import Any

import orjson

from contracts.requests.model import Request


def encode_request(request: Request) -> bytes:
    """The message body of a request: the members that the caller gave."""
    return orjson.dumps(request.given)


def request_hash(kind: str, request: Request) -> str:
    """Equal for equal requests: defaults filled, numbers coerced. Two kinds never share a hash.

    By the rule of 0.1.0, which is frozen: what it wrote is compared with what is written today. A later member counts
    only where it differs from its default, so that a new one changes no hash; then the hash begins with `2:`.
    """
    members, has_later = _spell(request)
    # Sorted on the outside alone: members of a part keep the order of their model, as 0.1.0 had them.
    text = kind.encode() + b"\n" + orjson.dumps(members, option=orjson.OPT_SORT_KEYS)
    return ("2:" if has_later else "") + hashlib.sha256(text).hexdigest()


def raw_hash(body: bytes) -> str:
    """What stands for the hash of a body that no request could be made of, in a frozen form as well.

    An older handler refuses a member that it does not know: its record is that of this body, and of no other.
    """
    return f"raw:{hashlib.sha256(body).hexdigest()}"


def _spell(request: Request) -> tuple[dict[str, Any], bool]:
    """The members that count, as they are hashed, and whether a later one is among them."""
    members, has_later = {}, False
    values, given = request.__dict__, request.model_fields_set
    for name, is_later, first_value in _members_of(type(request)):
        value = values[name]
        if is_later:
            if name not in given or not _differs(request, name):
                continue
            has_later = True
        elif name not in given and first_value is not None:
            value = first_value
        if isinstance(value, Request):
            part, part_has_later = _spell(value)
            members[name], has_later = orjson.Fragment(orjson.dumps(part)), has_later or part_has_later
        elif value is not None:
            members[name] = value
    return members, has_later


@cache
def _members_of(model: type[Request]) -> tuple[tuple[str, bool, Any], ...]:
    """By name, whether 0.1.0 did not know it, and with what 0.1.0 filled it in."""
    return tuple((name, name not in model.first, model.first.get(name)) for name in model.model_fields)


def _differs(request: Request, name: str) -> bool:
    """Whether a member that was given has another value than its default."""
    field = type(request).model_fields[name]
    return bool(getattr(request, name) != field.get_default(call_default_factory=True, validated_data=dict(request)))
