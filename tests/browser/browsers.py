"""A headless Chromium, Debian's own, and a page in it that tells what went wrong."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

from tests.support.gateways import KEY

# A container's root has no sandbox; the rest keeps the browser from calling anybody.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LIMIT_MILLISECONDS = 120_000  # on a machine that does much else


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """With a fresh profile, which goes with it."""
    program = shutil.which("chromium")
    assert program, "chromium is not installed: make test-browser installs it"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


class Visit:
    """A page, and what no visit may have: errors, refusals by the policy, requests to another host."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.wrongs: list[str] = []
        page.on("pageerror", lambda error: self.wrongs.append(f"error: {error}"))
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("request", lambda request: self._note_request(request.url))

    def _note(self, kind: str, text: str) -> None:
        # An answer that is a problem document is logged by the browser itself, and is shown by the page.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.wrongs.append(f"{kind}: {text}")

    def _note_request(self, url: str) -> None:
        if not url.startswith((self.url, "data:")):
            self.wrongs.append(f"request: {url}")

    async def enter(self, key: str = KEY) -> None:
        await self.page.get_by_label("Admin key").fill(key)
        await self.page.get_by_role("button", name="Show the jobs").click()

    async def said(self) -> str:
        """What a screen reader was told last."""
        return str(await self.page.locator("#said").inner_text())


@asynccontextmanager
async def visit(browser: Browser, url: str, **options: Any) -> AsyncIterator[Visit]:
    """A visitor of their own: no key is kept, no theme chosen."""
    context = await browser.new_context(**options)
    context.set_default_timeout(LIMIT_MILLISECONDS)
    page = await context.new_page()
    visiting = Visit(page, url)
    await page.goto(f"{url}/")
    try:
        yield visiting
        assert visiting.wrongs == []
    finally:
        await context.close()


async def press_until(page: Page, key: str, name: str) -> None:
    """Goes on by keyboard until what is named has the focus."""
    focused = "(document.activeElement.labels?.[0] ?? document.activeElement).innerText.trim()"
    for _ in range(40):
        await page.keyboard.press(key)
        if await page.evaluate(focused) == name:
            return
    raise AssertionError(f"{name} is not reached with {key}")


async def expect_no_barrier(page: Page) -> None:
    """axe-core finds nothing. The visit has to bypass the policy, which keeps axe-core out."""
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
