"""Which proxy of the environment is between the client and the gateway."""

from ipaddress import ip_address
from urllib.request import getproxies, proxy_bypass

import httpx


def find_proxy(url: httpx.URL) -> str | None:
    """For https alone: through a tunnel the proxy cannot read the key. None for this machine, and for `no_proxy`."""
    if url.scheme != "https" or _is_loopback(url.host) or proxy_bypass(url.host):
        return None
    proxies = getproxies()
    proxy = proxies.get("https") or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy or None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.rpartition(".")[2] == "localhost"
