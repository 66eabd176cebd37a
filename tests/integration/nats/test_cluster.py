"""Three nodes: everything has three copies, and the death of a leader loses nothing that was acknowledged."""

import asyncio
import json
from pathlib import Path

import nats
import nats.errors
import nats.js.errors
import pytest
from nats.aio.msg import Msg
from nats.js.api import StreamInfo

from contracts import names
from contracts.process.settings import NatsSettings
from gateway.commands.provision import WouldLoseData
from handlers.jetstream import Conflict, connect
from tests.simulator import simulated_everest
from tests.simulator.effects import overlaps
from tests.support.eventually import eventually
from tests.support.gateways import Gateway, running_gateway
from tests.support.handlers import Service, running_handler
from tests.support.peers.accounts import PASSWORDS, secured_cluster
from tests.support.peers.publishers import make_publisher
from tests.support.servers import LIMIT_SECONDS, NatsServer, nats_cluster

JOBS = 60
LEADERS_KILLED = 2
RACES = 20  # of which more than a half met a write on its way


async def read_stream(servers: list[NatsServer], subjects: str | None = None) -> StreamInfo:
    """The job stream as its leader tells of it. A question that falls into an election is asked again."""
    client = await nats.connect([server.url for server in servers])
    try:
        while True:
            try:
                info = await client.jetstream(timeout=2).stream_info(names.JOBS_STREAM, subjects_filter=subjects)
            except (nats.errors.Error, nats.js.errors.Error):
                await asyncio.sleep(0.2)
                continue
            if info.cluster is not None and info.cluster.leader:
                return info
    finally:
        await client.close()


async def find_leader(servers: list[NatsServer]) -> NatsServer:
    """The node that leads the job stream."""
    info = await read_stream(servers)
    assert info.cluster is not None
    (leader,) = (server for server in servers if server.read_monitor("varz")["server_name"] == info.cluster.leader)
    return leader


async def submit_until_accepted(gateway: Gateway, number: int) -> str:
    """What a caller does: the same key again after any 503."""
    headers = {"Idempotency-Key": f"order-{number}"}
    while True:
        answer = await gateway.api.post("/bootstrap/users", json={"username": f"user{number}"}, headers=headers)
        if answer.status_code == 202:
            return str(answer.json()["job_id"])
        assert answer.status_code == 503, answer.text
        await asyncio.sleep(0.2)


async def test_everything_is_replicated(tmp_path: Path) -> None:
    """Streams, buckets and consumers; and provisioning again with fewer copies is refused."""
    async with nats_cluster(tmp_path, lease_seconds=60) as servers:
        client = await nats.connect(servers[0].url)
        jetstream = client.jetstream(timeout=10)
        for stream in await jetstream.streams_info():
            assert stream.config.num_replicas == 3, stream.config.name
            assert stream.cluster is not None
            assert len(stream.cluster.replicas or []) == 2, stream.config.name
        consumer = await jetstream.consumer_info(names.JOBS_STREAM, names.BOOTSTRAP_CONSUMER)
        assert consumer.cluster is not None
        assert len(consumer.cluster.replicas or []) == 2
        await client.close()
        with pytest.raises(WouldLoseData, match="set NATS_REPLICAS=3"):
            await servers[0].provision(replicas=1)
        await race_for_a_revision(servers)


async def race_for_a_revision(servers: list[NatsServer]) -> None:
    """Of two writers one is told that the other was first, also while that write is on its way to the copies."""
    ends = [await connect(NatsSettings(nats_url=server.url), "a test", lambda: None) for server in servers[:2]]
    revision = 0
    for number in range(RACES):
        writes = [end.jobs.write("contested", b"%d" % number, last=revision) for end in ends]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        (revision,) = (outcome for outcome in outcomes if isinstance(outcome, int))
        assert [type(outcome) for outcome in outcomes if not isinstance(outcome, int)] == [Conflict], outcomes
    for end in ends:
        await end.close()


def count_refusals(servers: list[NatsServer]) -> int:
    """How many API calls the nodes have refused since they started."""
    return sum(server.read_monitor("jsz").get("api", {}).get("errors", 0) for server in servers)


def read_leader(server: NatsServer) -> str | None:
    """Who places streams, by this node's account."""
    leader: str | None = server.read_monitor("jsz").get("meta_cluster", {}).get("leader")
    return leader


