"""`python -m gateway provision`: makes the streams, consumers and buckets that `nats/declarations.json` declares.

Idempotent. What can grow without loss is changed; a difference that could lose data is refused, and then nothing at all
is changed. Nobody else creates anything: a service that did would start a second, empty queue after a storage fault.
"""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from contracts.protocol import ACK_WAIT_PART
from contracts.settings import InvalidSettings, NatsSettings
from gateway.jetstream import JetStream, ManagementRefused, Unanswered, connect
from gateway.settings import ProvisionSettings

DECLARATIONS = Path(__file__).resolve().parent.parent / "nats" / "declarations.json"

# More of these loses nothing; a value of 0 or -1 means without limit. An operator who gave more keeps it.
_GROWING = ("max_bytes", "max_msg_size", "max_age")
_FREE = ("description", "duplicate_window", "num_replicas")
_UNLIMITED = (0, -1)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do: an API operation, its request, and how to tell of it."""

    operation: str
    request: dict[str, Any]
    told: str


class WouldLoseData(Exception):
    """What is there differs from the declarations in a way that only a person may change."""

    def __init__(self, differences: list[str]) -> None:
        super().__init__("; ".join(differences))
        self.differences = differences


def provision(nats: NatsSettings, settings: ProvisionSettings) -> int:
    """Runs the command and gives its exit code."""
    try:
        return asyncio.run(_provision(nats, settings))
    except WouldLoseData as error:
        reasons = "\n".join(f"  {difference}" for difference in error.differences)
        print(f"refused, nothing was changed: this could lose data\n{reasons}", file=sys.stderr)
        print("hint: change it by hand (nats stream edit), or move the data to a new stream first", file=sys.stderr)
    except ManagementRefused as error:
        print(f"refused by the server: {error}", file=sys.stderr)
        print(f"hint: {_hint(str(error))}", file=sys.stderr)
    except (Unanswered, InvalidSettings) as error:
        print(f"NATS cannot be used: {error}", file=sys.stderr)
        print("hint: check NATS_URL and the credentials, and that the user may use $JS.API.>", file=sys.stderr)
    return 1


async def _provision(nats: NatsSettings, settings: ProvisionSettings) -> int:
    jetstream = await connect(nats, "provision", role="provisioner")
    try:
        changes = await plan(jetstream, orjson.loads(DECLARATIONS.read_bytes()), settings)
        for change in changes:
            await jetstream.manage(change.operation, change.request)
            print(change.told)
        print("everything is as declared" if not changes else f"{len(changes)} changes made")
    finally:
        await jetstream.close()
    return 0


async def plan(jetstream: JetStream, declarations: dict[str, Any], settings: ProvisionSettings) -> list[Change]:
    """What is to be done, in order. Raises WouldLoseData, ManagementRefused, Unanswered."""
    changes: list[Change] = []
    differences: list[str] = []
    for declared in declarations["streams"]:
        wanted = {**declared, "num_replicas": settings.nats_replicas}
        present = await jetstream.read_management(f"STREAM.INFO.{wanted['name']}")
        changes += _plan_stream(wanted, present, differences)
    for declared in declarations["consumers"]:
        stream, config = declared["stream_name"], dict(declared["config"])
        config["ack_wait"] = int(settings.lease_seconds * ACK_WAIT_PART * 1e9)
        config["num_replicas"] = 0  # as the stream
        present = await jetstream.read_management(f"CONSUMER.INFO.{stream}.{config['durable_name']}")
        changes += _plan_consumer(stream, config, present)
    if differences:
        raise WouldLoseData(differences)
    return changes


def _plan_stream(wanted: dict[str, Any], present: dict[str, Any] | None, differences: list[str]) -> list[Change]:
    name = wanted["name"]
    if present is None:
        return [Change(f"STREAM.CREATE.{name}", wanted, f"created stream {name}")]
    config = present["config"]
    new = dict(config)
    for key, value in wanted.items():
        there = config.get(key, _default_of(value))
        if there == value or (key in _GROWING and _is_more(there, value)):
            continue
        if key in _FREE or (key in _GROWING and _is_more(value, there)):
            new[key] = value
        else:
            differences.append(f"{name}: {key} is {there!r}, declared is {value!r}")
    if new == config:
        return []
    changed = ", ".join(sorted(key for key in new if new[key] != config.get(key)))
    return [Change(f"STREAM.UPDATE.{name}", new, f"updated stream {name}: {changed}")]


def _plan_consumer(stream: str, wanted: dict[str, Any], present: dict[str, Any] | None) -> list[Change]:
    name = wanted["durable_name"]
    request = {"stream_name": stream, "config": wanted}
    operation = f"CONSUMER.DURABLE.CREATE.{stream}.{name}"
    if present is None:
        return [Change(operation, request, f"created consumer {name} of {stream}")]
    config = present["config"]
    changed = sorted(key for key, value in wanted.items() if config.get(key, _default_of(value)) != value)
    if not changed:
        return []
    request["config"] = {**config, **wanted}
    return [Change(operation, request, f"updated consumer {name} of {stream}: {', '.join(changed)}")]


def _default_of(value: Any) -> Any:
    """What the server leaves out of an answer."""
    return type(value)()


def _is_more(one: int, other: int) -> bool:
    return other not in _UNLIMITED and (one in _UNLIMITED or one > other)


def _hint(reason: str) -> str:
    if "replicas" in reason or "peers" in reason:
        return "NATS_REPLICAS needs as many nodes in the cluster"
    if "storage" in reason or "resources" in reason or "limit" in reason:
        return "raise max_file_store of the server, or the account's limits"
    if "not enabled" in reason:
        return "start nats-server with the configuration in nats/"
    return "see the server's log"
