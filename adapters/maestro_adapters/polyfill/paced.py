"""A stream where the provider sends a whole."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing

from maestro.v1 import chat_pb2
from maestro_spi.chat import ChatAdapter

LONGEST = 48  # characters; what is longer is told in pieces
PAUSE = 0.01  # seconds between two of them
DELTAS = ("text_delta", "reasoning_delta")


class Paced:
    """An adapter around an adapter: long texts come in pieces, at the pace of a quick reader."""

    def __init__(
        self, adapter: ChatAdapter, provider: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._adapter = adapter
        self._sleep = sleep

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        async with aclosing(self._adapter.chat(request)) as events:
            async for event in events:
                kind = event.WhichOneof("event")
                if kind not in DELTAS or len(getattr(event, kind)) <= LONGEST:
                    yield event
                    continue
                for number, piece in enumerate(_pieces(getattr(event, kind))):
                    if number:
                        await self._sleep(PAUSE)
                    told = chat_pb2.ChatEvent(part_index=event.part_index)
                    setattr(told, kind, piece)
                    yield told


def _pieces(text: str) -> Iterator[str]:
    """At most so long each, broken after a space where there is one."""
    start = 0
    while start < len(text):
        end = min(start + LONGEST, len(text))
        if end < len(text) and (space := text.rfind(" ", start, end)) > start:
            end = space + 1
        yield text[start:end]
        start = end
