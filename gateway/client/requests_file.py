"""A file of bootstrap requests for `apply -f`: YAML with one member, `requests`."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml


class InvalidRequestsFile(Exception):
    """The file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """`key` is made of the request, so that a file submitted twice makes no job twice."""

    body: dict[str, Any]
    key: str


def read_requests(path: Path) -> list[StoredRequest]:
    """Raises InvalidRequestsFile. What a request may hold is the gateway's to say."""
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidRequestsFile(f"{path} cannot be read: {error}") from None
    requests = content.get("requests") if isinstance(content, dict) else None
    if not isinstance(requests, list) or not requests or content.keys() != {"requests"}:
        raise InvalidRequestsFile(f"{path} must hold `requests:`, a list of bootstrap requests, and nothing else")
    return [_stored(path, number, request) for number, request in enumerate(requests)]


def _stored(path: Path, number: int, request: Any) -> StoredRequest:
    if not isinstance(request, dict):
        raise InvalidRequestsFile(f"{path}: requests[{number}] is no mapping")
    try:
        text = orjson.dumps(request, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise InvalidRequestsFile(f"{path}: requests[{number}] holds what JSON cannot: {error}") from None
    return StoredRequest(request, f"apply-{hashlib.sha256(text).hexdigest()[:32]}")
