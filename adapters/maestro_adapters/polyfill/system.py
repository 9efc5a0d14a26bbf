"""Instructions where the model has no place for them: folded into what the user says first."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from maestro.v1 import chat_pb2, content_pb2
from maestro_spi.chat import ChatAdapter

INSTRUCTIONS = frozenset({content_pb2.ROLE_SYSTEM, content_pb2.ROLE_DEVELOPER})


class FoldedSystem:
    """An adapter around an adapter that is given no instructions, only a first user message that begins with them."""

    def __init__(self, adapter: ChatAdapter, provider: str) -> None:
        self._adapter = adapter

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        async with aclosing(self._adapter.chat(_folded(request))) as events:
            async for event in events:
                yield event


def _folded(request: chat_pb2.ChatRequest) -> chat_pb2.ChatRequest:
    instructions = [*request.system]
    instructions += [part for message in request.messages if message.role in INSTRUCTIONS for part in message.parts]
    if not instructions:
        return request
    folded = chat_pb2.ChatRequest()
    folded.CopyFrom(request)
    said = [message for message in request.messages if message.role not in INSTRUCTIONS]
    del folded.system[:]
    del folded.messages[:]
    text = content_pb2.Part(text="Follow these instructions:\n" + "\n".join(part.text for part in instructions))
    if said and said[0].role == content_pb2.ROLE_USER:
        first = content_pb2.Message()
        first.CopyFrom(said[0])
        del first.parts[:]
        first.parts.extend([text, *said[0].parts])
        said[0] = first
    else:
        said.insert(0, content_pb2.Message(role=content_pb2.ROLE_USER, parts=[text]))
    folded.messages.extend(said)
    return folded
