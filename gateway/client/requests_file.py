"""A file of bootstrap requests for `apply -f`: YAML with one member, `requests`."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from contracts.batches import MOST_REQUESTS


class InvalidRequestsFile(Exception):
    """The file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """`key` is made of the requests, so that a file submitted twice makes no job twice."""

    requests: list[dict[str, Any]]
    key: str


def read_batches(path: Path) -> list[StoredBatch]:
    """As many as the file needs. Raises InvalidRequestsFile. What a request may hold is the gateway's to say."""
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidRequestsFile(f"{path} cannot be read: {error}") from None
    requests = content.get("requests") if isinstance(content, dict) else None
    if not isinstance(requests, list) or not requests or content.keys() != {"requests"}:
        raise InvalidRequestsFile(f"{path} must hold `requests:`, a list of bootstrap requests, and nothing else")
    texts = [_encode(path, number, request) for number, request in enumerate(requests)]
    return [
        StoredBatch(requests[start : start + MOST_REQUESTS], _make_key(texts[start : start + MOST_REQUESTS]))
        for start in range(0, len(requests), MOST_REQUESTS)
    ]


def _encode(path: Path, number: int, request: Any) -> bytes:
    if not isinstance(request, dict):
        raise InvalidRequestsFile(f"{path}: requests[{number}] is no mapping")
    try:
        return orjson.dumps(request, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise InvalidRequestsFile(f"{path}: requests[{number}] holds what JSON cannot: {error}") from None


def _make_key(texts: list[bytes]) -> str:
    digest = hashlib.sha256(b"\n".join(texts)).hexdigest()
    return f"apply-{digest[:32]}"
