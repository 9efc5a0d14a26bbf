"""A bare grpc.aio server that passes on what a provider sends: what a paced token costs before any gateway."""

import asyncio
import json
import re
import sys
from typing import Any

import grpc
import uvloop
from upstream import END, TOKENS

from maestro.v1 import chat_pb2

TOKEN = re.compile(rb'"delta":\{"content":("(?:[^"\\]|\\.)*")\}')


class Wire(asyncio.Protocol):
    """A connection to the provider; `read` gives all that has arrived."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        self._arrived.append(data)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read(self) -> bytes:
        """At least something."""
        if not self._arrived:
            self._waiter = self._loop.create_future()
            await self._waiter
        data = b"".join(self._arrived)
        self._arrived.clear()
        return data


class Relay:
    """Asks for Chat Completions. It reads no HTTP: the provider writes whole events, and token by token."""

    def __init__(self, provider: str) -> None:
        self._host, _, port = provider.rpartition(":")
        self._port = int(port)

    async def stream(self, request: chat_pb2.ChatRequest, context: Any) -> None:
        loop = asyncio.get_running_loop()
        connection, wire = await loop.create_connection(Wire, self._host, self._port)
        body = json.dumps({"model": request.model.partition("/")[2]}).encode()
        connection.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        data = b""
        while not data.endswith(END):
            data = await wire.read()
            text = "".join(map(json.loads, TOKEN.findall(data)))
            if text:
                await context.write(chat_pb2.ChatEvent(text_delta=text))
        connection.close()
        last = chat_pb2.ChatEvent()
        last.completed.usage.output_tokens = TOKENS
        await context.write(last)

    def handlers(self) -> grpc.GenericRpcHandler:
        read, write = chat_pb2.ChatRequest.FromString, chat_pb2.ChatEvent.SerializeToString
        stream: Any = grpc.unary_stream_rpc_method_handler(self.stream, read, write)
        return grpc.method_handlers_generic_handler("maestro.v1.ChatService", {"StreamChat": stream})


async def serve(provider: str) -> None:
    """Until the process is ended."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Relay(provider).handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
