"""Connections kept and lent: the transport under the SDKs' HTTP client."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import httpx2

from maestro_adapters.wire.connection import Connection

IDLE = 15.0  # seconds that an idle connection is kept; less than servers do, or it might be closed under a request
BODY_EXTENSION = "maestro.body"

Origin = tuple[str, str, int]


class Body(httpx2.AsyncByteStream):
    """The body of an answer; `read` gives all that has arrived, below the layers of the HTTP client."""

    def __init__(self, transport: "Transport", origin: Origin, connection: Connection, patience: float) -> None:
        self._transport = transport
        self._origin = origin
        self._connection: Connection | None = connection
        self._patience = patience

    def read(self) -> Awaitable[bytes]:
        """All that has arrived; nothing at the end."""
        return _nothing() if self._connection is None else self._connection.read(self._patience)

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        while data := await self.read():
            yield data

    async def aclose(self) -> None:
        """Give the connection back if the answer was read to its end; else close it, and wait until it is closed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._transport.give_back(self._origin, connection)


class Transport(httpx2.AsyncBaseTransport):
    """HTTP/1.1 over TCP or TLS. A connection serves one request at a time and is kept for the next.

    It exists for what it does not do: one HTTP chunk at a time through four layers is dear for streams of small events.
    Redirects, cookies and proxies are the client's above it, or not had.
    """

    def __init__(self, *, connections: int, tls: ssl.SSLContext | None = None) -> None:
        self._free = asyncio.Semaphore(connections)
        self._tls = tls
        self._idle: dict[Origin, list[tuple[float, Connection]]] = {}
        self._lent: set[Connection] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; the answer's head is read, its body is not."""
        limits = request.extensions.get("timeout", {})
        message = await _written(request)
        origin = (
            request.url.scheme,
            request.url.host,
            request.url.port or (443 if request.url.scheme == "https" else 80),
        )
        connection = await self._take(origin, limits)
        patience = limits.get("read") or 0.0
        try:
            connection.send(message)
            status, phrase, headers = await connection.head(patience)
        except BaseException:
            await self.give_back(origin, connection)
            raise
        body = Body(self, origin, connection, patience)
        extensions = {"http_version": b"HTTP/1.1", "reason_phrase": phrase, BODY_EXTENSION: body}
        return httpx2.Response(status, headers=headers, stream=body, extensions=extensions)

    async def give_back(self, origin: Origin, connection: Connection) -> None:
        """The request is over, well or not."""
        self._lent.discard(connection)
        self._free.release()
        if connection.release():
            self._idle.setdefault(origin, []).append((asyncio.get_running_loop().time(), connection))
        else:
            await connection.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        kept = [connection for idle in self._idle.values() for _, connection in idle]
        self._idle.clear()
        for connection in [*kept, *self._lent]:
            await connection.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def _take(self, origin: Origin, limits: dict[str, float | None]) -> Connection:
        async with _within(limits.get("pool"), httpx2.PoolTimeout("every connection to the provider is in use")):
            await self._free.acquire()
        try:
            connection = self._reuse(origin)
            if connection is None:
                connection = await self._connect(origin, limits.get("connect"))
        except BaseException:
            self._free.release()
            raise
        self._lent.add(connection)
        return connection

    def _reuse(self, origin: Origin) -> Connection | None:
        """The connection that was used last; those that have been idle for too long are closed."""
        idle = self._idle.get(origin, [])
        now = asyncio.get_running_loop().time()
        while idle and now - idle[0][0] > IDLE:
            idle.pop(0)[1].abort()
        while idle:
            connection = idle.pop()[1]
            if connection.reusable:
                return connection
        return None

    async def _connect(self, origin: Origin, patience: float | None) -> Connection:
        scheme, host, port = origin
        if scheme not in ("http", "https"):
            raise httpx2.UnsupportedProtocol(f"no HTTP: {scheme!r}")
        if scheme == "https" and self._tls is None:
            self._tls = httpx2.create_ssl_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        tls, name = (self._tls, host) if scheme == "https" else (None, None)
        loop = asyncio.get_running_loop()
        try:
            async with _within(patience, httpx2.ConnectTimeout("the provider does not take the connection")):
                _, connection = await loop.create_connection(Connection, host, port, ssl=tls, server_hostname=name)
        except httpx2.ConnectTimeout:
            raise
        except OSError as error:  # refused, unreachable, no such name, TLS
            raise httpx2.ConnectError(f"no connection: {error.strerror or type(error).__name__}") from error
        return connection


async def _nothing() -> bytes:
    return b""


@asynccontextmanager
async def _within(seconds: float | None, too_late: Exception) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise too_late from None


async def _written(request: httpx2.Request) -> bytes:
    lines = [f"{request.method} ".encode() + request.url.raw_path + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in request.headers.raw]
    head = b"\r\n".join(lines)
    if head.count(b"\r") != len(lines) - 1 or head.count(b"\n") != len(lines) - 1:
        raise httpx2.LocalProtocolError("a line end within a header")
    return head + b"\r\n\r\n" + await request.aread()
