"""A provider on loopback that says what an exchange says, split, cut, stalled or late as it is told."""

import asyncio
import json
import random
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

# Of one connection, or of how the body was packed: the replay packs it anew.
DROPPED = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-encoding", "content-length"}
)
STREAMS = ("text/event-stream", "application/x-ndjson", "application/vnd.amazon.eventstream")

Cut = Literal["", "close", "reset", "clean"]


@dataclass(frozen=True)
class Plan:
    """How it is said. `cut_after` and `stall_after` count bytes of the body; `seed` splits it, 0 leaves it whole."""

    seed: int = 0
    cut: Cut = ""
    cut_after: int = 0
    stall_after: int | None = None
    late: bool = False  # the headers never come


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body) if self.body else None


@dataclass
class Replay:
    """Serves one answer, again and again, at `url`. `asked` are the requests; `left` is set once the client hung up."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    plan: Plan = Plan()
    asked: list[Asked] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.left = asyncio.Event()
        self.arrived = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        if self._serving:
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        self._open.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            self.left.set()
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; True if the connection lives on."""
        self.asked.append(await _read(reader))
        self.arrived.set()
        if self.plan.late:
            await _until_left(reader)
            return False
        chunked = self._chunked
        writer.write(self._head(chunked))
        await writer.drain()
        sent = 0
        for piece in self._pieces():
            piece = piece[: max(self._end - sent, 0)] if self._end is not None else piece
            if piece:
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                await writer.drain()
                await asyncio.sleep(0)
            sent += len(piece)
            if self._end is not None and sent >= self._end:
                return await self._stop(reader, writer, chunked)
        if self._end is not None:
            return await self._stop(reader, writer, chunked)
        if chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    @property
    def _end(self) -> int | None:
        if self.plan.stall_after is not None:
            return self.plan.stall_after
        return self.plan.cut_after if self.plan.cut else None

    @property
    def _chunked(self) -> bool:
        kind = next((value for name, value in self.headers.items() if name.lower() == "content-type"), "")
        return self.plan.cut == "clean" or any(kind.startswith(stream) for stream in STREAMS)

    async def _stop(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunked: bool) -> bool:
        if self.plan.stall_after is not None:
            await _until_left(reader)
        elif self.plan.cut == "clean":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            return True
        elif self.plan.cut == "reset":
            await asyncio.sleep(0.02)  # what was sent should arrive: a reset overtakes it
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        return False

    def _head(self, chunked: bool) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Whatever"]
        lines += [f"{name}: {value}" for name, value in self.headers.items() if name.lower() not in DROPPED]
        lines.append("transfer-encoding: chunked" if chunked else f"content-length: {len(self.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def _pieces(self) -> list[bytes]:
        if not self.plan.seed:
            return [self.body]
        dice = random.Random(self.plan.seed)
        largest = max(len(self.body) // 12, 48)
        pieces, at = [], 0
        while at < len(self.body):
            size = dice.randint(1, largest)
            pieces.append(self.body[at : at + size])
            at += size
        return pieces


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = line.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await _body(reader, headers)
    parts = urlsplit(target)
    return Asked(method, parts.path, dict(parse_qsl(parts.query)), headers, body)


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return body
    return await reader.readexactly(int(headers.get("content-length", 0)))


async def _until_left(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass
