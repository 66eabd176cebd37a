"""The page at / in a real browser, with a real gateway, NATS and handler, and a simulated Everest."""

import os
import signal
import uuid
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="make test-browser installs it")

from playwright.async_api import Browser, expect

from tests.browser.browsers import LIMIT_MILLISECONDS, expect_no_barrier, press_until, visit
from tests.support.gateways import KEY, manual_handler, running_gateway
from tests.support.handlers import Service, open_service
from tests.support.peers.nginx import reverse_proxy

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
expect.set_options(timeout=LIMIT_MILLISECONDS)

FORBIDDEN = {
    "only": "namespaces add",
    "fail": {"stderr": "namespaces is forbidden: User may not\n", "exit_code": 1},
}


def new_name() -> str:
    return f"t{uuid.uuid4().hex[:8]}"


async def test_the_key_opens_the_page(browser: Browser, url: str) -> None:
    """A wrong one is refused with a reason. The right one stays in this tab only, and goes when it is told to."""
    async with visit(browser, url) as visiting:
        page = visiting.page
        await expect(page.get_by_label("Admin key")).to_be_focused()
        await visiting.enter("wrong")
        await expect(page.get_by_role("alert").get_by_text("This key is not accepted.")).to_be_visible()
        await expect(page.get_by_label("Admin key")).to_be_focused()
        await visiting.enter()
        await expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_focused()
        kept = await page.evaluate("[JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie]")
        assert [KEY in store for store in kept] == [True, False, False]
        await page.reload()
        await expect(page.get_by_role("button", name="New tenant")).to_be_visible()
        await page.get_by_role("button", name="Forget the key").click()
        await expect(page.get_by_label("Admin key")).to_be_focused()
        assert KEY not in await page.evaluate("JSON.stringify(sessionStorage)")


async def test_a_tenant_by_keyboard_alone(browser: Browser, url: str) -> None:
    """Rules that are broken are told at their field; then its plan is shown, and the job is followed to its end."""
    username = new_name()
    async with visit(browser, url) as visiting:
        page = visiting.page
        await page.keyboard.type(KEY)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_focused()
        await press_until(page, "Tab", "New tenant")
        await page.keyboard.press("Enter")
        form = page.get_by_role("dialog", name="New tenant")
        field = form.get_by_label("Username")
        await expect(field).to_be_focused()
        await page.keyboard.type("A b")
        await page.keyboard.press("Enter")
        await expect(field).to_have_attribute("aria-invalid", "true")
        await expect(field).to_have_accessible_description(
            "3 to 63 letters, digits, underscores Must be 3 to 63 letters, digits or underscores"
        )
        await expect(field).to_be_focused()
        await page.keyboard.press("Control+A")
        await page.keyboard.type(username)
        await press_until(page, "Tab", "PostgreSQL")
        await page.keyboard.press("Space")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name=f"Onboard {username}?")).to_be_focused()
        await expect(page.get_by_role("button", name="Submit", exact=True)).to_be_visible()
        await press_until(page, "Tab", "Submit")
        await page.keyboard.press("Enter")
        await expect(form).to_be_hidden()
        await expect(page.get_by_role("heading", name=f"{username} in namespace {username}")).to_be_focused()
        steps = page.get_by_role("list", name="Steps")
        await expect(steps.locator(".state")).to_have_text(["created", "created", "applied", "applied", "unverified"])
        await expect(page.locator(".summary")).to_have_text(
            f"User {username} and namespace {username} created; quota applied; role bound."
        )
        await expect(page.get_by_text("kubectl get secret bootstrap-")).to_be_visible()
        await expect(page.get_by_text("Everest is simulated")).to_be_visible()
        assert (await visiting.said()).startswith(f"{username}: succeeded")


async def test_a_team_on_single_sign_on(browser: Browser, service: Service, url: str) -> None:
    """Role and members from the form; the same form again holds what was asked for."""
    username = new_name()
    async with visit(browser, url) as visiting:
        page = visiting.page
        await visiting.enter()
        await page.get_by_role("button", name="New tenant").click()
        form = page.get_by_role("dialog", name="New tenant")
        await form.get_by_label("Username").fill(username)
        await form.get_by_label("Role").fill("Owner!")
        await form.get_by_label("They log in by single sign-on").check()
        await form.get_by_role("button", name="Show the plan").click()
        await expect(form.get_by_label("Role")).to_have_attribute("aria-invalid", "true")
        await expect(form.get_by_label("Members")).to_have_attribute("aria-invalid", "true")
        await form.get_by_label("Role").fill("owner")
        await form.get_by_label("Members").fill(" DB Admins \n\n/Keycloak/dba\n")
        await form.get_by_role("button", name="Show the plan").click()
        await page.get_by_role("button", name="Submit", exact=True).click()
        await expect(form).to_be_hidden()
        states = page.get_by_role("list", name="Steps").locator(".state")
        await expect(states).to_have_text(["skipped", "created", "applied", "applied", "unverified"])
        job = (await service.gateway.api.get("/jobs", params={"username": username})).json()["jobs"][0]
        asked = (await service.gateway.api.get(f"/jobs/{job['job_id']}/result")).json()["inputs"]
        assert (asked["account"], asked["role"], asked["subjects"]) == (False, "owner", ["DB Admins", "/Keycloak/dba"])


