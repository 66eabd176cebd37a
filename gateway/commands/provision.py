"""`python -m gateway provision`: makes the streams, consumers and buckets that `nats/declarations.json` declares.

Idempotent. What can grow without loss is changed; a difference that could lose data is refused, and then nothing at all
is changed. Nobody else creates anything: a service that did would start a second, empty queue after a storage fault.
"""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.link.errors import find_hint
from contracts.process.settings import NatsSettings
from contracts.protocol import ACK_WAIT_PART
from gateway.commands.declarations import (
    Consumer,
    Declarations,
    compare_consumer,
    compare_stream,
    declare_publisher,
    read_declarations,
)
from gateway.commands.publishers import find_problem
from gateway.jetstream import JetStream, ManagementRefused, NodesAway, NotLetIn, Unanswered, connect
from gateway.settings import ProvisionSettings

_PASSING_NANOSECONDS = 10**9
NODES_START_WITHIN = 30.0  # seconds; a healthy node may still be off line for the leader of the cluster


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do: an API operation, its request, and how to tell of it."""

    operation: str
    request: Mapping[str, Any]
    told: str


class WouldLoseData(Exception):
    """What is there differs from the declarations in a way that only a person may change."""

    def __init__(self, differences: list[str]) -> None:
        super().__init__("; ".join(differences))
        self.differences = differences


def provision(
    nats: NatsSettings, settings: ProvisionSettings, *, give_out_again: bool = False, publishers: Sequence[str] = ()
) -> int:
    """Runs the command and gives its exit code. `give_out_again` is for a moment at which no handler runs.

    `publishers` get a durable consumer of their own events each.
    """
    for problem in filter(None, map(find_problem, publishers)):
        print(f"nothing was changed: {problem}", file=sys.stderr)
        return 2
    try:
        asyncio.run(make_all(nats, settings, give_out_again=give_out_again, publishers=publishers))
        return 0
    except WouldLoseData as error:
        reasons = "\n".join(f"  {difference}" for difference in error.differences)
        print(f"refused, nothing was changed: this could lose data\n{reasons}", file=sys.stderr)
        print(
            "hint: change a stream by hand (nats stream edit) or move its messages to a new one; "
            "a consumer holds no messages, remove it (nats consumer rm) and run this again",
            file=sys.stderr,
        )
    except ManagementRefused as error:
        print(f"refused by the server: {error}", file=sys.stderr)
        print(f"hint: {_hint(str(error))}", file=sys.stderr)
    except NotLetIn as error:
        print(error, file=sys.stderr)
    except Unanswered as error:
        print(f"NATS cannot be used: {error}", file=sys.stderr)
        print(f"hint: {_hint(str(error))}", file=sys.stderr)
    return 1


async def make_all(
    nats: NatsSettings, settings: ProvisionSettings, *, give_out_again: bool = False, publishers: Sequence[str] = ()
) -> None:
    """All that is declared, and a consumer of its own events for each of the publishers.

    Raises WouldLoseData, ManagementRefused, NotLetIn, Unanswered.
    """
    declarations = read_declarations(
        replicas=settings.nats_replicas,
        ack_wait_seconds=settings.lease_seconds * ACK_WAIT_PART,
        audit_retention_seconds=settings.audit_retention,
    )
    pulled = tuple(map(declare_publisher, publishers))
    declarations = Declarations(declarations.streams, (*declarations.consumers, *pulled))
    jetstream = await connect(nats, "provision", role="provisioner")
    try:
        changes = await plan(jetstream, declarations)
        if give_out_again and await _forget_deliveries(jetstream, declarations):
            changes = await plan(jetstream, declarations)
        for change in changes:
            await _carry_out(jetstream, change)
            print(change.told, flush=True)
        print("everything is as declared" if not changes else f"{len(changes)} changes made")
    except Unanswered as error:
        # A missing permission shows as a request that nobody answers, and beside it as an error of the connection.
        raise Unanswered(f"{error} {jetstream.history.last_error}".rstrip()) from error
    finally:
        await jetstream.close()


async def _carry_out(jetstream: JetStream, change: Change) -> None:
    """A node of a cluster that has just started is off line for the others for a while: it is waited for."""
    patience = time.monotonic() + NODES_START_WITHIN
    while True:
        try:
            await jetstream.api.manage(change.operation, dict(change.request))
            return
        except NodesAway:
            if time.monotonic() > patience:
                raise
            await asyncio.sleep(1)


async def _forget_deliveries(jetstream: JetStream, declarations: Declarations) -> bool:
    """A server that was restarted remembers what was delivered, not what was handed back: that waits out `ack_wait`.

    A consumer that is made anew gives all of it out at once; messages are the stream's and stay. Of work queues alone:
    what else a stream holds would be told again from its beginning. Whether one is to be made anew.
    """
    has_forgotten = False
    queues = {stream["name"] for stream in declarations.streams if stream["retention"] == "workqueue"}
    for consumer in (consumer for consumer in declarations.consumers if consumer.stream in queues):
        present = await jetstream.api.find(f"CONSUMER.INFO.{consumer.stream}.{consumer.name}")
        if present and present["num_ack_pending"] and not present["num_waiting"]:
            await jetstream.api.manage(f"CONSUMER.DELETE.{consumer.stream}.{consumer.name}", {})
            has_forgotten = True
    return has_forgotten


async def plan(jetstream: JetStream, declarations: Declarations) -> list[Change]:
    """What is to be done, in order. Raises WouldLoseData, ManagementRefused, Unanswered.

    A consumer that is to take less does so before its stream takes more: else its handlers, which may be of an older
    version, would be given what they do not know.
    """
    streams: list[Change] = []
    narrowed: list[Change] = []
    consumers: list[Change] = []
    refused: list[str] = []
    taken: dict[str, set[str]] = {}
    for stream in declarations.streams:
        present = await jetstream.api.find(f"STREAM.INFO.{stream['name']}")
        taken[stream["name"]] = set(present["config"].get("subjects", ())) if present else set()
        streams += _plan_stream(stream, present, refused)
    for consumer in declarations.consumers:
        present = await jetstream.api.find(f"CONSUMER.INFO.{consumer.stream}.{consumer.name}")
        is_narrowed = present is not None and taken[consumer.stream].issuperset(consumer.config["filter_subjects"])
        (narrowed if is_narrowed else consumers).extend(_plan_consumer(consumer, present, refused))
    if refused:
        raise WouldLoseData(refused)
    return [*narrowed, *streams, *consumers]


def _plan_stream(wanted: Mapping[str, Any], present: Mapping[str, Any] | None, refused: list[str]) -> list[Change]:
    name = wanted["name"]
    if present is None:
        return [Change(f"STREAM.CREATE.{name}", wanted, f"created stream {name}")]
    if _holds_nothing(present["config"]) and wanted["storage"] == "file":
        return [
            Change(f"STREAM.DELETE.{name}", {}, f"deleted stream {name}, which kept nothing"),
            Change(f"STREAM.CREATE.{name}", wanted, f"created stream {name}"),
        ]
    drift = compare_stream(present["config"], wanted)
    refused += [f"stream {name}: {difference}" for difference in drift.refused]
    if not drift.changed:
        return []
    told = f"updated stream {name}: {', '.join(drift.changed)}"
    return [Change(f"STREAM.UPDATE.{name}", drift.config, told)]


def _holds_nothing(config: Mapping[str, Any]) -> bool:
    """What only passes on: as events were, before they were kept."""
    return config["storage"] == "memory" and config.get("max_age") == _PASSING_NANOSECONDS


def _plan_consumer(wanted: Consumer, present: Mapping[str, Any] | None, refused: list[str]) -> list[Change]:
    where = f"consumer {wanted.name} of {wanted.stream}"
    operation = f"CONSUMER.DURABLE.CREATE.{wanted.stream}.{wanted.name}"
    if present is None:
        return [Change(operation, _consumer_request(wanted, wanted.config), f"created {where}")]
    drift = compare_consumer(present["config"], wanted.config)
    refused += [f"{where}: {difference}" for difference in drift.refused]
    if not drift.changed:
        return []
    return [Change(operation, _consumer_request(wanted, drift.config), f"updated {where}: {', '.join(drift.changed)}")]


def _consumer_request(consumer: Consumer, config: Mapping[str, Any]) -> dict[str, Any]:
    return {"stream_name": consumer.stream, "config": dict(config)}


def _hint(reason: str) -> str:
    """What to do about a refusal, by the server's own words."""
    known = (hint for words, hint in _HINTS if any(word in reason.lower() for word in words))
    return next(known, None) or find_hint(reason) or "see the log of nats-server"


_HINTS = (
    (("permissions violation",), "this command needs the role provisioner of nats/permissions.conf"),
    (("replicas", "peers"), "NATS_REPLICAS needs as many nodes in the cluster, and all of them up"),
    (("storage", "resources", "limit"), "raise max_file_store of the server, or the limits of the account"),
    (("not enabled", "noresponders"), "start nats-server with a configuration of nats/: JetStream is not enabled"),
)