async def test_provisioning_waits_for_a_node_that_is_still_starting(tmp_path: Path) -> None:
    """A node that the leader takes for off line, as after any start, is no reason to give up."""
    async with nats_cluster(tmp_path) as servers:
        leader = await eventually(lambda: read_leader(servers[0]), "the nodes have elected a leader")
        late = next(server for server in reversed(servers) if server.read_monitor("varz")["server_name"] != leader)
        await late.kill()
        up = [server for server in servers if server is not late]
        before = count_refusals(up)
        provision = asyncio.create_task(up[0].provision(60, 3))
        await eventually(lambda: count_refusals(up) > before, "the cluster refuses to place three copies on two nodes")
        assert not provision.done()
        await late.start()
        await provision
        info = await read_stream(servers)
        assert info.cluster is not None
        assert len(info.cluster.replicas or []) == 2


async def test_killing_the_leader_during_submits_loses_nothing(tmp_path: Path) -> None:
    """Every 202 is a job that is there afterwards, exactly once; what got no 202 can be sent again."""
    async with nats_cluster(tmp_path, lease_seconds=60) as servers:
        urls = ",".join(server.url for server in servers)
        async with running_gateway(urls, tmp_path) as gateway:
            accepted: list[str] = []

            async def submit_all() -> None:
                for number in range(JOBS):
                    job_id = await submit_until_accepted(gateway, number)
                    accepted.append(job_id)
                    reached.release()

            async def reach(count: int) -> None:
                for _ in range(count):
                    await reached.acquire()

            async def kill_leaders() -> None:
                for _ in range(LEADERS_KILLED):
                    await reach(JOBS // (LEADERS_KILLED + 1) - 3)
                    leader = await find_leader(servers)
                    await leader.kill()
                    await reach(3)
                    await leader.start()
                    await leader.wait_until_healthy()

            reached = asyncio.Semaphore(0)
            async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as group:
                group.create_task(submit_all())
                group.create_task(kill_leaders())
            assert len(set(accepted)) == JOBS
            info = await read_stream(servers, subjects=">")
            assert info.state.subjects == {names.job_subject("bootstrap", job_id): 1 for job_id in accepted}
            for job_id in accepted:
                answer = await gateway.wait_until(f"/jobs/{job_id}", 200)
                assert json.loads(answer.text)["status"] == "queued"


@pytest.mark.slow
async def test_killing_the_leader_while_jobs_run_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Handlers ride out an election, or lose their lease to it: each job ends well, one command at a time."""
    async with nats_cluster(tmp_path, lease_seconds=12) as servers, simulated_everest(tmp_path / "everest") as everest:
        urls = ",".join(server.url for server in servers)
        await everest.set_faults(job_seconds=4)
        async with (
            running_gateway(urls, tmp_path) as gateway,
            running_handler(urls, everest, tmp_path),
            running_handler(urls, everest, tmp_path),
        ):
            service = Service(servers[0], everest, gateway, tmp_path)
            job_ids = [await gateway.submit(username=f"user{n}", operators={"postgresql": True}) for n in range(6)]
            await service.wait_for_run("namespaces", "add")
            leader = await find_leader(servers)
            await leader.kill()
            for job_id in job_ids:
                result = await service.wait_until_finished(job_id)
                assert result["overall_status"] == "succeeded", result
            await leader.start()
            await leader.wait_until_healthy()
        assert not overlaps((await everest.effects())["runs"])
        info = await read_stream(servers)
        assert info.state.messages == 0


async def test_accounts_reach_over_nodes(tmp_path: Path) -> None:
    """Gateway, handler and publisher on a node each: jobs of both end, and the publisher hears of its own."""
    publisher = await make_publisher(tmp_path, "portal")
    async with (
        simulated_everest(tmp_path / "everest") as everest,
        secured_cluster(tmp_path, [publisher]) as (first, second, third),
        running_gateway(first.url, tmp_path, NATS_USER="gateway", NATS_PASSWORD=PASSWORDS["gateway"]) as gateway,
        running_handler(second.url, everest, tmp_path, NATS_USER="handler", NATS_PASSWORD=PASSWORDS["handler"]),
        publisher.connected(third) as portal,
    ):
        heard: asyncio.Queue[str] = asyncio.Queue()

        async def hear(message: Msg) -> None:
            heard.put_nowait(json.loads(message.data)["status"])

        await portal.subscribe("everest.v1.events.order-42", cb=hear)
        await portal.jetstream().publish("everest.v1.jobs.bootstrap.order-42", b'{"username": "carol"}')
        job_id = await gateway.submit()
        for job in (job_id, "portal.order-42"):
            result = (await gateway.wait_until(f"/jobs/{job}/result", 200)).json()
            assert result["overall_status"] == "succeeded", result
        while await asyncio.wait_for(heard.get(), LIMIT_SECONDS) != "succeeded":
            pass
        status = await portal.request("everest.v1.status.order-42", b"", timeout=LIMIT_SECONDS)
        assert json.loads(status.data)["status"] == "succeeded"
