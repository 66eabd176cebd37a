"""What `nats/declarations.json` declares, and how far that which is there may be changed to it without loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from contracts.names import AUDIT_STREAM, EVENTS_STREAM, event_subject
from gateway.folders import find_nats_folder

DECLARATIONS = find_nats_folder() / "declarations.json"

# More of these loses nothing, and an operator who gave more keeps it. 0 and -1 mean without limit.
_GROWING = ("max_bytes", "max_msg_size", "max_msgs", "max_age", "num_replicas")
_UNLIMITED = (0, -1)
# The declared value of these takes nothing away, whatever was there before.
_HARMLESS = (
    "description",
    "duplicate_window",
    "allow_direct",
    "allow_rollup_hdrs",
    "allow_atomic",
    "allow_batched",
    "deny_delete",
    "deny_purge",
    "republish",
)
# The server never changes these of a consumer.
_FIXED_OF_CONSUMER = ("ack_policy", "deliver_policy", "replay_policy", "max_waiting")


@dataclass(frozen=True, slots=True)
class Consumer:
    """A durable pull consumer of a stream. The configurations are those of the server's own API."""

    stream: str
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.config["durable_name"])


@dataclass(frozen=True, slots=True)
class Declarations:
    """Streams (a bucket is one) and consumers, in the order in which they are made."""

    streams: tuple[Mapping[str, Any], ...]
    consumers: tuple[Consumer, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """`config` is what is there with every change that loses nothing; `refused` is what only a person may change."""

    config: dict[str, Any]
    changed: tuple[str, ...]
    refused: tuple[str, ...]


def read_declarations(*, replicas: int, ack_wait_seconds: float, audit_retention_seconds: float = 0) -> Declarations:
    """The declarations, with what a deployment decides filled in. 0 seconds: for ever."""
    declared = orjson.loads(DECLARATIONS.read_bytes())
    # 0 replicas: as many as the stream.
    decided = {"ack_wait": int(ack_wait_seconds * 1e9), "num_replicas": 0}
    kept = {AUDIT_STREAM: {"max_age": int(audit_retention_seconds) * 10**9}}
    return Declarations(
        tuple({**stream, "num_replicas": replicas, **kept.get(stream["name"], {})} for stream in declared["streams"]),
        tuple(Consumer(part["stream_name"], {**part["config"], **decided}) for part in declared["consumers"]),
    )


def declare_publisher(name: str) -> Consumer:
    """Where a publisher pulls its own events from. The server lets its account reach what bears the account's name."""
    config = {
        "durable_name": name,
        "description": "The events of a publisher's own jobs, from where it stopped",
        "ack_policy": "explicit",
        "deliver_policy": "all",
        "replay_policy": "instant",
        "filter_subject": "",
        "filter_subjects": [event_subject(f"{name}.*")],
        "ack_wait": 60 * 10**9,
        "max_deliver": -1,
        "max_ack_pending": 1000,
        "max_waiting": 64,
        "num_replicas": 0,
    }
    return Consumer(EVENTS_STREAM, config)


def compare_stream(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> Drift:
    """How a stream differs from its declaration."""
    changes: dict[str, Any] = {}
    refused: list[str] = []
    for key, value, there in _differences(present, wanted):
        if key in _GROWING and _is_more(there, value):
            if key == "num_replicas":
                refused.append(f"{key} is {there}, asked for are {value}: set NATS_REPLICAS={there}")
        elif key in _HARMLESS or (key in _GROWING and _is_more(value, there)) or _adds(key, value, there):
            changes[key] = value
        else:
            refused.append(f"{key} is {there!r}, declared is {value!r}")
    return Drift({**present, **changes}, tuple(sorted(changes)), tuple(refused))


def compare_consumer(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> Drift:
    """How a consumer differs from its declaration. It holds no message, so all that the server changes may change."""
    differences = list(_differences(present, wanted))
    changes = {key: value for key, value, _ in differences if key not in _FIXED_OF_CONSUMER}
    refused = [
        f"{key} is {there!r}, declared is {value!r}" for key, value, there in differences if key in _FIXED_OF_CONSUMER
    ]
    return Drift({**present, **changes}, tuple(sorted(changes)), tuple(refused))


def _differences(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Key, declared value, present value. The server leaves out of an answer what is empty, zero or false."""
    pairs = ((key, value, present.get(key, type(value)())) for key, value in wanted.items())
    return [(key, value, there) for key, value, there in pairs if there != value]


def _is_more(one: int, other: int) -> bool:
    return other not in _UNLIMITED and (one in _UNLIMITED or one > other)


def _adds(key: str, value: Any, there: Any) -> bool:
    """A further kind of job is a further subject; what is stored before times to live are allowed has none."""
    return (key == "subjects" and set(there) < set(value)) or (key == "allow_msg_ttl" and value)
