"""maestro.v1.ChatService"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from maestro.v1 import chat_pb2
from maestro_gateway.base.call import Call
from maestro_gateway.engine.chat import ChatEngine
from maestro_gateway.runs.chats import Chats


class ChatService:
    """Chat with any model."""

    name = "maestro.v1.ChatService"

    def __init__(self, engine: ChatEngine, chats: Chats) -> None:
        self._engine = engine
        self._chats = chats

    async def CompleteChat(self, request: chat_pb2.ChatRequest, context: Call) -> chat_pb2.ChatResponse:
        return await self._engine.complete(context, request)

    async def StreamChat(self, request: chat_pb2.ChatRequest, context: Call) -> AsyncGenerator[chat_pb2.ChatEvent]:
        async with aclosing(self._engine.stream(context, request)) as events:
            async for event in events:
                yield event

    async def PlanChat(self, request: chat_pb2.PlanChatRequest, context: Call) -> chat_pb2.PlanChatResponse:
        return self._engine.plan(context, request.chat)

    async def CountTokens(self, request: chat_pb2.CountTokensRequest, context: Call) -> chat_pb2.CountTokensResponse:
        return self._engine.count(request.chat)

    async def GetChat(self, request: chat_pb2.GetChatRequest, context: Call) -> chat_pb2.GetChatResponse:
        return chat_pb2.GetChatResponse(response=self._chats.get(context.caller.tenant, request.chat))

    async def CancelChat(self, request: chat_pb2.CancelChatRequest, context: Call) -> chat_pb2.CancelChatResponse:
        caller = context.caller
        stopped = await self._chats.cancel(caller.tenant, request.chat, caller.key, request.reason)
        return chat_pb2.CancelChatResponse(response=stopped)

    async def DeleteChat(self, request: chat_pb2.DeleteChatRequest, context: Call) -> chat_pb2.DeleteChatResponse:
        self._chats.delete(context.caller.tenant, request.chat)
        return chat_pb2.DeleteChatResponse()
