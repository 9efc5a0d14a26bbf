"""One HTTP/1.1 connection: a request out, an answer in, handed over as it arrives."""

import asyncio
import re

import httpx2

HEAD = 64 * 1024  # bytes of a status line and its headers
ERROR_BODY = 1024 * 1024  # bytes of an error's body; what is beyond is cut off
FULL = 1024 * 1024  # bytes that wait to be read before the peer is made to wait
TRAILER = 8 * 1024

_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: ([^\r\n]*))?\Z")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*\Z")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}[ \t]*\Z")
_SIZES = {
    b"%x" % size: size for size in range(1, 2048)
}  # of nearly every chunk of a stream of events, as servers write

Headers = list[tuple[bytes, bytes]]


class Connection(asyncio.Protocol):
    """Serves one request after another. What arrived between two reads is one read.

    `reusable` is true once an answer was read to its end and both sides keep the connection.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._waiter: asyncio.Future[None] | None = None
        self._since = 0.0
        self._patience = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self.reusable = True
        self._reset()

    def _reset(self) -> None:
        self._head = bytearray()
        self._in_head = True
        self._answer: tuple[int, bytes, Headers] | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._total = 0
        self._whole = False
        self._error: Exception | None = None
        self._left: int | None = None  # bytes to the end of the body, or of the chunk and its line end
        self._chunked = False
        self._rest = b""
        self._last_chunk = False
        self._paused = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's is not asyncio's

    def data_received(self, data: bytes) -> None:
        if not self._busy or self._whole:
            self.abort()  # nobody asked
            return
        try:
            self._take(data)
        except httpx2.RemoteProtocolError as error:
            self._fail(error)
            self.abort()
        if self._size > FULL and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        if self._busy and not self._whole:
            until_close = self._answer is not None and not self._chunked and self._left is None
            if exc is None and until_close:
                self._whole = True
            elif exc is not None:
                self._fail(httpx2.ReadError(f"the connection was lost: {type(exc).__name__}"))
            else:
                self._fail(httpx2.RemoteProtocolError("the connection was closed before the answer was whole"))
        self._wake()
        if not self._closed.done():
            self._closed.set_result(None)

    # What the transport calls.

    def send(self, message: bytes) -> None:
        """Begin a request."""
        assert self._transport is not None
        self._reset()
        self._busy = True
        self._transport.write(message)

    async def head(self, patience: float) -> tuple[int, bytes, Headers]:
        """Status, phrase and headers of the answer."""
        while self._answer is None:
            if self._error is not None:
                raise self._error
            await self._arrival(patience)
        return self._answer

    async def read(self, patience: float) -> bytes:
        """All of the body that has arrived; nothing at its end."""
        while not self._body:
            if self._whole:
                return b""
            if self._error is not None:
                raise self._error
            await self._arrival(patience)
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._size = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def release(self) -> bool:
        """The request is over. True if the connection can serve another."""
        self._stop_timer()
        self._busy = False
        self.reusable = self.reusable and self._whole and not self._body and not self._rest
        if self._closed.done() or self._transport is None or self._transport.is_closing():
            self.reusable = False
        return self.reusable

    def abort(self) -> None:
        """Close at once."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    async def aclose(self) -> None:
        """Close, and return when it is closed."""
        self._stop_timer()
        self.abort()
        await asyncio.shield(self._closed)

    # Waiting: one lazy timer an answer, two assignments a read.

    def _arrival(self, patience: float) -> asyncio.Future[None]:
        self._waiter = self._loop.create_future()
        self._since = self._loop.time()
        self._patience = patience
        if self._timer is None and patience > 0:
            self._timer = self._loop.call_later(patience, self._look)
        return self._waiter

    def _look(self) -> None:
        self._timer = None
        if not self._busy or self._whole or self._error is not None:
            return
        left = self._patience
        if self._waiter is not None and not self._waiter.done():
            left = self._since + self._patience - self._loop.time()
            if left <= 0:
                self._fail(httpx2.ReadTimeout("the provider was silent for too long"))
                self._wake()
                return
        self._timer = self._loop.call_later(left, self._look)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error

    # Reading.

    def _take(self, data: bytes) -> None:
        while self._in_head:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                if len(self._head) > HEAD:
                    raise httpx2.RemoteProtocolError(f"headers of more than {HEAD} bytes")
                return
            head, data = bytes(self._head[:end]), bytes(self._head[end + 4 :])
            self._head.clear()
            self._begin(head)
        if data and not self._whole:
            self._read_body(data)

    def _begin(self, head: bytes) -> None:
        line, *lines = head.split(b"\r\n")
        status = _STATUS.match(line)
        if status is None:
            raise httpx2.RemoteProtocolError("no HTTP/1 status line")
        headers: Headers = []
        for written in lines:
            header = _HEADER.match(written)
            if header is None:
                raise httpx2.RemoteProtocolError("a header that is none")
            headers.append((header[1], header[2]))
        code = int(status[2])
        if 100 <= code < 200:
            if code == 101:
                raise httpx2.RemoteProtocolError("another protocol, which nobody asked for")
            return  # the real one follows
        self._in_head = False
        self._frame(code, headers, http10=status[1] == b"0")
        self._answer = (code, status[3] or b"", headers)

    def _frame(self, code: int, headers: Headers, *, http10: bool) -> None:
        """How long the body is, and whether the connection outlives it."""
        named: dict[bytes, bytes] = {}
        for name, value in headers:
            name = name.lower()
            if name in (b"content-length", b"transfer-encoding") and named.get(name, value) != value:
                raise httpx2.RemoteProtocolError("two lengths of one body")
            named[name] = value
        connection = named.get(b"connection", b"").lower()
        self.reusable = b"close" not in connection and (not http10 or b"keep-alive" in connection)
        coding, length = named.get(b"transfer-encoding"), named.get(b"content-length")
        if code in (204, 304):
            self._whole = True
        elif coding is not None:
            if coding.lower() != b"chunked" or length is not None:
                raise httpx2.RemoteProtocolError("a body whose length cannot be told")
            self._chunked, self._left = True, 0
        elif length is not None:
            if not re.fullmatch(rb"\d{1,15}", length):
                raise httpx2.RemoteProtocolError("a length that is none")
            self._left = int(length)
            self._whole = self._left == 0
        else:
            self.reusable = False
        self._limit = ERROR_BODY if code >= 400 else 0

    def _read_body(self, data: bytes) -> None:
        if self._chunked:
            self._read_chunks(data)
        elif self._left is None:
            self._keep(data)
        else:
            if len(data) > self._left:
                self.reusable = False  # more than was promised
            self._keep(data[: self._left])
            self._left -= min(len(data), self._left)
            self._whole = self._whole or self._left == 0

    def _read_chunks(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at, end = self._read_small_chunks(data), len(data)
        while at < end and not self._whole:
            left = self._left or 0
            if left > 2:  # of the chunk itself
                stop = at + left - 2
                if data[stop : stop + 2] == b"\r\n":  # all of it is here, its line end too
                    self._keep(data[at:stop])
                    self._left = 0
                    at = stop + 2
                    continue
                stop = min(stop, end)
                self._keep(data[at:stop])
                self._left = left - (stop - at)
                at = stop
            elif left:  # of the line end behind it
                stop = min(at + left, end)
                if data[at:stop] != b"\r\n"[2 - left : 2 - left + stop - at]:
                    raise httpx2.RemoteProtocolError("a chunk that does not end where it said")
                self._left = left - (stop - at)
                at = stop
            else:
                line_end = data.find(b"\r\n", at)
                if line_end < 0:
                    self._rest = data[at:]
                    if len(self._rest) > TRAILER:
                        raise httpx2.RemoteProtocolError("a chunk without a size")
                    return
                self._chunk_line(data[at:line_end])
                at = line_end + 2
        if at < end:
            self.reusable = False  # more than was promised

    def _read_small_chunks(self, data: bytes) -> int:
        """What needs no care: chunks of the usual sizes that are all here. How far that went; at most to the last."""
        at = 0
        if self._left or self._last_chunk or self._limit:
            return at
        find, size_of, keep = data.find, _SIZES.get, self._body.append
        while (line_end := find(b"\r\n", at, at + 8)) > 0 and (size := size_of(data[at:line_end])):
            begin = line_end + 2
            stop = begin + size
            if data[stop : stop + 2] != b"\r\n":
                break
            keep(data[begin:stop])
            self._size += size
            at = stop + 2
        return at

    def _chunk_line(self, line: bytes) -> None:
        if self._last_chunk:  # trailers, to the empty line
            self._whole = not line
            return
        size = _SIZE.match(line.partition(b";")[0])
        if size is None:
            raise httpx2.RemoteProtocolError("a chunk without a size")
        length = int(size[0], 16)
        self._last_chunk = length == 0
        self._left = length + 2 if length else 0

    def _keep(self, data: bytes) -> None:
        self._total += len(data)
        if self._limit and self._total > self._limit:
            self._whole, self.reusable = True, False
            return
        self._body.append(data)
        self._size += len(data)
