"""Which requests go through a proxy: as the settings say, else as the system does."""

import urllib.request
from collections.abc import Callable, Mapping

import httpx2

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Transport = httpx2.AsyncBaseTransport


class Proxies(httpx2.AsyncBaseTransport):
    """Sends each request straight, or through the proxy of its scheme. Loopback is never behind one."""

    def __init__(self, direct: Transport, proxies: Mapping[str, str], make: Callable[[str], Transport]) -> None:
        self._direct = direct
        self._through = {scheme: make(proxy) for scheme, proxy in proxies.items() if scheme in ("http", "https", "all")}
        self._straight: dict[str, bool] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request."""
        return await self._for(request.url).handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection, straight or not."""
        for transport in (self._direct, *self._through.values()):
            await transport.aclose()

    def _for(self, url: httpx2.URL) -> Transport:
        host = url.host
        if host not in self._straight:
            self._straight[host] = host in LOOPBACK or bool(urllib.request.proxy_bypass(host))
        if self._straight[host]:
            return self._direct
        return self._through.get(url.scheme) or self._through.get("all") or self._direct


def of_system() -> dict[str, str]:
    """The system's proxies by scheme; none is the usual."""
    return {scheme: proxy for scheme, proxy in urllib.request.getproxies().items() if scheme != "no"}
