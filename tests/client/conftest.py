"""A gateway that says what a test tells it, over real gRPC, and what tests ask of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import status_pb2

from maestro.v1 import capability_pb2, capability_pb2_grpc, chat_pb2, chat_pb2_grpc, content_pb2
from maestro_client import Client
from maestro_client.blocking import Loop
from maestro_stream.fold import fold

KEY = "mk_canary_0123456789"


@dataclass(frozen=True)
class Fails:
    """The call ends here, badly."""

    code: grpc.StatusCode
    message: str = ""
    details: Sequence[Message] = ()
    trailers: Sequence[tuple[str, str | bytes]] = ()

    @property
    def status(self) -> status_pb2.Status:
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in self.details:
            status.details.add().Pack(detail)
        return status

    async def end(self, context):
        bare = () if not self.details else (("grpc-status-details-bin", self.status.SerializeToString()),)
        await context.abort(self.code, self.message, (*self.trailers, *bare))


class Stalls:
    """Nothing more comes, ever."""


class FakeGateway(chat_pb2_grpc.ChatServiceServicer, capability_pb2_grpc.CapabilityServiceServicer):
    """Plays `says`. Keeps what it was asked, with which metadata, and notes when the caller has gone."""

    def __init__(self) -> None:
        self.says: list[chat_pb2.ChatEvent | Fails | Stalls] = []
        self.requests: list[Message] = []
        self.metadata: dict[str, str | bytes] = {}
        self.remaining: float | None = None
        self.failures_first: list[Fails] = []
        self.stalled = asyncio.Event()
        self.hung_up = asyncio.Event()
        self.ended = asyncio.Event()
        self.idle = asyncio.Event()  # no stream is open
        self.idle.set()
        self.open = 0
        self.address = ""

    async def _noted(self, request, context):
        self.requests.append(request)
        self.metadata = dict(context.invocation_metadata())
        self.remaining = context.time_remaining()
        if self.failures_first:
            await self.failures_first.pop(0).end(context)

    async def _play(self, request, context) -> AsyncIterator[chat_pb2.ChatEvent]:
        await self._noted(request, context)
        for item in self.says:
            match item:
                case Fails():
                    await item.end(context)
                case Stalls():
                    self.stalled.set()
                    await asyncio.Event().wait()
                case _:
                    yield item

    async def StreamChat(self, request, context):
        self.open += 1
        self.idle.clear()
        try:
            async for event in self._play(request, context):
                await context.write(event)
            self.ended.set()
        except asyncio.CancelledError:
            self.hung_up.set()
            raise
        finally:
            self.open -= 1
            if not self.open:
                self.idle.set()

    async def CompleteChat(self, request, context):
        try:
            return fold([event async for event in self._play(request, context)])
        except asyncio.CancelledError:
            self.hung_up.set()
            raise

    async def PlanChat(self, request, context):
        await self._noted(request, context)
        return chat_pb2.PlanChatResponse(provider="scripted", model=request.chat.model)

    async def CountTokens(self, request, context):
        await self._noted(request, context)
        return chat_pb2.CountTokensResponse(input_tokens=7)

    async def GetChat(self, request, context):
        await self._noted(request, context)
        return chat_pb2.GetChatResponse(response=chat_pb2.ChatResponse(chat=request.chat))

    async def CancelChat(self, request, context):
        await self._noted(request, context)
        return chat_pb2.CancelChatResponse(response=chat_pb2.ChatResponse(chat=request.chat))

    async def DeleteChat(self, request, context):
        await self._noted(request, context)
        return chat_pb2.DeleteChatResponse()

    async def GetServerInfo(self, request, context):
        await self._noted(request, context)
        return capability_pb2.GetServerInfoResponse(server_version="1", tenant="default")

    async def ListModels(self, request, context):
        await self._noted(request, context)
        page = int(request.page_token or 0)
        models = [capability_pb2.Model(name=f"models/scripted/{page}{letter}") for letter in "ab"]
        return capability_pb2.ListModelsResponse(models=models, next_page_token=str(page + 1) if page < 2 else "")

    async def GetModel(self, request, context):
        await self._noted(request, context)
        return capability_pb2.GetModelResponse(model=capability_pb2.Model(name=request.name))

    async def ListProviders(self, request, context):
        await self._noted(request, context)
        first = not request.page_token
        name = "providers/scripted" if first else "providers/other"
        return capability_pb2.ListProvidersResponse(
            providers=[capability_pb2.Provider(name=name)], next_page_token="2" if first else ""
        )


class Script:
    """Events in the contract's grammar, numbered."""

    def __init__(self) -> None:
        self.events: list[chat_pb2.ChatEvent] = []

    def add(self, **arm) -> "Script":
        merged = arm.get("merged", 0)
        last = self.events[-1].sequence if self.events else 0
        self.events.append(chat_pb2.ChatEvent(sequence=last + 1 + merged, **arm))
        return self

    def started(self) -> "Script":
        chat = chat_pb2.ChatStarted(chat="chats/1", provider="scripted", model="hello", request_id="req-1")
        return self.add(started=chat)

    def text(self, *fragments: str) -> "Script":
        part = content_pb2.Part(text="")
        self.add(part_started=chat_pb2.PartStarted(role=content_pb2.ROLE_ASSISTANT, part=part))
        for fragment in fragments:
            self.add(text_delta=fragment)
        return self

    def closed(self, text: str) -> "Script":
        return self.add(part_completed=chat_pb2.PartCompleted(text_bytes=len(text.encode())))

    def completed(self) -> "Script":
        return self.add(completed=chat_pb2.ChatCompleted(finish_reason=chat_pb2.FINISH_REASON_STOP))


async def start(fake: FakeGateway, address: str = "127.0.0.1:0", credentials=None) -> grpc.aio.Server:
    """Serve it."""
    server = grpc.aio.server()
    chat_pb2_grpc.add_ChatServiceServicer_to_server(fake, server)
    capability_pb2_grpc.add_CapabilityServiceServicer_to_server(fake, server)
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    fake.address = address if address.startswith("unix:") else f"127.0.0.1:{port}"
    await server.start()
    return server


@pytest.fixture
def fails():
    return Fails


@pytest.fixture
def stalls():
    return Stalls()


@pytest.fixture
def script():
    return Script


@pytest.fixture
def hello():
    """A good answer: "Hello, wörld"."""
    return Script().started().text("Hello, ", "wörld").closed("Hello, wörld").completed().events


@pytest.fixture
def key():
    return KEY


@pytest.fixture
async def serve():
    """Serves fakes; stops them all at the end."""
    servers = []

    async def serving(address: str = "127.0.0.1:0", credentials=None) -> FakeGateway:
        fake = FakeGateway()
        servers.append(await start(fake, address, credentials))
        return fake

    yield serving
    for server in servers:
        await server.stop(None)


@pytest.fixture
async def fake(serve):
    return await serve()


@pytest.fixture
async def client(fake):
    async with Client(fake.address, KEY) as client:
        yield client


@pytest.fixture
def playground():
    """A loop in a thread of its own, for servers that blocking clients ask."""
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def playing(playground):
    async def begin():
        fake = FakeGateway()
        return fake, await start(fake)

    fake, server = playground.run(begin())
    yield fake
    playground.run(server.stop(None))
