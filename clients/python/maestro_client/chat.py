"""client.chat: maestro.v1.ChatService."""
# ruff: noqa: ASYNC109 - these timeouts are deadlines: they travel with the call.

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

from maestro.v1 import chat_pb2
from maestro.v1 import chat_pb2_grpc as rpc
from maestro_client.call import Calls, Metadata
from maestro_client.message import Prompt, request_of
from maestro_client.stream import ChatStream

SERVICE = "maestro.v1.ChatService"


class Chat:
    """Chat with any model.

    A prompt is a ChatRequest, a list of messages, or what the user says. `timeout` is in seconds and goes before the
    client's own. Failures are MaestroErrors.
    """

    RPCS: ClassVar[Mapping[str, str]] = {
        "CompleteChat": "complete",
        "StreamChat": "stream",
        "PlanChat": "plan",
        "CountTokens": "count_tokens",
        "GetChat": "get",
        "CancelChat": "cancel",
        "DeleteChat": "delete",
    }

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @cached_property
    def _stub(self) -> "rpc.ChatServiceAsyncStub":
        return rpc.ChatServiceStub(self._calls.channel.grpc)

    async def complete(
        self, prompt: Prompt, *, model: str = "", timeout: float | None = None, metadata: Metadata | None = None
    ) -> chat_pb2.ChatResponse:
        """The answer, whole."""
        request = request_of(prompt, model)
        return await self._calls.unary(f"{SERVICE}/CompleteChat", self._stub.CompleteChat, request, timeout, metadata)

    def stream(
        self, prompt: Prompt, *, model: str = "", timeout: float | None = None, metadata: Metadata | None = None
    ) -> ChatStream:
        """The answer as it comes: `async with client.chat.stream("Hello") as stream: …`."""
        request = request_of(prompt, model)
        return ChatStream(
            lambda: self._calls.stream(f"{SERVICE}/StreamChat", self._stub.StreamChat, request, timeout, metadata)
        )

    async def plan(
        self, prompt: Prompt, *, model: str = "", timeout: float | None = None, metadata: Metadata | None = None
    ) -> chat_pb2.PlanChatResponse:
        """What would happen, without asking a model."""
        request = chat_pb2.PlanChatRequest(chat=request_of(prompt, model))
        return await self._calls.unary(f"{SERVICE}/PlanChat", self._stub.PlanChat, request, timeout, metadata)

    async def count_tokens(
        self, prompt: Prompt, *, model: str = "", timeout: float | None = None, metadata: Metadata | None = None
    ) -> chat_pb2.CountTokensResponse:
        """How many tokens the prompt holds."""
        request = chat_pb2.CountTokensRequest(chat=request_of(prompt, model))
        return await self._calls.unary(f"{SERVICE}/CountTokens", self._stub.CountTokens, request, timeout, metadata)

    async def get(
        self, chat: str, *, timeout: float | None = None, metadata: Metadata | None = None
    ) -> chat_pb2.ChatResponse:
        """A stored answer, "chats/{chat}": finished, or as far as it is."""
        request = chat_pb2.GetChatRequest(chat=chat)
        answer = await self._calls.unary(f"{SERVICE}/GetChat", self._stub.GetChat, request, timeout, metadata)
        return answer.response

    async def cancel(
        self, chat: str, *, reason: str = "", timeout: float | None = None, metadata: Metadata | None = None
    ) -> chat_pb2.ChatResponse:
        """Stop a running answer from another call; the answer as it was then."""
        request = chat_pb2.CancelChatRequest(chat=chat, reason=reason)
        answer = await self._calls.unary(f"{SERVICE}/CancelChat", self._stub.CancelChat, request, timeout, metadata)
        return answer.response

    async def delete(self, chat: str, *, timeout: float | None = None, metadata: Metadata | None = None) -> None:
        """Forget a stored answer."""
        request = chat_pb2.DeleteChatRequest(chat=chat)
        await self._calls.unary(f"{SERVICE}/DeleteChat", self._stub.DeleteChat, request, timeout, metadata)
