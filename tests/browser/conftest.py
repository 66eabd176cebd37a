"""What the tests of a module share: one service, and one browser before it."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.handlers import House, open_house

if TYPE_CHECKING:  # Playwright is there for `make test-browser` alone
    from playwright.async_api import Browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("house"), lease_seconds=30) as opened, opened.handler():
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> "AsyncIterator[Browser]":
    from tests.browser.browsers import chromium

    async with chromium() as running:
        yield running


@pytest.fixture
def url(house: House) -> str:
    return f"http://127.0.0.1:{house.gateway.port}"
