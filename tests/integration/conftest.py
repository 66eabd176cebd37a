"""What the tests of a module share and leave as it is: a NATS server and a gateway, a cluster and its bench."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.simulator import SimulatedEverest
from tests.support.clusters import open_cluster
from tests.support.gateways import Gateway, ManualHandler, manual_handler, running_gateway
from tests.support.servers import NatsServer, nats_server
from tests.support.workflows import Bench, open_bench


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path_factory.mktemp("server"), lease_seconds=60) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with running_gateway(server.url, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def manual(server: NatsServer) -> AsyncIterator[ManualHandler]:
    async with manual_handler(server) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedEverest]:
    async with open_cluster(tmp_path_factory.mktemp("cluster"), job_seconds=0.1) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def everest(cluster: SimulatedEverest) -> AsyncIterator[SimulatedEverest]:
    """The module's cluster, with nothing wrong."""
    await cluster.set_faults(unreachable=False)
    yield cluster
    await cluster.set_faults(unreachable=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(cluster: SimulatedEverest) -> AsyncIterator[Bench]:
    async with open_bench(cluster.variables) as opened:
        yield opened
