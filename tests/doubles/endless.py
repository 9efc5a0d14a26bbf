"""An adapter that speaks for ever, and notes when it is let go."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from maestro.v1 import capability_pb2, chat_pb2, content_pb2
from maestro_spi.capability import ModelFacts
from maestro_spi.provider import Checkup


class Endless:
    """Two tool calls whose arguments grow in turns, so that no event merges with its neighbour."""

    version = "endless"

    def __init__(self, closed: Callable[[], None], fragment: str = "x" * 16, stop: asyncio.Event | None = None) -> None:
        self._closed = closed
        self._fragment = fragment
        self._stop = stop
        self.speaking = 0

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        event = chat_pb2.ChatEvent
        self.speaking += 1
        try:
            yield event(started=chat_pb2.ChatStarted(model="endless"))
            for index in range(2):
                call = content_pb2.ToolCall(id=f"call-{index}", name="grow")
                part = content_pb2.Part(tool_call=call)
                yield event(part_index=index, part_started=chat_pb2.PartStarted(part=part))
            index = 0
            while not (self._stop and self._stop.is_set()):
                yield event(part_index=index % 2, arguments_delta=self._fragment)
                index += 1
                if self._stop:
                    await self._stop.wait()
                else:
                    await asyncio.sleep(0)
            for part_index, grown in ((0, (index + 1) // 2), (1, index // 2)):
                size = grown * len(self._fragment)
                yield event(part_index=part_index, part_completed=chat_pb2.PartCompleted(text_bytes=size))
            yield event(completed=chat_pb2.ChatCompleted(finish_reason=chat_pb2.FINISH_REASON_TOOL_CALLS))
        finally:
            self.speaking -= 1
            self._closed()

    def models(self) -> Sequence[ModelFacts]:
        return [ModelFacts("endless")]

    async def check(self) -> Checkup:
        return Checkup(capability_pb2.PROVIDER_HEALTH_SERVING)

    async def aclose(self) -> None:
        return None
