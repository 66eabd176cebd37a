"""Behind a proxy that strips a prefix: every link of the gateway leads back through the proxy."""

from pathlib import Path
from urllib.parse import urljoin

import httpx

from tests.support.gateways import KEY, Gateway, running_gateway
from tests.support.peers.nginx import reverse_proxy
from tests.support.servers import LIMIT_SECONDS, nats_server

KEYED = {"X-Admin-Key": KEY}
JSON = {"Content-Type": "application/json"}
FORWARDED = {"X-Forwarded-Prefix": "/other/"}


async def submit(gateway: Gateway, headers: dict[str, str] | None = None, path: str = "/bootstrap/users") -> list[str]:
    """The links of the answer: header and body."""
    answer = await gateway.api.post(path, json={"username": "alice"}, headers=headers)
    assert answer.status_code == 202, answer.text
    return [answer.headers["location"], answer.json()["status_url"]]


async def test_links_begin_with_the_root_path(tmp_path: Path) -> None:
    """Of jobs, lists, problems and documents; a path that nobody stripped is taken too."""
    async with (
        nats_server(tmp_path, lease_seconds=60) as server,
        running_gateway(server.url, tmp_path, ROOT_PATH="/everest/") as gateway,
    ):
        for path in ("/bootstrap/users", "/everest/bootstrap/users"):
            location, status_url = await submit(gateway, path=path)
            assert location == status_url
            assert location.startswith("/everest/jobs/")
        for job_id in {location.rpartition("/")[2] for location in await submit(gateway)}:
            for _ in range(2):  # read, then from the cache
                job = (await gateway.api.get(f"/jobs/{job_id}")).json()
                assert job["result_url"] == f"/everest/jobs/{job_id}/result"
            result = (await gateway.api.get(f"/jobs/{job_id}/result")).json()
            assert (result["code"], result["status_url"]) == ("job_not_finished", f"/everest/jobs/{job_id}")
            cancelled = await gateway.api.post(f"/jobs/{job_id}/cancel")
            assert cancelled.headers["location"] == cancelled.json()["status_url"] == f"/everest/jobs/{job_id}"
        listed = await gateway.api.get("/jobs", params={"limit": 1})
        assert listed.headers["link"].startswith("</everest/jobs?")
        assert listed.json()["jobs"][0]["status_url"].startswith("/everest/jobs/")
        for path, client in (("/nowhere", gateway.api), ("/jobs", gateway.nobody)):
            assert (await client.get(path)).json()["type"].startswith("/everest/docs/errors#")
        assert (await gateway.api.get("/openapi.json")).json()["servers"] == [{"url": "/everest"}]


async def test_a_forwarded_prefix_counts_from_a_trusted_proxy(tmp_path: Path) -> None:
    """And only when it is a path: a caller's own header is nothing."""
    async with nats_server(tmp_path, lease_seconds=60) as server:
        async with running_gateway(server.url, tmp_path, TRUSTED_PROXIES="10.0.0.0/8, 127.0.0.1") as gateway:
            assert (await submit(gateway, FORWARDED))[0].startswith("/other/jobs/")
            assert (await submit(gateway))[0].startswith("/jobs/")
            for prefix in ("//evil.example", "evil", "/a b", "/x/../y?", "/" + "x" * 100):
                assert (await submit(gateway, {"X-Forwarded-Prefix": prefix}))[0].startswith("/jobs/")
        async with running_gateway(server.url, tmp_path, TRUSTED_PROXIES="10.0.0.0/8") as gateway:
            assert (await submit(gateway, FORWARDED))[0].startswith("/jobs/")


async def test_every_link_leads_through_a_real_proxy(tmp_path: Path) -> None:
    """Submit, follow the links, and find every file of the pages."""
    async with (
        nats_server(tmp_path, lease_seconds=60) as server,
        running_gateway(server.url, tmp_path, ROOT_PATH="/everest") as gateway,
        reverse_proxy(tmp_path / "nginx", gateway.port) as address,
        httpx.AsyncClient(headers=KEYED, timeout=LIMIT_SECONDS) as client,
    ):
        accepted = await client.post(urljoin(address, "bootstrap/users"), json={"username": "alice"})
        job = await client.get(urljoin(address, accepted.headers["location"]))
        assert (job.status_code, job.json()["status"]) == (200, "queued")
        problem = await client.get(urljoin(address, job.json()["result_url"]))
        assert problem.status_code == 409
        large = await client.post(urljoin(address, "bootstrap/users/bulk"), content=b" " * 2_000_000, headers=JSON)
        assert (large.status_code, large.json()["code"]) == (400, "not_json")
        errors = await client.get(urljoin(address, problem.json()["type"]))
        assert (errors.status_code, "job_not_finished" in errors.text) == (200, True)
        for page, files in {
            "": ("pages/page.css", "pages/main.js", "docs", "docs/errors"),
            "docs": ("docs/assets/swagger-ui.css", "docs/assets/swagger-ui-bundle.js", "docs/start.js", "openapi.json"),
        }.items():
            html = (await client.get(urljoin(address, page))).text
            for file in files:
                assert f'"{file}"' in html
                assert (await client.get(urljoin(urljoin(address, page), file))).status_code == 200