async def test_steps_are_shown_as_they_happen(browser: Browser, service: Service, url: str) -> None:
    """A running step, its neighbour that ended, and the list beside it; nobody presses anything."""
    username = new_name()
    await service.everest.set_faults(job_hangs=True)
    async with visit(browser, url) as visiting:
        page = visiting.page
        await visiting.enter()
        await service.gateway.submit(username=username, operators={"mongodb": True})
        entry = page.get_by_role("list", name="Jobs").get_by_role("button", name=username)
        await entry.click()
        states = page.get_by_role("list", name="Steps").locator(".state")
        await expect(states).to_have_text(["created", "running", *["to come"] * 3])
        await expect(entry).to_contain_text("running")
        await expect(entry).to_have_attribute("aria-current", "true")
        awaited = page.get_by_role("list", name="Waiting for").get_by_role("listitem")
        await expect(awaited).to_have_text(
            ["installer everest-operators-installer: running", "operator mongodb: subscribed"]
        )
        await expect_no_barrier(page)
        await service.everest.set_faults()
        await expect(entry).to_contain_text("succeeded")
        await expect(awaited).to_have_count(0)


async def test_a_failure_says_what_to_do(browser: Browser, service: Service, url: str) -> None:
    """Its code leads to the documentation; what succeeded is skipped by the retry, and the run before stays told."""
    username = new_name()
    await service.everest.set_faults(**FORBIDDEN)
    job_id = await service.gateway.submit(username=username, operators={"mongodb": True})
    await service.wait_until_finished(job_id)
    await service.everest.set_faults()
    async with visit(browser, url) as visiting:
        page = visiting.page
        await visiting.enter()
        await page.goto(f"{url}/#/jobs/{job_id}")
        note = page.locator(".note.failure").first
        await expect(note.get_by_role("link", name="forbidden")).to_have_attribute("href", "docs/errors#forbidden")
        await expect(note).to_contain_text("What to do:")
        await page.get_by_text("Commands and output").last.click()
        await expect(page.get_by_text("namespaces is forbidden").first).to_be_visible()
        await page.get_by_role("button", name="Retry from the failed step").click()
        await expect(page.locator("#job .state").first).to_have_text("succeeded")
        await expect(page.get_by_role("heading", name="Runs before")).to_be_visible()


async def test_a_cancel_asks_first(browser: Browser, service: Service, url: str) -> None:
    username = new_name()
    async with visit(browser, url) as visiting:
        page = visiting.page
        await visiting.enter()
        await expect(page.get_by_role("button", name="New tenant")).to_be_visible()
        await service.everest.set_faults(only="accounts create", slow_seconds=15)
        job_id = await service.gateway.submit(username=username)
        await page.goto(f"{url}/#/jobs/{job_id}")
        await expect(page.get_by_role("list", name="Steps").locator(".state")).to_have_text(
            ["running", *["to come"] * 4]
        )
        await page.get_by_role("button", name="Cancel").click()
        sure = page.get_by_role("dialog", name=f"Cancel the job of {username}?")
        await expect(sure).to_contain_text("next safe point")
        await page.keyboard.press("Escape")
        await expect(sure).to_be_hidden()
        await page.get_by_role("button", name="Cancel").click()
        await sure.get_by_role("button", name="Cancel the job").click()
        await expect(page.locator("#job .state").first).to_have_text("cancelled")
    await service.everest.set_faults()


async def test_the_cluster_is_compared(browser: Browser, service: Service, url: str) -> None:
    """What was changed by hand is named, with what mends it."""
    username = new_name()
    result = await service.run_job(username=username)
    await service.everest.run("kubectl", "delete", "resourcequota", "user-quota", "-n", username)
    async with visit(browser, url) as visiting:
        page = visiting.page
        await visiting.enter()
        await page.goto(f"{url}/#/jobs/{result['job_id']}")
        await page.get_by_role("button", name="Look at the cluster").click()
        await expect(page.get_by_role("heading", name="In the cluster")).to_be_focused()
        difference = page.locator("#job").get_by_role("listitem").filter(has_text="There is no ResourceQuota")
        await expect(difference).to_contain_text("Repair the tenant, or submit the same request again.")


