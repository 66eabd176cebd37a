"""Behind a proxy that strips a prefix from the path: what all links of the gateway begin with."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.headers import find_header

Network = IPv4Network | IPv6Network
_PREFIX = re.compile(rb"(/[A-Za-z0-9._~-]{1,64}){1,8}/?")


class Prefix:
    """Pure ASGI. `root_path` is that of every request, where no trusted proxy names another in X-Forwarded-Prefix.

    A path that still has the prefix is taken as if it had been stripped.
    """

    def __init__(self, app: ASGIApp, root_path: str, proxies: Iterable[Network]) -> None:
        self._app = app
        self._root_path = root_path
        self._proxies = tuple(proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (prefix := self._find(scope)):
            scope["state"]["prefix"] = prefix
            path = scope["path"]
            if path == prefix or path.startswith(f"{prefix}/"):
                scope["path"] = path[len(prefix) :] or "/"
        await self._app(scope, receive, send)

    def _find(self, scope: Scope) -> str:
        if self._proxies and self._is_trusted(scope):
            given = find_header(scope, b"x-forwarded-prefix")
            if given and _PREFIX.fullmatch(given):
                return given.decode().rstrip("/")
        return self._root_path

    def _is_trusted(self, scope: Scope) -> bool:
        try:
            peer = ip_address(scope["client"][0])
        except (TypeError, ValueError):
            return False
        return any(peer in network for network in self._proxies)


def prefix_of(scope: Scope) -> str:
    """Empty where there is none."""
    prefix: str = scope["state"].get("prefix", "")
    return prefix
