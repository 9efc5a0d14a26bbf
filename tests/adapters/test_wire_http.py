import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import httpx2
import pytest

from maestro_adapters.wire import http
from maestro_adapters.wire.http import HttpOptions
from maestro_adapters.wire.transport import Transport

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"content-length: 0\r\n\r\n"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


class Server:
    """Reads a request, answers by its handler, again and again."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.connections = 0
        self.hung_up = asyncio.Event()
        self.serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if serving := asyncio.current_task():
            self.serving.add(serving)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                await self._handler(reader, writer, request)
                await writer.drain()
                if writer.is_closing():
                    break
        self.hung_up.set()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def serving(handler: Handler, **options: float) -> AsyncGenerator[tuple[Server, httpx2.AsyncClient, str]]:
    server = Server(handler)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening, asyncio.timeout(5):
        try:
            async with http.client(HttpOptions.model_validate(options)) as client:
                yield server, client, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        finally:
            if server.serving:
                await asyncio.wait(server.serving)


def answering(*pieces: bytes, close: bool = False) -> Handler:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if close:
            writer.close()

    return answer


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    "written",
    [
        OK + b"content-length: 11\r\n\r\nhello world",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n00B\r\nhello world\r\n0\r\ntrailer: x\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK + b"content-length: 11\r\n\r\nhello world",
    ],
)
async def test_an_answer_is_read_however_it_was_split_and_its_connection_used_again(written, size):
    pieces = [written[at : at + size] for at in range(0, len(written), size)]
    async with serving(answering(*pieces)) as (server, client, url):
        for _ in range(3):
            assert (await client.get(url)).text == "hello world"
        assert server.connections == 1


async def test_a_body_may_last_until_the_connection_is_closed():
    async with serving(answering(OK + b"\r\nhello", close=True)) as (server, client, url):
        assert (await client.get(url)).text == "hello"
        assert (await client.get(url)).text == "hello"
        assert server.connections == 2


async def test_what_arrived_between_two_reads_is_one_read():
    chunks = b"".join(b"1\r\n%d\r\n" % digit for digit in range(10)) + b"0\r\n\r\n"
    async with (
        serving(answering(OK + b"transfer-encoding: chunked\r\n\r\n" + chunks)) as (_, client, url),
        client.stream("GET", url) as response,
        aclosing(http.reads(response)) as reads,
    ):
        assert [read async for read in reads] == [b"0123456789"]


@pytest.mark.parametrize(
    "written",
    [
        b"SSH-2.0-server\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        OK + b"a header without a colon\r\n\r\n",
        OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"content-length: -5\r\n\r\n",
        OK + b"content-length: +5\r\n\r\nhello",
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nx\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n" + b"1" * 10_000,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        OK + b"x: " + b"y" * 70_000,
    ],
)
async def test_what_is_no_http_is_refused_and_the_connection_closed(written):
    async with serving(answering(written)) as (server, client, url):
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(url)
        await server.hung_up.wait()


@pytest.mark.parametrize(
    "written",
    [b"", OK, OK + b"content-length: 9\r\n\r\nhello", OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"],
)
async def test_an_answer_that_is_cut_is_no_answer(written):
    async with serving(answering(written, close=True)) as (_, client, url):
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(url)


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"x"])
async def test_what_follows_an_answer_unasked_is_nobodys_answer(more):
    async with serving(answering(OK + b"content-length: 5\r\n\r\nhello" + more)) as (server, client, url):
        assert (await client.get(url)).text == "hello"
        assert (await client.get(url)).text == "hello"
        assert server.connections == 2


async def test_a_connection_that_was_closed_while_idle_is_not_used_again():
    async with serving(answering(EMPTY, close=True)) as (server, client, url):
        for _ in (1, 2):
            assert (await client.get(url)).status_code == 200
            await server.hung_up.wait()
            for _ in range(5):
                await asyncio.sleep(0)  # the news of it arrives


async def test_closing_an_answer_before_its_end_closes_its_connection():
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")

    async with serving(endless) as (server, client, url):
        async with client.stream("GET", url) as response, aclosing(http.reads(response)) as reads:
            assert await anext(reads) == b"hello"
        await server.hung_up.wait()


async def test_a_call_that_is_cancelled_while_it_waits_closes_its_connection():
    async with serving(answering()) as (server, client, url):
        call = asyncio.create_task(client.get(url))
        while not server.connections:
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.hung_up.wait()


async def test_silence_is_a_timeout_before_the_headers_and_within_the_body():
    async with serving(answering(), read_timeout=0.02) as (_, client, url):
        with pytest.raises(httpx2.ReadTimeout):
            await client.get(url)
    async with serving(answering(OK + b"content-length: 9\r\n\r\nhello"), read_timeout=0.02) as (_, client, url):
        with pytest.raises(httpx2.ReadTimeout):
            await client.get(url)


async def test_the_limit_of_connections_is_held_and_waiting_for_one_is_a_timeout():
    stalled = answering(OK + b"content-length: 9\r\n\r\nhello")
    async with serving(stalled, connections=1, connect_timeout=0.02) as (server, client, url):
        async with client.stream("GET", url):
            with pytest.raises(httpx2.PoolTimeout):
                await client.get(url)
        assert server.connections == 1
        async with client.stream("GET", url) as response:  # the place is free again
            assert response.status_code == 200


async def test_an_error_of_endless_length_is_cut_off():
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        writer.write(b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()

    async with serving(endless) as (_, client, url):
        response = await client.get(url)
        assert response.status_code == 500
        assert len(response.content) <= 1024 * 1024


async def test_a_reader_that_is_slow_makes_the_provider_wait():
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        nonlocal sent
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()
            sent += 0x10000

    async with serving(endless) as (_, client, url), client.stream("GET", url):
        before = -1
        while sent != before:  # until it has come to a stand
            before = sent
            for _ in range(200):
                await asyncio.sleep(0)
        assert sent < 64 * 1024 * 1024


async def test_a_line_end_within_a_header_is_never_sent():
    async with serving(answering(EMPTY)) as (_, client, url):
        with pytest.raises((httpx2.LocalProtocolError, ValueError)):
            await client.get(url, headers=[(b"a", b"b\r\nc: d")])


async def test_a_redirect_is_not_followed_for_our_key_would_go_there():
    moved = b"HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"
    async with serving(answering(moved)) as (_, client, url):
        assert (await client.get(url)).status_code == 307


async def test_what_is_late_after_the_end_is_not_missed():
    seen: list[bytes] = []
    async with (
        serving(answering(OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")) as (_, client, url),
        client.stream("GET", url) as response,
        aclosing(http.reads(response, patience=lambda: 0.01 if seen else None)) as reads,
    ):
        async for data in reads:
            seen.append(data)
    assert seen == [b"hello"]


async def test_closing_the_client_closes_every_connection():
    async with serving(answering(EMPTY)) as (server, client, url):
        await client.get(url)
        await client.aclose()
        await server.hung_up.wait()


async def test_a_scheme_that_is_not_http_is_refused():
    transport = Transport(connections=1)
    with pytest.raises(httpx2.UnsupportedProtocol):
        await transport.handle_async_request(httpx2.Request("GET", "ftp://127.0.0.1/"))
    await transport.aclose()


async def test_a_proxy_is_asked_for_what_is_not_on_loopback_and_not_excepted(monkeypatch):
    asked: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        asked.append(request.split(b" ")[1])
        writer.write(EMPTY)

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "localhost,::1,10.0.0.0/8,.internal.example,host:80")
    async with serving(proxy) as (server, _, url):
        options = HttpOptions(proxy=url)
        async with http.client(options) as client:
            assert (await client.get("http://provider.example/v1")).status_code == 200
            assert (await client.get(url)).status_code == 200
        assert asked == [b"http://provider.example/v1", b"/"]
        assert server.connections == 2


async def test_the_systems_proxy_is_found_and_its_exceptions_are_kept(monkeypatch):
    asked: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        asked.append(request.split(b" ")[1])
        writer.write(EMPTY)

    async with serving(proxy) as (_, _, url):
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", ".nowhere.invalid")
        async with http.client(HttpOptions(connect_timeout=1)) as client:
            assert (await client.get("http://provider.example/v1")).status_code == 200
            with pytest.raises(httpx2.ConnectError):
                await client.get("http://a.nowhere.invalid/")
        assert asked == [b"http://provider.example/v1"]
