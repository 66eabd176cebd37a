"""Confused deputies: what the server answers never acts as a call and never becomes a record, wherever it is sent.

The server checks no permission on the reply subject of a request. So each call that a role may make is made here with
replies that would be calls, records or messages of others.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client

from contracts import names
from tests.support.peers.accounts import PASSWORDS, intruding, secured_cluster, secured_server
from tests.support.peers.publishers import Publisher, make_publisher
from tests.support.servers import LIMIT_SECONDS, ROOT, NatsServer, nats_server, settle

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUERIES, DEAD = names.QUERIES_STREAM, names.DEAD_STREAM
TENANTS, CANCELS = f"KV_{names.TENANTS_BUCKET}", f"KV_{names.CANCELS_BUCKET}"
BODIES = {  # of calls that find nothing: an empty answer is all that some operations of the API need
    "STREAM.MSG.GET": b'{"last_by_subj": "nothing.there"}',
    "DIRECT.GET": b'{"seq": 1000000, "batch": 1}',
    "STREAM.MSG.DELETE": b'{"seq": 1000000}',
    "CONSUMER.MSG.NEXT": b'{"batch": 1, "no_wait": true}',
    "STREAM.INFO": b"",
    "CONSUMER.INFO": b"",
    "CONSUMER.DURABLE.CREATE": b"{}",
}


def read_calls(role: str) -> list[tuple[str, bytes]]:
    """Every operation that nats/permissions.conf lets the role ask for."""
    imports = (ROOT / "nats" / "permissions.conf").read_text().partition(f"{role}_imports: [")[2].partition("\n]")[0]
    operations = re.findall(r'subject: "\w+\.\$JS\.API\.(\S+)"', imports)
    return [
        (
            f"$JS.API.{operation.replace('*', 'webhook_x')}",
            next(body for name, body in BODIES.items() if operation.startswith(name)),
        )
        for operation in operations
    ]


DIRECT_READS = [call for call in read_calls("gateway") if ".DIRECT.GET." in call[0]]
CALLS: dict[str, list[tuple[str, bytes]]] = {
    "gateway": [call for call in read_calls("gateway") if call not in DIRECT_READS],
    "handler": read_calls("handler"),
    "portal": [
        ("everest.v1.status.unknown", b""),
        ("$JS.API.INFO", b""),
        (f"$JS.API.CONSUMER.MSG.NEXT.{names.EVENTS_STREAM}.portal", BODIES["CONSUMER.MSG.NEXT"]),
        (f"$JS.API.CONSUMER.INFO.{names.EVENTS_STREAM}.portal", b""),
    ],
}
REPLIES = [
    f"$JS.API.STREAM.DELETE.{DEAD}",
    f"$JS.API.STREAM.PURGE.{CANCELS}",
    f"$JS.API.CONSUMER.DELETE.{QUERIES}.{names.QUERIES_CONSUMER}",
    f"everest.v1.api.STREAM.DELETE.{DEAD}",
    f"$KV.{names.TENANTS_BUCKET}.victim",
    f"$KV.{names.CANCELS_BUCKET}.victim",
    f"$KV.{names.JOBS_BUCKET}.victim",
    names.dead_subject("bootstrap", "victim"),
    names.job_subject("bootstrap", "victim"),
    names.job_subject("bootstrap", "portal.victim"),
    names.job_subject("accounts-list", "victim"),
    *[
        f"{door}.{subject}"
        for door in ("gateway", "handler", "reading")
        for subject in (f"$KV.{names.TENANTS_BUCKET}.victim", f"$JS.API.STREAM.DELETE.{DEAD}", "everest.v1.told.victim")
    ],
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    return await make_publisher(tmp_path_factory.mktemp("publishers"), "portal")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["one node", "three nodes"])
async def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, portal: Publisher
) -> AsyncIterator[list[NatsServer]]:
    """Between nodes a message loses where it came from, so that a circle is not seen as one."""
    folder = tmp_path_factory.mktemp("secured")
    if request.param == "one node":
        async with secured_server(folder, [portal]) as server:
            yield [server]
    else:
        async with secured_cluster(folder, [portal]) as cluster:
            yield cluster


async def ask(client: Client, operation: str) -> dict[str, Any]:
    answer = await client.request(f"$JS.API.{operation}", b"", timeout=LIMIT_SECONDS)
    return dict(json.loads(answer.data))


async def read_all(client: Client) -> dict[str, Any]:
    """What there is of streams and consumers, and how often each was written."""
    streams = (await ask(client, "STREAM.LIST"))["streams"]
    return {
        stream["config"]["name"]: (stream["config"], stream["state"]["last_seq"], stream["state"]["consumer_count"])
        for stream in streams
    }


async def make_calls(client: Client, calls: list[tuple[str, bytes]]) -> None:
    """Every call with every reply. The last is answered to us, and a moment later all have had their effect."""
    for subject, body in calls:
        for reply in REPLIES:
            await client.publish(subject, body, reply=reply)
    await settle(client)
    await asyncio.sleep(0.5)


@pytest.mark.parametrize("role", CALLS)
async def test_no_answer_acts(servers: list[NatsServer], portal: Publisher, role: str) -> None:
    """Nothing is deleted, purged or written, neither by the answers of the API nor by those of an empty consumer."""
    password = PASSWORDS["provisioner"]
    witness = await nats.connect(
        servers[0].url, user="provisioner", password=password, inbox_prefix=b"_INBOX_provisioner"
    )
    before = await read_all(witness)
    for server in servers:
        async with intruding(server, role, [portal]) as intruder:
            await make_calls(intruder.client, CALLS[role])
    assert await read_all(witness) == before
    await witness.close()


async def test_answers_of_direct_reads_reach_what_the_gateway_writes_itself(
    servers: list[NatsServer], portal: Publisher
) -> None:
    """The server sends them as if the gateway did: into the two buckets that it may write, and nowhere else."""
    password = PASSWORDS["provisioner"]
    witness = await nats.connect(
        servers[0].url, user="provisioner", password=password, inbox_prefix=b"_INBOX_provisioner"
    )
    before = await read_all(witness)
    assert DIRECT_READS
    for server in servers:
        async with intruding(server, "gateway", [portal]) as intruder:
            await make_calls(intruder.client, DIRECT_READS)
    after = await read_all(witness)
    await witness.close()
    written = {name for name in before if before[name] != after[name]}
    assert written <= {f"KV_{names.JOBS_BUCKET}", CANCELS, names.AUDIT_STREAM}  # the audit copies the first


async def test_an_operators_answers_stay_in_its_account(servers: list[NatsServer], portal: Publisher) -> None:
    """Who may make and delete streams is trusted with all of them, and still speaks into nobody's inbox."""
    async with (
        intruding(servers[-1], "gateway", [portal]) as gateway,
        intruding(servers[-1], "portal", [portal]) as publisher,
        intruding(servers[-1], "provisioner", [portal]) as provisioner,
    ):
        for name, other in (("gateway", gateway), ("portal", publisher)):
            subscription = await other.client.subscribe(f"_INBOX_{name}.forged")
            await settle(other.client)
            await provisioner.client.publish("$JS.API.STREAM.LIST", b"", reply=f"_INBOX_{name}.forged")
            await ask(provisioner.client, "STREAM.LIST")
            await settle(other.client)
            assert subscription.pending_msgs == 0


async def test_without_accounts_they_would_act(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the calls above can do where everybody shares one account: they are real attacks."""
    async with nats_server(tmp_path_factory.mktemp("open"), lease_seconds=60) as running:
        client = await nats.connect(running.url)
        before = await read_all(client)
        await make_calls(client, CALLS["handler"])
        after = await read_all(client)
        await client.close()
    assert DEAD in before
    assert DEAD not in after, "deleted by an answer"
    assert after[TENANTS] != before[TENANTS], "written by an answer"
