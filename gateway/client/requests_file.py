"""A file of bootstrap requests for `apply -f`: YAML with one member, `requests`."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import orjson
import yaml

from contracts.batches import MOST_REQUESTS
from contracts.requests import BootstrapRequest, InvalidRequest, validate_request
from gateway.yaml_files import StrictLoader

_MOST_PROBLEMS = 100
_JSON = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "str", "seq", "map"))


class InvalidRequestsFile(Exception):
    """The file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """`key` is made of the requests, so that a file submitted twice makes no job twice; `first` is where they begin."""

    requests: list[dict[str, Any]]
    key: str
    first: int = 0

    def __str__(self) -> str:
        return f"requests[{self.first}] to requests[{self.first + len(self.requests) - 1}]"


class _Loader(StrictLoader):
    """Dates are text, and so is `1:30`, which YAML 1.1 takes for ninety: requests are JSON, which has neither."""

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        if ":" in node.value:
            return self.construct_scalar(node)
        return self.construct_yaml_int(node) if node.tag.endswith(":int") else self.construct_yaml_float(node)

    yaml_constructors: ClassVar = {
        **{tag: StrictLoader.yaml_constructors[tag] for tag in (*_JSON, None)},  # None: refuses all others
        "tag:yaml.org,2002:int": construct_number,
        "tag:yaml.org,2002:float": construct_number,
        "tag:yaml.org,2002:timestamp": StrictLoader.construct_scalar,
    }


def read_batches(path: Path) -> list[StoredBatch]:
    """As many as the file needs, all of them valid. Raises InvalidRequestsFile, which names each problem's place."""
    requests = _read_requests(path)
    problems = [problem for number, request in enumerate(requests) for problem in _find_problems(number, request)]
    if problems:
        more = f"\n  and {len(problems) - _MOST_PROBLEMS} more" if len(problems) > _MOST_PROBLEMS else ""
        listed = "".join(f"\n  {problem}" for problem in problems[:_MOST_PROBLEMS])
        raise InvalidRequestsFile(f"{path} is not valid, nothing was sent{listed}{more}")
    batches = (requests[start : start + MOST_REQUESTS] for start in range(0, len(requests), MOST_REQUESTS))
    return [StoredBatch(batch, _make_key(batch), number * MOST_REQUESTS) for number, batch in enumerate(batches)]


def _read_requests(path: Path) -> list[Any]:
    try:
        content = yaml.load(path.read_bytes(), _Loader)
    except (OSError, ValueError, LookupError, RecursionError, yaml.YAMLError) as error:
        raise InvalidRequestsFile(f"{path} cannot be read: {error}") from None
    requests = content.get("requests") if isinstance(content, dict) else None
    if not isinstance(requests, list) or not requests or content.keys() != {"requests"}:
        raise InvalidRequestsFile(f"{path} must hold `requests:`, a list of bootstrap requests, and nothing else")
    return requests


def _find_problems(number: int, request: Any) -> Iterator[str]:
    """In the gateway's words: it judges by the same model."""
    try:
        validate_request(BootstrapRequest, request)
    except InvalidRequest as error:
        for field, message in error.problems:
            yield f"{'.'.join((f'requests[{number}]', field)).rstrip('.')}: {message}"


def _make_key(requests: list[dict[str, Any]]) -> str:
    texts = (orjson.dumps(request, option=orjson.OPT_SORT_KEYS) for request in requests)
    digest = hashlib.sha256(b"\n".join(texts)).hexdigest()
    return f"apply-{digest[:32]}"
