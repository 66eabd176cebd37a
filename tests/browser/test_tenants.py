"""Tenants on the page at /: found, compared, planned, suspended, taken away; by a real gateway, NATS and handler."""

import json
import re
import uuid

import pytest
import pytest_asyncio

pytest.importorskip("playwright", reason="make test-browser installs it")

from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.browsers import LIMIT_MILLISECONDS, expect_no_barrier, press_until, visit
from tests.support.handlers import Service

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
expect.set_options(timeout=LIMIT_MILLISECONDS)


@pytest_asyncio.fixture(loop_scope="module")
async def tenant(service: Service) -> str:
    username = f"t{uuid.uuid4().hex[:8]}"
    await service.run_job(username=username)
    return username


async def put_claim(service: Service, namespace: str) -> None:
    metadata = {"name": "files", "namespace": namespace}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
    code, _, stderr = await service.everest.run("kubectl", "create", "-f", "-", stdin=json.dumps(claim))
    assert code == 0, stderr


def planned(page: Page) -> Locator:
    return page.locator("#plan").get_by_role("list", name="Steps").locator(".state")


async def test_a_tenant_is_taken_away_by_keyboard_alone(
    browser: Browser, service: Service, url: str, tenant: str
) -> None:
    """A wrong name is not enough; what would be lost is listed; with it confirmed, the plan is what then happens."""
    await put_claim(service, tenant)
    async with visit(browser, url) as visiting:
        page = visiting.page
        await visiting.enter()
        await expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_focused()
        await press_until(page, "Shift+Tab", "Tenants")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Tenants", exact=True)).to_be_focused()
        await expect(page.get_by_role("list", name="Tenants").get_by_role("button", name=tenant)).to_be_visible()
        await press_until(page, "Tab", "Username")
        await page.keyboard.type(tenant)
        await expect(page.get_by_role("list", name="Tenants").get_by_role("listitem")).to_have_count(1)
        await press_until(page, "Tab", "Repair all…")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name=tenant, exact=True)).to_be_focused()
        await press_until(page, "Tab", "Take away…")
        await page.keyboard.press("Enter")
        field = page.get_by_label(f"Type {tenant} to confirm")
        await expect(field).to_be_focused()
        await page.keyboard.type("another")
        await page.keyboard.press("Enter")
        await expect(field).to_have_accessible_description(f"Type the name as it is: {tenant}")
        await expect(field).to_be_focused()
        await page.keyboard.press("Control+A")
        await page.keyboard.type(tenant)
        await page.keyboard.press("Enter")
        await expect(planned(page)).to_have_text(["refused: databases_left"])
        await expect(page.locator("#plan")).to_contain_text("PersistentVolumeClaim/files")
        await press_until(page, "Tab", "Take it away")
        await page.keyboard.press("Enter")
        refusal = page.locator("#plan-problem")
        await expect(refusal.get_by_role("link", name="databases_left")).to_be_visible()
        await expect(refusal).to_contain_text("PersistentVolumeClaim/files")
        await page.keyboard.press("Escape")
        await expect(field).to_be_visible()
        await page.get_by_role("radio", name="Goes with its databases").focus()
        await page.keyboard.press("Space")
        await page.keyboard.press("Enter")
        await expect(planned(page)).to_have_text(["unchanged", *["would remove"] * 4])
        await press_until(page, "Tab", "Take it away")
        await page.keyboard.press("Enter")
        await expect(page.locator("#job .state").first).to_have_text("succeeded")
        done = page.locator("#job").get_by_role("list", name="Steps").locator(".state")
        await expect(done).to_have_text(["unchanged", *["removed"] * 4])
        await page.get_by_role("link", name="Tenants").click()
        await expect(page.get_by_text("No tenant is like that.")).to_be_visible()


