"""One NATS server and one gateway for the tests of a module that leave both as they are."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.gateways import Gateway, Hand, helping_hand, running_gateway
from tests.support.servers import NatsServer, nats_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path_factory.mktemp("server"), lease_seconds=60) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with running_gateway(server.url, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hand(server: NatsServer) -> AsyncIterator[Hand]:
    async with helping_hand(server) as helping:
        yield helping
