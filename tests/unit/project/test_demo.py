"""The demo by itself: its key, where it asks, and that no proxy hears of it."""

import asyncio
import json
import urllib.request
from pathlib import Path

import pytest

from tests.demo import Place, _fetch


async def test_the_gateway_is_asked_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps({"who": "gateway"}).encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
        request = urllib.request.Request(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/healthz")
        assert await asyncio.to_thread(_fetch, request) == {"who": "gateway"}


@pytest.mark.parametrize("found", [None, "", "\n"], ids=["none", "empty", "a line without a key"])
def test_a_key_is_made_where_none_is_kept(tmp_path: Path, found: str | None) -> None:
    file = tmp_path / "admin.key"
    if found is not None:
        file.write_text(found)
    place = Place.of({}, tmp_path)
    assert len(place.key) >= 32
    assert file.stat().st_mode & 0o077 == 0
    assert Place.of({}, tmp_path).key == place.key


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://127.0.0.1:8080"),
        ("192.0.2.7", "http://192.0.2.7:8080"),
        ("::1", "http://[::1]:8080"),
        ("my-machine", "http://my-machine:8080"),
    ],
)
def test_the_gateway_is_asked_where_it_listens(tmp_path: Path, host: str, url: str) -> None:
    assert Place.of({"HOST": host}, tmp_path).url == url