async def test_a_whole_tenant_is_handed_over_and_taken_away_by_keyboard_alone(
    browser: Browser, service: Service, url: str, tenant: str
) -> None:
    """A name that no key can have is refused at its field; who manages it is seen. All namespaces go in one job."""
    second = f"t{uuid.uuid4().hex[:8]}"
    await service.everest.run("kubectl", "create", "namespace", second)
    await service.run_job(username=tenant, namespace=second, take_ownership=True)
    async with visit(browser, url) as visiting:
        page = visiting.page
        await visiting.enter()
        await page.goto(f"{url}/#/tenants/{tenant}")
        await expect(page.get_by_role("heading", name=tenant, exact=True)).to_be_focused()
        await press_until(page, "Tab", "ManualHandler over…")
        await page.keyboard.press("Enter")
        field = page.get_by_label("New manager")
        await page.keyboard.type("the portal")
        await page.keyboard.press("Enter")
        await expect(field).to_have_accessible_description(
            "The name of an API key or of a publisher Must be 1 to 64 letters, digits, '-' or '_'"
        )
        await expect(field).to_be_focused()
        await page.keyboard.press("Control+A")
        await page.keyboard.type("portal")
        await page.keyboard.press("Enter")
        await expect(planned(page)).to_have_text(["would update"])
        await press_until(page, "Tab", "ManualHandler over")
        await page.keyboard.press("Enter")
        await expect(page.locator(".summary")).to_have_text(f"Tenant {tenant} is managed by portal.")
        await page.goto(f"{url}/#/tenants/{tenant}")
        await expect(page.locator("#tenant .facts").first).to_contain_text("portal")
        await press_until(page, "Tab", "Take the tenant away…")
        await page.keyboard.press("Enter")
        await expect(page.locator("#offboard-what")).to_contain_text(f"{second} (was there before it was claimed)")
        await expect(page.get_by_role("radio", name="Stays with what is in it")).to_be_checked()
        await page.get_by_role("radio", name="Goes; refused").focus()
        await page.keyboard.press("Space")
        await page.get_by_label(f"Type {tenant} to confirm").focus()
        await page.keyboard.type(tenant)
        await page.keyboard.press("Enter")
        await expect(planned(page)).to_have_text(["unchanged", *["would remove"] * 4])
        await press_until(page, "Tab", "Take it away")
        await page.keyboard.press("Enter")
        summary = re.compile(f"Tenant {tenant}: access revoked; namespaces? .*{second}.* removed; account removed.")
        await expect(page.locator(".summary")).to_have_text(summary)


async def test_all_that_differ_are_shown_and_repaired(browser: Browser, service: Service, url: str) -> None:
    """On a phone, with names of the longest kind; each job is one link away."""
    username, namespace = f"{uuid.uuid4().hex:a<63}", f"n{uuid.uuid4().hex:a<52}"
    await service.run_job(username=username, namespace=namespace)
    await service.everest.run("kubectl", "delete", "resourcequota", "user-quota", "-n", namespace)
    async with visit(browser, url, viewport={"width": 375, "height": 740}, bypass_csp=True) as visiting:
        page = visiting.page
        await visiting.enter()
        await page.get_by_role("link", name="Tenants").click()
        await page.get_by_role("button", name="Repair all…").click()
        dialog = page.get_by_role("dialog", name="Repair all that differ")
        entry = dialog.get_by_role("listitem").filter(has=page.get_by_text(username, exact=True))
        await expect(entry).to_contain_text(f"{namespace}: There is no ResourceQuota user-quota.")
        await expect_fit(page, 375)
        await dialog.get_by_role("button", name="Repair").click()
        await expect(dialog.get_by_role("status")).to_contain_text("The links lead to them.")
        await expect_fit(page, 375)
        await entry.get_by_role("link", name=f"Job of {username}").click()
        await expect(dialog).to_be_hidden()
        await expect(page.locator("#job .state").first).to_have_text("succeeded")
        await page.goto(f"{url}/#/tenants/{username}")
        await expect(page.get_by_text("It is as it is wanted.")).to_be_visible()
        await expect_fit(page, 375)


async def test_a_plan_is_seen_before_a_submit(browser: Browser, service: Service, url: str) -> None:
    """Each step with what it would do, its commands and its changes; to go back submits nothing."""
    username = f"t{uuid.uuid4().hex[:8]}"
    async with visit(browser, url) as visiting:
        page = visiting.page
        await visiting.enter()
        await page.get_by_role("button", name="New tenant").click()
        form = page.get_by_role("dialog", name="New tenant")
        await form.get_by_label("Username").fill(username)
        await form.get_by_role("button", name="Show the plan").click()
        await expect(planned(page).first).to_have_text("would create")
        namespace = page.locator("#plan").get_by_role("listitem").filter(has_text="Add the namespace")
        await namespace.get_by_text("Commands and changes").click()
        await expect(namespace.get_by_text("kubectl create -f -")).to_be_visible()
        await page.get_by_role("button", name="Back").click()
        await expect(form).to_be_visible()
        listed = await service.gateway.api.get("/jobs", params={"username": username})
        assert listed.json()["jobs"] == []


