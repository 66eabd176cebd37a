"""What the tests of a module share: one service, and one browser before it."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.handlers import Service, open_service

if TYPE_CHECKING:  # Playwright is there for `make test-browser` alone
    from playwright.async_api import Browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with open_service(tmp_path_factory.mktemp("service"), lease_seconds=30) as opened, opened.handler():
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> "AsyncIterator[Browser]":
    from tests.browser.browsers import chromium

    async with chromium() as running:
        yield running


@pytest.fixture
def url(service: Service) -> str:
    return f"http://127.0.0.1:{service.gateway.port}"