async def test_a_batch_and_what_failed_of_it(browser: Browser, service: Service, url: str) -> None:
    """A job leads to its batch, which leads to what failed; a retry of all that asks first."""
    one, other = new_name(), new_name()
    requests = [{"username": one}, {"username": other, "namespace": one}]
    await service.run_job(username=one)
    accepted = await service.gateway.api.post("/bootstrap/users/bulk", json={"requests": requests})
    job_ids = [job["job_id"] for job in accepted.json()["jobs"]]
    for job_id in job_ids:
        await service.wait_until_finished(job_id)
    async with visit(browser, url, viewport={"width": 375, "height": 740}, bypass_csp=True) as visiting:
        page = visiting.page
        await visiting.enter()
        await page.goto(f"{url}/#/jobs/{job_ids[0]}")
        await page.locator("#job .facts").get_by_role("link").click()
        await expect(page.get_by_role("heading", name="Batch")).to_be_focused()
        await expect(page.locator(".counts dd")).to_have_text(["0", "0", "1", "1"])
        failed = page.get_by_role("list", name="Failed").get_by_role("listitem")
        await expect(failed).to_contain_text([f"{other} in namespace {one}"])
        await expect_no_barrier(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 375
        await page.get_by_role("button", name="Retry what failed…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Retry the jobs").click()
        await failed.get_by_role("link", name=other).click()
        await expect(page.get_by_role("heading", name="Runs before")).to_be_visible()


async def test_filters_and_addresses(browser: Browser, service: Service, url: str) -> None:
    """Jobs are found by what they are about; a job's address can be sent to somebody, and gone back from."""
    one, other = new_name(), new_name()
    for username in (one, other):
        await service.run_job(username=username)
    async with visit(browser, url) as visiting:
        page = visiting.page
        await visiting.enter()
        jobs = page.get_by_role("list", name="Jobs")
        await page.get_by_role("search").get_by_label("Username").fill(one)
        await expect(jobs.get_by_role("listitem")).to_have_count(1)
        await page.get_by_role("search").get_by_label("Status").select_option("failed")
        await expect(page.get_by_text("No job is like that.")).to_be_visible()
        await page.get_by_role("button", name="Clear").click()
        await jobs.get_by_role("button", name=one).click()
        await jobs.get_by_role("button", name=other).click()
        await expect(page.get_by_role("heading", name=f"{other} in")).to_be_visible()
        await page.go_back()
        await expect(page.get_by_role("heading", name=f"{one} in")).to_be_visible()
        await page.get_by_role("button", name="Submit again").click()
        await expect(page.get_by_role("dialog").get_by_label("Username")).to_have_value(one)


async def test_an_outage_is_told_and_outlived(browser: Browser, service: Service, url: str) -> None:
    async with visit(browser, url) as visiting:
        page = visiting.page
        await visiting.enter()
        await expect(page.get_by_role("button", name="New tenant")).to_be_visible()
        service.server.send_signal(signal.SIGSTOP)
        try:
            await expect(page.get_by_role("alert").get_by_text("NATS does not answer").first).to_be_visible()
        finally:
            service.server.send_signal(signal.SIGCONT)
        await expect(page.locator("#trouble")).to_be_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_it_can_be_read_by_all(browser: Browser, service: Service, url: str, theme: str) -> None:
    """axe-core finds nothing: contrast, labels, landmarks, roles; before the key, with jobs, with the form."""
    await service.run_job(username=new_name())
    # The policy would keep axe-core out, as it does everybody else's script.
    async with visit(browser, url, color_scheme=theme, bypass_csp=True) as visiting:
        page = visiting.page
        await expect_no_barrier(page)
        await visiting.enter()
        await page.get_by_role("list", name="Jobs").get_by_role("button").first.click()
        await page.get_by_text("Commands and output").first.click()
        await expect_no_barrier(page)
        await page.get_by_role("button", name="New tenant").click()
        await page.get_by_role("button", name="Show the plan").click()
        await expect(page.get_by_role("dialog").get_by_label("Username")).to_have_attribute("aria-invalid", "true")
        await expect_no_barrier(page)


@pytest.mark.parametrize("width", [375, 768, 1440])
async def test_the_longest_name_fits(browser: Browser, service: Service, url: str, width: int) -> None:
    """An address leads to its job, which is in view; nothing is cut off at the side, and a state stays a word."""
    name = f"{new_name():a<63}"
    job = await service.run_job(username=name, namespace=new_name())
    async with visit(browser, url, viewport={"width": width, "height": 740}) as visiting:
        page = visiting.page
        await page.goto(f"{url}/#/jobs/{job['job_id']}")
        await page.reload()
        await visiting.enter()
        await expect(page.locator("#job .steps").first).to_be_visible()
        await expect(page.locator("#job h2")).to_be_in_viewport()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        state = await page.locator("#job .state").first.bounding_box()
        assert state is not None
        assert state["width"] > 2 * state["height"]


async def test_the_list_alone_says_that_everest_is_simulated(browser: Browser, service: Service, url: str) -> None:
    await service.run_job(username=new_name())
    async with visit(browser, url) as visiting:
        await visiting.enter()
        await expect(visiting.page.get_by_text("Everest is simulated", exact=True)).to_be_visible()


async def test_a_job_without_a_readable_request_has_its_id_in_the_list(
    browser: Browser, service: Service, url: str
) -> None:
    job_id = f"unreadable-{new_name()}"
    async with manual_handler(service.server) as manual:
        await manual.jetstream.publish(f"everest.v1.jobs.bootstrap.{job_id}", b"no JSON")
    await service.wait_until_finished(job_id)
    async with visit(browser, url) as visiting:
        await visiting.enter()
        await expect(visiting.page.get_by_role("list", name="Jobs")).to_contain_text(job_id)


async def test_a_screenshot(browser: Browser, tmp_path: Path) -> None:
    """Of a failed job among others. SCREENSHOT=path keeps it; the README shows it."""
    refused = (
        'secrets is forbidden: User "system:serviceaccount:everest-bootstrap:handler" cannot create resource "secrets" '
        'in API group "" in the namespace "erin"'
    )
    async with open_service(tmp_path, lease_seconds=30) as service, service.handler():
        await service.run_job(username="alice", operators={"postgresql": True})
        await service.run_job(username="bob", namespace="bob-databases", resources={"cpu_cores": 8, "ram_mb": 16384})
        await service.run_job(username="carol")
        await service.everest.set_faults(only="namespaces add", fail={"stderr": f"{refused}\n", "exit_code": 1})
        failed = await service.run_job(username="erin", operators={"mongodb": True})
        await service.everest.set_faults(only="namespaces add", slow_seconds=30)
        await service.gateway.submit(username="dave", operators={"xtradb_cluster": True})
        url = f"http://127.0.0.1:{service.gateway.port}"
        async with visit(browser, url, viewport={"width": 1280, "height": 800}) as visiting:
            page = visiting.page
            await visiting.enter()
            await page.goto(f"{url}/#/jobs/{failed['job_id']}")
            await expect(page.get_by_role("list", name="Steps").locator(".state")).to_have_text(["created", "failed"])
            await expect(page.get_by_role("list", name="Jobs")).to_contain_text("Running add_namespace")
            picture = await page.screenshot(path=os.environ.get("SCREENSHOT") or None)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000


async def test_the_page_behind_a_proxy(browser: Browser, service: Service, tmp_path: Path) -> None:
    """Below a path that it strips: a job from the form to its end, and the documentation. No request leaves it."""
    username = new_name()
    async with (
        running_gateway(service.server.url, tmp_path, ROOT_PATH="/everest") as gateway,
        reverse_proxy(tmp_path / "nginx", gateway.port) as address,
        visit(browser, address.rstrip("/")) as visiting,
    ):
        page = visiting.page
        await visiting.enter()
        await page.get_by_role("button", name="New tenant").click()
        form = page.get_by_role("dialog", name="New tenant")
        await form.get_by_label("Username").fill(username)
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Submit", exact=True).click()
        await expect(page.get_by_role("heading", name=f"{username} in namespace {username}")).to_be_visible()
        steps = page.get_by_role("list", name="Steps").locator(".state")
        await expect(steps).to_have_text(["created", "created", "applied", "applied", "unverified"])
        await page.goto(f"{address}docs")
        await expect(page.get_by_role("heading", name="Everest bootstrap")).to_be_visible()


async def test_the_documentation_is_drawn(browser: Browser, url: str) -> None:
    """/docs under its policy, without another host: every operation, and the rows where problems lead."""
    async with visit(browser, url) as visiting:
        page = visiting.page
        await page.goto(f"{url}/docs")
        for title in ("Onboard a tenant", "Follow a job, live", "Readiness"):
            await expect(page.get_by_text(title).first).to_be_visible()
        await page.get_by_role("link", name="Error codes").click()
        await expect(page.get_by_role("rowheader", name="validation_failed")).to_be_visible()