async def test_differences_in_words_and_their_repair(browser: Browser, service: Service, url: str, tenant: str) -> None:
    await service.everest.run("kubectl", "delete", "resourcequota", "user-quota", "-n", tenant)
    async with visit(browser, url) as visiting:
        page = visiting.page
        await visiting.enter()
        await page.get_by_role("link", name="Tenants").click()
        filters = page.get_by_role("search", name="Filter the tenants")
        await filters.get_by_label("Username").fill(tenant)
        await filters.get_by_label("Only those that differ").check()
        entry = page.get_by_role("list", name="Tenants").get_by_role("button", name=tenant)
        await expect(entry).to_contain_text("1 difference")
        await entry.click()
        await expect(page.get_by_text("There is no ResourceQuota user-quota.")).to_be_visible()
        await page.get_by_role("button", name="Repair…").click()
        await page.get_by_role("button", name="Repair", exact=True).click()
        await expect(page.locator("#job .state").first).to_have_text("succeeded")
        await page.goto(f"{url}/#/tenants/{tenant}")
        await expect(page.get_by_text("It is as it is wanted.")).to_be_visible()


async def test_a_change_of_what_is_wanted(browser: Browser, service: Service, url: str, tenant: str) -> None:
    """The form holds what is wanted now; its names stay, and the generation that was seen is the condition."""
    async with visit(browser, url) as visiting:
        page = visiting.page
        await visiting.enter()
        await page.goto(f"{url}/#/tenants/{tenant}")
        await page.get_by_role("button", name="Change…").click()
        form = page.get_by_role("dialog", name=f"Change {tenant} of {tenant}")
        await expect(form.get_by_label("Username")).not_to_be_editable()
        await form.get_by_label("CPU cores").fill("6")
        await form.get_by_role("button", name="Show the plan").click()
        await expect(planned(page).get_by_text("would update").first).to_be_visible()
        await page.get_by_role("button", name="Submit", exact=True).click()
        await expect(page.locator("#job .state").first).to_have_text("succeeded")
    found = (await service.gateway.api.get(f"/tenants/{tenant}/namespaces/{tenant}")).json()["data"]
    assert (found["generation"], found["desired"]["resources"]["cpu_cores"]) == (2, 6)


@pytest.mark.parametrize("width", [375, 768, 1440])
async def test_suspended_tenants_are_seen_at_every_width(
    browser: Browser, service: Service, url: str, tenant: str, width: int
) -> None:
    """In the list and by themselves; axe-core finds nothing in either, in the plan, or in the form that takes away."""
    async with visit(browser, url, viewport={"width": width, "height": 740}, bypass_csp=True) as visiting:
        page = visiting.page
        await visiting.enter()
        await page.goto(f"{url}/#/tenants/{tenant}")
        await page.get_by_role("button", name="Suspend…").click()
        await expect(planned(page).first).to_be_visible()
        await page.locator("#plan").get_by_text("Commands and changes").first.click()
        await expect_fit(page, width)
        await page.get_by_role("button", name="Suspend", exact=True).click()
        await expect(page.locator("#job .state").first).to_have_text("succeeded")
        await page.get_by_role("link", name="Tenants").click()
        entry = page.get_by_role("list", name="Tenants").get_by_role("button", name=tenant)
        await expect(entry).to_contain_text("suspended")
        await entry.click()
        await expect(page.locator("#tenant .state").first).to_have_text("suspended")
        await expect(page.get_by_role("button", name="Resume…")).to_be_visible()
        await expect(page.get_by_role("button", name="Change…")).to_be_hidden()
        await expect_fit(page, width)
        await page.get_by_role("button", name="Take away…").click()
        await page.get_by_role("button", name="Show the plan").click()
        await expect(page.get_by_text("Type the name as it is")).to_be_visible()
        await expect_fit(page, width)


async def expect_fit(page: Page, width: int) -> None:
    """Nothing is cut off at the side, and nobody is kept out."""
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    for dialog in await page.locator("dialog[open]").all():
        assert await dialog.evaluate("element => element.scrollWidth <= element.clientWidth")
    await expect_no_barrier(page)
