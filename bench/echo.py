"""A bare grpc.aio server that writes the messages it was given: the floor that the gateway is measured against."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
import uvloop

from maestro.v1 import chat_pb2


class Echo:
    """Reads the request, looks at nothing, sends what another server has answered to the same request."""

    def __init__(self, answer: chat_pb2.ChatResponse, events: list[chat_pb2.ChatEvent]) -> None:
        self._answer = answer
        self._events = events

    async def whole(self, request: chat_pb2.ChatRequest, context: Any) -> chat_pb2.ChatResponse:
        return self._answer

    async def stream(self, request: chat_pb2.ChatRequest, context: Any) -> None:
        for event in self._events:
            await context.write(event)

    def handlers(self) -> grpc.GenericRpcHandler:
        read = chat_pb2.ChatRequest.FromString
        whole: Any = grpc.unary_unary_rpc_method_handler(self.whole, read, chat_pb2.ChatResponse.SerializeToString)
        stream: Any = grpc.unary_stream_rpc_method_handler(self.stream, read, chat_pb2.ChatEvent.SerializeToString)
        return grpc.method_handlers_generic_handler(
            "maestro.v1.ChatService", {"CompleteChat": whole, "StreamChat": stream}
        )


def keep(folder: Path, answer: chat_pb2.ChatResponse, events: list[chat_pb2.ChatEvent]) -> None:
    """Write down what the server shall say."""
    (folder / "answer").write_bytes(answer.SerializeToString())
    for number, event in enumerate(events):
        (folder / f"event-{number:05}").write_bytes(event.SerializeToString())


def kept(folder: Path) -> Echo:
    """The server that says it."""
    answer = chat_pb2.ChatResponse.FromString((folder / "answer").read_bytes())
    files = sorted(folder.glob("event-*"))
    return Echo(answer, [chat_pb2.ChatEvent.FromString(file.read_bytes()) for file in files])


async def serve(folder: Path) -> None:
    """Until the process is ended."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((kept(folder).handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
