"""Liveness and readiness over HTTP, for those who ask no other way."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from maestro_gateway.transport.grpc_server import CannotListenError

READ_SECONDS = 5.0
REQUEST_BYTES = 8192


class Probes:
    """GET /livez says that the process answers; GET /readyz that it takes calls. It reads one line of one request."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready

    @asynccontextmanager
    async def listen(self, address: str) -> AsyncGenerator[str]:
        """Answer on `host:port` while the context is open; its value is the address, with the real port."""
        host, _, port = address.rpartition(":")
        try:
            server = await asyncio.start_server(self._answer, host.strip("[]"), int(port), limit=REQUEST_BYTES)
        except OSError as error:
            raise CannotListenError(
                f"cannot listen on {address} ({error.strerror}): choose another with listen.probes"
            ) from error
        async with server:
            name = server.sockets[0].getsockname()
            yield f"{name[0]}:{name[1]}"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._response(head.split(b"\r\n", 1)[0].decode("latin-1")))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever probes has gone, or speaks no HTTP
        finally:
            writer.close()

    def _response(self, line: str) -> bytes:
        method, _, rest = line.partition(" ")
        path = rest.split(" ")[0].split("?")[0]
        if method not in {"GET", "HEAD"}:
            status, text = "405 Method Not Allowed", "GET /livez or /readyz"
        elif path == "/livez":
            status, text = "200 OK", "alive"
        elif path == "/readyz":
            status, text = ("200 OK", "ready") if self._ready() else ("503 Service Unavailable", "leaving")
        else:
            status, text = "404 Not Found", "GET /livez or /readyz"
        body = "" if method == "HEAD" else f"{text}\n"
        return (
            f"HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {len(text) + 1}\r\n"
            f"connection: close\r\n\r\n{body}"
        ).encode()
