"""The page at /: files of ours, for everybody, under a policy that lets nothing else in.

`make test-browser` uses it.
"""

import re

import pytest

from tests.support.gateways import Gateway
from tests.support.servers import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAGES = ROOT / "gateway" / "pages"
FILES = sorted(str(path.relative_to(PAGES)) for path in PAGES.rglob("*") if path.is_file())
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


@pytest.mark.parametrize("name", FILES)
async def test_the_page_needs_no_key(gateway: Gateway, name: str) -> None:
    """It asks for one itself. A browser is told what each file is, and to ask again whether it is still the same."""
    answer = await gateway.nobody.get("/" if name == "index.html" else f"/pages/{name}")
    assert answer.status_code == 200
    assert answer.content == (PAGES / name).read_bytes()
    assert answer.headers["content-type"].startswith(TYPES[PAGES.joinpath(name).suffix])
    assert answer.headers["cache-control"] == "no-cache"
    again = await gateway.nobody.get(answer.request.url.path, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code in (200, 304)


async def test_the_policy_is_strict(gateway: Gateway) -> None:
    policy = (await gateway.nobody.get("/")).headers["content-security-policy"]
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert (rules["script-src"], rules["style-src"], rules["connect-src"]) == ("'self'", "'self'", "'self'")
    assert "unsafe" not in policy


MARKUP = "<img src=x onerror=alert(1)>"
FIELDS = ("username", "namespace", "role", "subjects", "correlation", "operators", "resources", "take_ownership")


@pytest.mark.parametrize("field", FIELDS)
async def test_markup_stays_text(gateway: Gateway, field: str) -> None:
    """Whatever holds it is JSON and says so; what is refused is not said again."""
    value = [MARKUP] if field == "subjects" else MARKUP
    answer = await gateway.api.post("/bootstrap/users", json={"username": "alice", field: value})
    answers = [answer]
    if answer.status_code == 202:
        answers += [await gateway.api.get(path) for path in (answer.json()["status_url"], "/jobs?limit=1")]
    else:
        assert (answer.status_code, MARKUP in answer.text) == (422, False)
    assert {one.headers["content-type"] for one in answers} <= {"application/json", "application/problem+json"}


async def test_the_page_makes_nothing_of_markup() -> None:
    """What it shows it sets as text."""
    scripts = [PAGES / name for name in FILES if name.endswith(".js")]
    assert len(scripts) > 15
    text = "".join(path.read_text() for path in scripts)
    assert not re.search(r"(inner|outer)HTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function", text)


async def test_nothing_else_is_served(gateway: Gateway) -> None:
    for path in ("/pages/none.js", "/pages/../keys.py", "/pages/%2e%2e/keys.py", "/pages/"):
        assert (await gateway.nobody.get(path)).status_code in (401, 404)


async def test_the_page_asks_no_other_host() -> None:
    """Nor does it hold script or style of its own, which the policy would refuse."""
    text = "".join((PAGES / name).read_text() for name in FILES).replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|[\"'(]//\w", text)
    page = (PAGES / "index.html").read_text()
    assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=", page)
