"""Twisted paths, by every method: nobody comes in beside the key, out of the folder, or at the server's end."""

import asyncio
import itertools

import pytest

from tests.support.gateways import KEY, Gateway
from tests.support.servers import LIMIT_SECONDS, LOOPBACK

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE = 20
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get")
PATHS = (
    # Around the key: as if it were one of the few routes that need none.
    *("/healthz/../jobs", "/healthz/%2e%2e/jobs", "/healthz/..%2fjobs", "/healthz;/jobs", "/healthz%3f/../jobs"),
    *("/healthz%00/jobs", "/jobs/healthz", "/jobs#/healthz", "/jobs%23/healthz", "/readyz/../accounts/list"),
    *("//jobs", "///jobs", "/./jobs", "/jobs/", "/jobs//", "/jobs/.", "/Jobs", "/JOBS", "/jobs%2f", "/%6a%6f%62%73/"),
    *("//healthz/jobs", "/docs/../jobs", "/pages/../jobs", "/openapi.json/../jobs", "/metrics/../tenants/alice"),
    *("http://gateway/jobs/", "http://evil.example//healthz/../jobs", "//evil.example/jobs", "\\jobs", "/\\jobs"),
    # Out of the folder of pages.
    *("/pages/../keys.py", "/pages/..%2fkeys.py", "/pages/%2e%2e%2fkeys.py", "/pages/....//keys.py"),
    *("/pages/..\\keys.py", "/pages/%5c..%5ckeys.py", "/pages//etc/passwd", "/pages/%2fetc%2fpasswd"),
    *("/swagger_ui/../../keys.py", "/docs/%2e%2e/%2e%2e/etc/passwd", "/pages/index.html%00.js"),
    # What a reader of paths may stumble over.
    *("*", "jobs", "/jobs/%", "/jobs/%zz", "/jobs/%ff%fe", "/jobs/\x80\xff", "/jobs/x%0d%0aX-Injected:%20yes"),
    *("/jobs/" + "x" * 5_000, "/jobs/" + "../" * 500 + "etc/passwd", "/tenants/..", "/tenants/%2e%2e%2faccounts"),
)
REFUSALS = (400, 401, 404, 405, 422)
OWN = "/jobs#/healthz"  # a fragment is the client's own: this is /jobs, for whoever has a key


async def ask(gateway: Gateway, method: str, path: str, key: str) -> tuple[int, bytes]:
    """The raw line, as no client would send it."""
    reader, writer = await asyncio.open_connection(LOOPBACK, gateway.port)
    head = f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nContent-Length: 0\r\n"
    writer.write((head + (f"X-Admin-Key: {key}\r\n" if key else "") + "\r\n").encode("latin-1"))
    async with asyncio.timeout(LIMIT_SECONDS):
        answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1]) if answer else 0, answer


@pytest.mark.slow
@pytest.mark.parametrize("key", ["", KEY], ids=["no key", "a key"])
async def test_a_twisted_path_leads_nowhere(gateway: Gateway, key: str) -> None:
    """A stranger hears of nothing but the key, a key-holder of nothing at all; the server's fault it never is."""
    turns = asyncio.Semaphore(AT_ONCE)
    odd: list[str] = []

    async def try_one(method: str, path: str) -> None:
        async with turns:
            status, answer = await ask(gateway, method, path, key)
        is_refused = status in REFUSALS or (key and path == OWN)
        if not is_refused or b"X-Injected" in answer or b"root:" in answer or b"import" in answer:
            odd.append(f"{method} {path[:60]!r}: {answer[:200]!r}")

    await asyncio.gather(*(try_one(method, path) for method, path in itertools.product(METHODS, PATHS)))
    assert odd == [], "\n".join(odd)
    assert (await gateway.nobody.get("/healthz")).status_code == 200
