"""A proxy of the environment is asked where it can read no key, and never for this machine."""

import httpx
import pytest

from gateway.client.proxy import find_proxy

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://gateway.example", PROXY),
        ("https://inside.example/everest", None),
        ("http://gateway.example", None),
        ("https://localhost:8443", None),
        ("https://127.0.0.2", None),
        ("https://[::1]:8443", None),
    ],
)
def test_which_proxy(monkeypatch: pytest.MonkeyPatch, url: str, found: str | None) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://another.example")
    monkeypatch.setenv("https_proxy", PROXY.removeprefix("http://"))
    monkeypatch.setenv("no_proxy", "inside.example")
    assert find_proxy(httpx.URL(url)) == found
